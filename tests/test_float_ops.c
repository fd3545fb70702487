/*
 * test_float_ops.c: each operation against the same one in double, loop by loop, at odd sizes too;
 * each backward pass against central differences of that. The loss is a weighted sum of the output.
 */
#include "support/test_help.h"

#include <math.h>
#include <stdlib.h>

#include "support/naive.h"
#include "train/float_ops.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* What the losses read: inputs, shapes and the weights of the sum. */
typedef struct problem {
    double *a, *b, *c, *out;
    const double *weights;
    uint32_t n, dim;
    el_attention attention;
    el_gate gate;
    double cap;
} problem;

static double weighted(const problem *p, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += p->weights[i] * p->out[i];
    return sum;
}

/* `got` holds what was there before, `before`, and what was added. */
static void take_away(float *got, const float *before, size_t count)
{
    for (size_t i = 0; i < count; i++)
        got[i] -= before[i];
}

/* ---- products --------------------------------------------------------------------------- */

static const uint32_t shapes[][3] = {{1, 1, 1}, {3, 5, 7}, {17, 33, 31}, {8, 64, 48}, {2, 1, 65}};

typedef void (*product)(const float *, const float *, uint32_t, uint32_t, uint32_t, bool, float *);

/* sum over k of a[i ...] b[j ...], with the strides of a and b over (result's row or column, k). */
typedef struct strides {
    size_t a_row, a_k, b_col, b_k, rows, cols, depth;
} strides;

static void check_product(product fn, const uint32_t shape[3], size_t a_size, size_t b_size,
                          const strides *s, const char *what)
{
    el_random r = {shape[0] + shape[1] + shape[2]};
    size_t count = s->rows * s->cols;
    float *a = naive_noise(&r, a_size, 1), *b = naive_noise(&r, b_size, 1);
    float *before = naive_noise(&r, count, 1), *got = naive_noise(&r, count, 1);
    double *want = naive_zeroes(count, sizeof *want);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < s->depth; k++)
            want[i] += (double)a[i / s->cols * s->a_row + k * s->a_k] *
                       b[i % s->cols * s->b_col + k * s->b_k];
    }
    fn(a, b, shape[0], shape[1], shape[2], false, got);
    naive_compare(got, want, count, 1e-5, what);
    for (size_t i = 0; i < count; i++)
        want[i] += before[i];
    fn(a, b, shape[0], shape[1], shape[2], true, before);
    naive_compare(before, want, count, 1e-5, what);
    free(a);
    free(b);
    free(before);
    free(got);
    free(want);
}

static void test_products(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(shapes); i++) {
        size_t n = shapes[i][0], rows = shapes[i][1], cols = shapes[i][2];
        check_product(el_linear, shapes[i], n * cols, rows * cols,
                      &(strides){cols, 1, cols, 1, n, rows, cols}, "y");
        check_product(el_linear_dx, shapes[i], n * rows, rows * cols,
                      &(strides){rows, 1, 1, cols, n, cols, rows}, "dx");
        check_product(el_linear_dw, shapes[i], n * rows, n * cols,
                      &(strides){1, rows, 1, cols, rows, cols, n}, "dw");
    }
}

/* ---- norm ------------------------------------------------------------------------------- */

#define EPS 1e-3f

static double norm_loss(const void *context)
{
    const problem *p = context;
    naive_norm(p->a, p->b, p->n, p->dim, (double)EPS, p->out);
    return weighted(p, (size_t)p->n * p->dim);
}

static void check_norm(uint32_t n, uint32_t dim)
{
    el_random r = {n * 1000 + dim};
    size_t count = (size_t)n * dim;
    float *x = naive_noise(&r, count, 2), *w = naive_noise(&r, dim, 1);
    float *dy = naive_noise(&r, count, 1), *y = naive_zeroes(count, sizeof *y);
    float *dx = naive_noise(&r, count, 1), *dw = naive_noise(&r, dim, 1);
    float *dx_before = naive_zeroes(count, sizeof *dx), *dw_before = naive_zeroes(dim, sizeof *dw);
    problem p = {naive_double(x, count),
                 naive_double(w, dim),
                 NULL,
                 naive_zeroes(count, sizeof(double)),
                 naive_double(dy, count),
                 n,
                 dim,
                 {0},
                 EL_GATE_SILU,
                 0};
    memcpy(dx_before, dx, count * sizeof *dx);
    memcpy(dw_before, dw, dim * sizeof *dw);
    norm_loss(&p);
    el_rms_norm(x, w, n, dim, EPS, y);
    naive_compare(y, p.out, count, 1e-6, "norm");
    el_rms_norm_back(x, w, dy, n, dim, EPS, dx, dw);
    take_away(dx, dx_before, count);
    take_away(dw, dw_before, dim);
    naive_check_gradient(p.a, count, dx, norm_loss, &p, "norm dx");
    naive_check_gradient(p.b, dim, dw, norm_loss, &p, "norm dweight");
    memset(dx_before, 0, count * sizeof *dx_before);
    el_rms_norm_back(x, w, dy, n, dim, EPS, dx_before, NULL);
    naive_check_gradient(p.a, count, dx_before, norm_loss, &p, "norm dx alone");
    void *used[] = {x, w, dy, y, dx, dw, dx_before, dw_before, p.a, p.b, p.out, (void *)p.weights};
    for (size_t i = 0; i < LENGTH(used); i++)
        free(used[i]);
}

