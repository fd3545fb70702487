#include "support/naive.h"

#include <math.h>
#include <stdlib.h>

#include "support/angles.h"
#include "support/test_help.h"

/* ---- numbers ---------------------------------------------------------------------------- */

void *naive_zeroes(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    assert_non_null(memory);
    return memory;
}

float *naive_noise(el_random *r, size_t count, float deviation)
{
    float *x = naive_zeroes(count, sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = deviation * el_random_unit(r);
    return x;
}

double *naive_double(const float *x, size_t count)
{
    double *copy = naive_zeroes(count, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = x[i];
    return copy;
}

void naive_compare(const float *got, const double *want, size_t count, double tolerance,
                   const char *what)
{
    double largest = 1e-30;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(want[i]));
    for (size_t i = 0; i < count; i++) {
        if (fabs(got[i] - want[i]) <= tolerance * largest) continue;
        fail_msg("%s[%zu of %zu] is %.9g, expected %.9g; the largest is %g", what, i, count,
                 (double)got[i], want[i], largest);
    }
}

/* ---- operations ------------------------------------------------------------------------- */

void naive_linear(const double *x, const double *w, uint32_t n, uint32_t rows, uint32_t cols,
                  double *y)
{
    for (size_t t = 0; t < n; t++) {
        for (size_t r = 0; r < rows; r++) {
            double sum = 0;
            for (size_t c = 0; c < cols; c++)
                sum += x[t * cols + c] * w[r * cols + c];
            y[t * rows + r] = sum;
        }
    }
}

void naive_norm(const double *x, const double *weight, uint32_t n, uint32_t dim, double eps,
                double *y)
{
    for (uint32_t t = 0; t < n; t++, x += dim, y += dim) {
        double sum = 0;
        for (uint32_t i = 0; i < dim; i++)
            sum += x[i] * x[i];
        for (uint32_t i = 0; i < dim; i++)
            y[i] = x[i] / sqrt(sum / dim + eps) * weight[i];
    }
}

void naive_rotate(double *x, uint32_t n, uint32_t heads, uint32_t head_dim, const el_rotary *rotary)
{
    uint32_t half = rotary->dim / 2;
    for (size_t i = 0; i < (size_t)n * heads; i++) {
        for (uint32_t k = 0; k < half; k++) {
            double *pair = x + i * head_dim + (size_t)2 * k, a = pair[0], b = pair[1];
            double cosine = rotary->cosine[i / heads * half + k];
            double sine = rotary->sine[i / heads * half + k];
            pair[0] = a * cosine - b * sine;
            pair[1] = a * sine + b * cosine;
        }
    }
}

static double gate_of(el_gate gate, double x)
{
    switch (gate) {
    case EL_GATE_GELU:
        return x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case EL_GATE_RELU2:
        return fmax(x, 0) * fmax(x, 0);
    default:
        return x / (1 + exp(-x));
    }
}

void naive_gate(el_gate gate, const double *x, const double *up, uint32_t count, double *out)
{
    for (uint32_t i = 0; i < count; i++)
        out[i] = gate_of(gate, x[i]) * up[i];
}

double naive_softmax(double *x, uint32_t n)
{
    double top = x[0], sum = 0;
    for (uint32_t i = 0; i < n; i++)
        top = fmax(top, x[i]);
    for (uint32_t i = 0; i < n; i++)
        sum += exp(x[i] - top);
    for (uint32_t i = 0; i < n; i++)
        x[i] = exp(x[i] - top) / sum;
    // cppcheck-suppress invalidFunctionArg ; the sum holds exp(0)
    return top + log(sum);
}

double naive_divergence(const float *ours, const float *theirs, uint32_t n)
{
    double *p = naive_double(ours, n), *q = naive_double(theirs, n), sum = 0;
    double ours_total = naive_softmax(p, n), theirs_total = naive_softmax(q, n);
    for (uint32_t i = 0; i < n; i++)
        sum += q[i] * ((theirs[i] - theirs_total) - (ours[i] - ours_total));
    free(p);
    free(q);
    return sum;
}

/* One query against keys 0 .. t, or the last of them. */
static void attend_one(const el_attention *a, uint32_t t, const double *q, const double *k,
                       const double *v, double *out)
{
    size_t stride = (size_t)a->kv_heads * a->head_dim;
    const double scale = a->scale != 0 ? (double)a->scale : 1 / sqrt(a->head_dim);
    const double cap = (double)a->cap;
    double *p = naive_zeroes(a->n, sizeof *p);
    uint32_t first = 0;
    while (a->window && t - first >= a->window)
        first++;
    for (uint32_t i = first; i <= t; i++) {
        for (uint32_t d = 0; d < a->head_dim; d++)
            p[i] += q[d] * k[i * stride + d];
        p[i] *= scale;
        if (cap != 0) p[i] = cap * tanh(p[i] / cap);
    }
    naive_softmax(p + first, t + 1 - first);
    for (uint32_t d = 0; d < a->head_dim; d++) {
        out[d] = 0;
        for (uint32_t i = first; i <= t; i++)
            out[d] += p[i] * v[i * stride + d];
    }
    free(p);
}

void naive_attend(const el_attention *a, const double *q, const double *k, const double *v,
                  double *out)
{
    for (uint32_t t = 0; t < a->n; t++) {
        for (uint32_t h = 0; h < a->heads; h++) {
            size_t at = ((size_t)t * a->heads + h) * a->head_dim;
            size_t kv = (size_t)(h / (a->heads / a->kv_heads)) * a->head_dim;
            attend_one(a, t, q + at, k + kv, v + kv, out + at);
        }
    }
}

/* x projected by one part; free() it. */
static double *project(const el_layer_shape *s, const naive_weights *w, int part, const double *x,
                       uint32_t n)
{
    uint32_t rows = el_part_rows(s, part);
    double *y = naive_zeroes((size_t)n * rows, sizeof *y);
    naive_linear(x, w->part[part], n, rows, el_part_cols(s, part), y);
    const int bias = part <= EL_PART_V ? EL_FIXED_BQ + part : EL_FIXED;
    for (size_t i = 0; bias < EL_FIXED && w->fixed[bias] && i < (size_t)n * rows; i++)
        y[i] += w->fixed[bias][i % rows];
    return y;
}

/* Where there is such a norm; in place. */
static void norm_if(const el_layer_shape *s, const double *weight, uint32_t rows, uint32_t cols,
                    double *x)
{
    if (weight) naive_norm(x, weight, rows, cols, (double)s->eps, x);
}

/* Queries or keys. */
static void finish_heads(const el_layer_shape *s, const naive_weights *w, const double *norm,
                         uint32_t n, uint32_t heads, double *x)
{
    norm_if(s, norm, n * heads, s->head_dim, x);
    if (w->unturned) return;
    naive_rotate(x, n, heads, s->head_dim, w->local ? &s->local_rotary : &s->rotary);
}

static void add_to(double *to, const double *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += x[i];
}

/* h = x + attention. */
static void attention_half(const el_layer_shape *s, const naive_weights *w, const double *x,
                           uint32_t n, double *h)
{
    const el_attention a = {.n = n,
                            .heads = s->heads,
                            .kv_heads = s->kv_heads,
                            .head_dim = s->head_dim,
                            .window = w->local ? s->window : 0,
                            .scale = s->attention_scale,
                            .cap = s->attention_cap};
    size_t count = (size_t)n * s->dim;
    double *x1 = naive_zeroes(count, sizeof *x1);
    naive_norm(x, w->norm[0], n, s->dim, (double)s->eps, x1);
    double *q = project(s, w, EL_PART_Q, x1, n), *k = project(s, w, EL_PART_K, x1, n);
    double *v = project(s, w, EL_PART_V, x1, n);
    double *o = naive_zeroes((size_t)n * s->heads * s->head_dim, sizeof *o);
    finish_heads(s, w, w->fixed[EL_FIXED_NQ], n, s->heads, q);
    finish_heads(s, w, w->fixed[EL_FIXED_NK], n, s->kv_heads, k);
    naive_attend(&a, q, k, v, o);
    norm_if(s, w->fixed[EL_FIXED_SO], n, s->heads * s->head_dim, o);
    double *added = project(s, w, EL_PART_O, o, n);
    norm_if(s, w->fixed[EL_FIXED_PO], n, s->dim, added);
    memcpy(h, x, count * sizeof *h);
    add_to(h, added, count);
    double *used[] = {x1, q, k, v, o, added};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
        free(used[i]);
}

void naive_layer(const el_layer_shape *s, const naive_weights *w, const double *x, uint32_t n,
                 double *y)
{
    size_t count = (size_t)n * s->dim, wide = (size_t)n * s->ffn_dim;
    double *x2 = naive_zeroes(count, sizeof *x2), *act = naive_zeroes(wide, sizeof *act);
    attention_half(s, w, x, n, y);
    naive_norm(y, w->norm[1], n, s->dim, (double)s->eps, x2);
    double *gate = project(s, w, EL_PART_GATE, x2, n), *up = project(s, w, EL_PART_UP, x2, n);
    naive_gate(s->gate, gate, up, (uint32_t)wide, act);
    norm_if(s, w->fixed[EL_FIXED_SD], n, s->ffn_dim, act);
    double *added = project(s, w, EL_PART_DOWN, act, n);
    norm_if(s, w->fixed[EL_FIXED_PD], n, s->dim, added);
    add_to(y, added, count);
    double *used[] = {x2, act, gate, up, added};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
        free(used[i]);
}

/* +1 or -1: the sign that a place of a block gets. */
static double hadamard_sign(int place)
{
    return UINT64_C(0x243F6A8885A308D3) >> place & 1 ? -1 : 1;
}

/* A number of the matrix, which is its own inverse. */
static double hadamard_number(unsigned row, unsigned column)
{
    int parity = 0;
    for (unsigned common = row & column; common; common >>= 1)
        parity ^= common & 1;
    return parity ? -1.0 / 8 : 1.0 / 8;
}

void naive_hadamard(double *x, size_t blocks)
{
    for (; blocks; blocks--, x += 64) {
        double y[64] = {0};
        for (int i = 0; i < 64 * 64; i++)
            y[i / 64] += hadamard_number(i / 64, i % 64) * hadamard_sign(i % 64) * x[i % 64];
        memcpy(x, y, sizeof y);
    }
}

void naive_hadamard_back(double *x, size_t blocks)
{
    for (; blocks; blocks--, x += 64) {
        double y[64] = {0};
        for (int i = 0; i < 64 * 64; i++)
            y[i / 64] += hadamard_sign(i / 64) * hadamard_number(i / 64, i % 64) * x[i % 64];
        memcpy(x, y, sizeof y);
    }
}

/* ---- the rest --------------------------------------------------------------------------- */

el_rotary naive_rotary(uint32_t n, uint32_t dim, double base)
{
    uint32_t half = dim / 2;
    float *cosine = naive_zeroes((size_t)n * half, sizeof *cosine);
    float *sine = naive_zeroes((size_t)n * half, sizeof *sine);
    fill_angles(cosine, sine, n, dim, base);
    return (el_rotary){cosine, sine, dim};
}

void naive_rotary_free(el_rotary *rotary)
{
    free((void *)(uintptr_t)rotary->cosine);
    free((void *)(uintptr_t)rotary->sine);
}

void naive_check_gradient(double *x, size_t count, const float *got,
                          double (*loss)(const void *context), const void *context,
                          const char *what)
{
    const double step = 1e-4;
    double *want = naive_zeroes(count, sizeof *want);
    for (size_t i = 0; i < count; i++) {
        double at = x[i];
        x[i] = at + step;
        want[i] = loss(context);
        x[i] = at - step;
        want[i] = (want[i] - loss(context)) / (2 * step);
        x[i] = at;
    }
    naive_compare(got, want, count, 2e-5, what);
    free(want);
}

double naive_output_error(const el_latent *l, const float *w, const float *h)
{
    double total = 0;
    uint32_t cols = l->cols;
    float *q = naive_zeroes((size_t)l->rows * cols, sizeof *q);
    el_latent_weights(l, 0, l->rows, q);
    for (uint32_t i = 0; i < l->rows * cols; i++)
        q[i] = w[i] - q[i];
    for (uint32_t r = 0; r < l->rows; r++) {
        for (uint32_t i = 0; i < cols * cols; i++)
            total += (double)q[r * cols + i / cols] * h[i] * q[r * cols + i % cols];
    }
    free(q);
    return total;
}