static void test_norm(void **state)
{
    (void)state;
    static const uint32_t dims[] = {2, 7, 16, 33, 64};
    for (size_t i = 0; i < LENGTH(dims); i++)
        check_norm(1 + (uint32_t)i % 3, dims[i]);
}

static void test_norm_of_zeroes(void **state)
{
    (void)state;
    const float x[3] = {0}, w[3] = {1, 2, 3}, dy[3] = {1, 1, 1};
    float y[3] = {9, 9, 9}, dx[3] = {0};
    el_rms_norm(x, w, 1, 3, 1e-6f, y);
    el_rms_norm_back(x, w, dy, 1, 3, 1e-6f, dx, NULL);
    for (int i = 0; i < 3; i++) {
        assert_true(y[i] == 0);
        assert_true(fabs(dx[i] / (1000.0 * w[i]) - 1) < 1e-5);
    }
}

/* ---- rotary embedding ------------------------------------------------------------------- */

static void check_rotation(uint32_t n, uint32_t heads, uint32_t head_dim, uint32_t dim)
{
    el_random r = {dim};
    size_t count = (size_t)n * heads * head_dim;
    el_rotary rotary = naive_rotary(n, dim, 100);
    float *x = naive_noise(&r, count, 1);
    double *start = naive_double(x, count), *want = naive_double(x, count);
    el_rope(x, n, heads, head_dim, &rotary, 1.0f);
    naive_rotate(want, n, heads, head_dim, &rotary);
    naive_compare(x, want, count, 1e-6, "rotated");
    el_rope(x, n, heads, head_dim, &rotary, -1.0f);
    naive_compare(x, start, count, 1e-6, "turned back");
    naive_rotary_free(&rotary);
    free(x);
    free(start);
    free(want);
}

static void test_rotation(void **state)
{
    (void)state;
    check_rotation(1, 1, 2, 2);
    check_rotation(9, 3, 8, 8);
    check_rotation(7, 2, 10, 6); /* the last four numbers of a head stay */
}

/* ---- elementwise ------------------------------------------------------------------------ */

static double gate_loss(const void *context)
{
    const problem *p = context;
    naive_gate(p->gate, p->a, p->b, p->n, p->out);
    return weighted(p, p->n);
}

static const struct {
    el_gate_fn forward;
    el_gate_back_fn backward;
} gates[] = {{el_swiglu, el_swiglu_back}, {el_geglu, el_geglu_back}, {el_reglu2, el_reglu2_back}};

static void check_gate(el_gate gate_kind, uint32_t count)
{
    el_random r = {count};
    float *gate = naive_noise(&r, count, 3), *up = naive_noise(&r, count, 1);
    float *dout = naive_noise(&r, count, 1), *out = naive_zeroes(count, sizeof *out);
    float *dgate = naive_zeroes(count, sizeof *dgate), *dup = naive_zeroes(count, sizeof *dup);
    problem p = {naive_double(gate, count),
                 naive_double(up, count),
                 NULL,
                 naive_zeroes(count, sizeof(double)),
                 naive_double(dout, count),
                 count,
                 0,
                 {0},
                 gate_kind,
                 0};
    gate_loss(&p);
    gates[gate_kind].forward(gate, up, count, out);
    naive_compare(out, p.out, count, 1e-6, "gated");
    gates[gate_kind].backward(gate, up, dout, count, dgate, dup);
    naive_check_gradient(p.a, count, dgate, gate_loss, &p, "dgate");
    naive_check_gradient(p.b, count, dup, gate_loss, &p, "dup");
    memcpy(out, dup, count * sizeof *out);
    gates[gate_kind].backward(gate, up, dout, count, dgate, dout); /* in place */
    assert_memory_equal(dout, out, count * sizeof *out);
    void *used[] = {gate, up, dout, out, dgate, dup, p.a, p.b, p.out, (void *)p.weights};
    for (size_t i = 0; i < LENGTH(used); i++)
        free(used[i]);
}

static void test_gates(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 5, 16, 47, 256};
    for (size_t i = 0; i < LENGTH(counts) * LENGTH(gates); i++)
        check_gate((el_gate)(i % LENGTH(gates)), counts[i / LENGTH(gates)]);
}

static void test_gates_far_out(void **state)
{
    (void)state;
    const float gate[] = {-1e20f, -100, -88, 0, 88, 100, 1e20f}, up[] = {1, 1, 1, 1, 1, 1, 1};
    float out[LENGTH(gate)], dgate[LENGTH(gate)], dup[LENGTH(gate)];
    for (int k = 0; k < 2; k++) {
        gates[k].forward(gate, up, LENGTH(gate), out);
        gates[k].backward(gate, up, up, LENGTH(gate), dgate, dup);
        for (size_t i = 0; i < LENGTH(gate); i++) {
            assert_true(fabs(out[i] - fmax((double)gate[i], 0)) < 1e-3);
            assert_true(fabs(dup[i] - fmax((double)gate[i], 0)) < 1e-3);
            assert_true(fabs(dgate[i] - (gate[i] > 0 ? 1 : gate[i] < 0 ? 0 : 0.5)) < 1e-3);
        }
    }
}

static double cap_loss(const void *context)
{
    const problem *p = context;
    for (uint32_t i = 0; i < p->n; i++)
        p->out[i] = p->cap * tanh(p->a[i] / p->cap);
    return weighted(p, p->n);
}

static void test_soft_caps(void **state)
{
    (void)state;
    enum { COUNT = 37 };
    static const float caps[] = {0.5f, 3, 50};
    for (size_t i = 0; i < LENGTH(caps); i++) {
        el_random r = {i};
        float *x = naive_noise(&r, COUNT, 2), *d = naive_noise(&r, COUNT, 1);
        problem p = {.a = naive_double(x, COUNT),
                     .out = naive_zeroes(COUNT, sizeof(double)),
                     .weights = naive_double(d, COUNT),
                     .n = COUNT,
                     .cap = (double)caps[i]};
        cap_loss(&p);
        el_soft_cap(x, COUNT, caps[i]);
        naive_compare(x, p.out, COUNT, 1e-6, "capped");
        el_soft_cap_back(x, COUNT, caps[i], d);
        naive_check_gradient(p.a, COUNT, d, cap_loss, &p, "cap");
        void *used[] = {x, d, p.a, p.out, (void *)p.weights};
        for (size_t k = 0; k < LENGTH(used); k++)
            free(used[k]);
    }
}

/* ---- softmax ---------------------------------------------------------------------------- */

static void check_softmax(float *x, uint32_t n)
{
    double *want = naive_double(x, n), total = naive_softmax(want, n);
    double got = el_softmax_row(x, n), sum = 0;
    naive_compare(x, want, n, 1e-6, "softmax");
    for (uint32_t i = 0; i < n; i++)
        sum += x[i];
    assert_true(fabs(sum - 1) < 1e-6);
    assert_true(fabs(got - total) < 1e-6 * (1 + fabs(total)));
    free(want);
}

static void test_softmax(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 5, 16, 17, 300};
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        el_random r = {i};
        float *x = naive_noise(&r, sizes[i], 4);
        check_softmax(x, sizes[i]);
        free(x);
    }
    check_softmax((float[]){-1e4f, 1e4f, 9990, 1e4f}, 4);
    check_softmax((float[]){-3e38f, -3e38f, -3e38f}, 3);
    check_softmax((float[]){1e30f, -1e30f, 0}, 3);
}

/* ---- attention -------------------------------------------------------------------------- */

static double attention_loss(const void *context)
{
    const problem *p = context;
    const el_attention *a = &p->attention;
    naive_attend(a, p->a, p->b, p->c, p->out);
    return weighted(p, (size_t)a->n * a->heads * a->head_dim);
}

static void check_attention(el_attention a)
{
    el_random r = {a.n * a.heads};
    size_t wide = (size_t)a.n * a.heads * a.head_dim, square = (size_t)a.n * a.n;
    size_t narrow = (size_t)a.n * a.kv_heads * a.head_dim;
    float *q = naive_noise(&r, wide, 1), *k = naive_noise(&r, narrow, 1);
    float *v = naive_noise(&r, narrow, 1), *dout = naive_noise(&r, wide, 1);
    float *out = naive_zeroes(wide, sizeof *out), *scratch = naive_noise(&r, 3 * square, 1);
    float *dq = naive_noise(&r, wide, 1), *dk = naive_noise(&r, narrow, 1);
    float *dv = naive_noise(&r, narrow, 1);
    problem p = {naive_double(q, wide),
                 naive_double(k, narrow),
                 naive_double(v, narrow),
                 naive_zeroes(wide, sizeof(double)),
                 naive_double(dout, wide),
                 0,
                 0,
                 a,
                 EL_GATE_SILU,
                 0};
    attention_loss(&p);
    el_attend(&a, q, k, v, out, scratch);
    naive_compare(out, p.out, wide, 2e-6, "attention");
    el_attend_back(&a, q, k, v, dout, dq, dk, dv, scratch);
    naive_check_gradient(p.a, wide, dq, attention_loss, &p, "dq");
    naive_check_gradient(p.b, narrow, dk, attention_loss, &p, "dk");
    naive_check_gradient(p.c, narrow, dv, attention_loss, &p, "dv");
    void *used[] = {q,  k,  v,   dout, out, scratch, dq,
                    dk, dv, p.a, p.b,  p.c, p.out,   (void *)p.weights};
    for (size_t i = 0; i < LENGTH(used); i++)
        free(used[i]);
}

static void test_attention(void **state)
{
    (void)state;
    check_attention((el_attention){2, 1, 1, 4, 0, 0, 0});
    check_attention((el_attention){5, 4, 2, 8, 0, 0, 0}); /* two heads share keys and values */
    check_attention((el_attention){9, 6, 2, 3, 0, 0, 0});
    check_attention((el_attention){4, 4, 1, 7, 0, 0, 0}); /* all of them do */
    check_attention((el_attention){17, 3, 3, 5, 0, 0, 0});
    check_attention((el_attention){9, 2, 1, 4, 4, 0, 0}); /* a window */
    check_attention((el_attention){5, 2, 2, 4, 1, 0.7f, 0});
    check_attention((el_attention){4, 2, 1, 4, 9, 0, 0}); /* longer than the text */
    check_attention((el_attention){7, 4, 2, 5, 0, 0.9f, 1.5f});
    check_attention((el_attention){11, 2, 1, 6, 3, 0, 0.5f});
}

static void test_attention_to_itself(void **state)
{
    (void)state;
    const el_attention a = {1, 2, 1, 2, 0, 0, 0};
    const float q[] = {1, 2, 3, 4}, k[] = {5, 6}, v[] = {7, 8}, dout[] = {1, 2, 3, 4};
    float out[4], scratch[2], dq[4] = {9, 9, 9, 9}, dk[2] = {9, 9}, dv[2] = {9, 9};
    el_attend(&a, q, k, v, out, scratch);
    el_attend_back(&a, q, k, v, dout, dq, dk, dv, scratch);
    for (int i = 0; i < 4; i++) {
        assert_true(out[i] == v[i % 2]);
        assert_true(dq[i] == 0);
    }
    assert_true(dk[0] == 0 && dk[1] == 0);
    assert_true(dv[0] == 4 && dv[1] == 6);
}

/* ---- divergence ------------------------------------------------------------------------- */

static void check_divergence(uint32_t n, float spread)
{
    const float scale = 0.125f;
    el_random r = {n};
    float *ours = naive_noise(&r, n, spread), *theirs = naive_noise(&r, n, spread);
    float *scratch = naive_zeroes(n, sizeof *scratch), *kept = naive_zeroes(n, sizeof *kept);
    double *p = naive_double(ours, n), *q = naive_double(theirs, n);
    double want = naive_divergence(ours, theirs, n);
    memcpy(kept, theirs, n * sizeof *kept);
    double got = el_divergence_row(ours, theirs, n, scale, scratch);
    assert_true(fabs(got - want) < 2e-6 * (1 + fabs(want)));
    assert_memory_equal(kept, theirs, n * sizeof *kept);
    naive_softmax(p, n);
    naive_softmax(q, n);
    for (uint32_t i = 0; i < n; i++)
        assert_true(fabs(ours[i] - (p[i] - q[i]) * (double)scale) < 1e-7);
    void *used[] = {ours, theirs, scratch, kept, p, q};
    for (size_t i = 0; i < LENGTH(used); i++)
        free(used[i]);
}

static void test_divergence(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 8, 13, 300, 4099};
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        check_divergence(sizes[i], 0.1f);
        check_divergence(sizes[i], 6);
    }
}

static void test_divergence_of_equals(void **state)
{
    (void)state;
    el_random r = {5};
    float *ours = naive_noise(&r, 300, 3), *theirs = naive_zeroes(300, sizeof *theirs);
    float *scratch = naive_zeroes(300, sizeof *scratch);
    memcpy(theirs, ours, 300 * sizeof *theirs);
    assert_true(el_divergence_row(ours, theirs, 300, 1.0f, scratch) == 0);
    for (int i = 0; i < 300; i++)
        assert_true(ours[i] == 0);
    free(ours);
    free(theirs);
    free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_norm_of_zeroes),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_gates),
        cmocka_unit_test(test_gates_far_out),
        cmocka_unit_test(test_soft_caps),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_attention_to_itself),
        cmocka_unit_test(test_divergence_of_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
