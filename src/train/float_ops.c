/* float_ops.c: products go to OpenBLAS; the loops between them are left to the vectoriser. */
#include "train/float_ops.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#include "base/detmath.h"
#include "base/half.h"
#include "kernel/kernels.h"
#include "train/clones.h"

#define LANES 16 /* partial sums: fixed, so that the order of a sum is */

void el_linear(const float *x, const float *w, uint32_t n, uint32_t rows, uint32_t cols, bool add,
               float *y)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)rows, (int)cols, 1.0f, x,
                (int)cols, w, (int)cols, add ? 1.0f : 0.0f, y, (int)rows);
}

void el_linear_dx(const float *dy, const float *w, uint32_t n, uint32_t rows, uint32_t cols,
                  bool add, float *dx)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)cols, (int)rows, 1.0f, dy,
                (int)rows, w, (int)cols, add ? 1.0f : 0.0f, dx, (int)cols);
}

void el_linear_dw(const float *dy, const float *x, uint32_t n, uint32_t rows, uint32_t cols,
                  bool add, float *dw)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)rows, (int)cols, (int)n, 1.0f, dy,
                (int)rows, x, (int)cols, add ? 1.0f : 0.0f, dw, (int)cols);
}

/* ---- sums ------------------------------------------------------------------------------- */

static inline float combine(float *sum)
{
    for (uint32_t step = LANES / 2; step; step /= 2) {
        for (uint32_t l = 0; l < step; l++)
            sum[l] += sum[l + step];
    }
    return sum[0];
}

static inline float dot(const float *a, const float *b, uint32_t n)
{
    float sum[LANES] = {0};
    uint32_t whole = n - n % LANES;
    for (uint32_t i = 0; i < whole; i += LANES) {
        for (uint32_t l = 0; l < LANES; l++)
            sum[l] += a[i + l] * b[i + l];
    }
    for (uint32_t i = whole; i < n; i++)
        sum[i - whole] += a[i] * b[i];
    return combine(sum);
}

/* ---- norm ------------------------------------------------------------------------------- */

EL_CLONES void el_rms_norm(const float *x, const float *weight, uint32_t n, uint32_t dim, float eps,
                           float *y)
{
    for (uint32_t t = 0; t < n; t++, x += dim, y += dim) {
        float inverse = 1.0f / sqrtf(dot(x, x, dim) / (float)dim + eps);
        for (uint32_t i = 0; i < dim; i++)
            y[i] = x[i] * inverse * weight[i];
    }
}

/* y_i = x_i r w_i, r = (mean x^2 + eps)^(-1/2):  dx = r (w dy) - x r^3 / dim * sum(x w dy). */
EL_CLONES void el_rms_norm_back(const float *x, const float *weight, const float *dy, uint32_t n,
                                uint32_t dim, float eps, float *dx, float *dweight)
{
    for (uint32_t t = 0; t < n; t++, x += dim, dy += dim, dx += dim) {
        float r = 1.0f / sqrtf(dot(x, x, dim) / (float)dim + eps), sum[LANES] = {0};
        uint32_t whole = dim - dim % LANES;
        for (uint32_t i = 0; i < whole; i += LANES) {
            for (uint32_t l = 0; l < LANES; l++)
                sum[l] += x[i + l] * weight[i + l] * dy[i + l];
        }
        for (uint32_t i = whole; i < dim; i++)
            sum[i - whole] += x[i] * weight[i] * dy[i];
        float pull = combine(sum) * r * r * r / (float)dim;
        for (uint32_t i = 0; i < dim; i++)
            dx[i] += r * weight[i] * dy[i] - x[i] * pull;
        if (!dweight) continue;
        for (uint32_t i = 0; i < dim; i++)
            dweight[i] += x[i] * r * dy[i];
    }
}

/* ---- rotary embedding ------------------------------------------------------------------- */

void el_rope(float *x, uint32_t n, uint32_t heads, uint32_t head_dim, const el_rotary *rotary,
             float direction)
{
    uint32_t half = rotary->dim / 2;
    for (uint32_t t = 0; t < n; t++) {
        const float *cosine = rotary->cosine + (size_t)t * half;
        const float *sine = rotary->sine + (size_t)t * half;
        for (uint32_t h = 0; h < heads; h++, x += head_dim) {
            for (size_t i = 0; i < half; i++) {
                float a = x[2 * i], b = x[2 * i + 1], s = sine[i] * direction;
                x[2 * i] = a * cosine[i] - b * s;
                x[2 * i + 1] = a * s + b * cosine[i];
            }
        }
    }
}

/* ---- elementwise ------------------------------------------------------------------------ */

/* As el_expf(), for x <= 88; in line, for the vectoriser. */
static inline float exponential(float x)
{
    float z = x < EL_EXPF_MIN ? EL_EXPF_MIN : x;
    z = z > EL_EXPF_MAX ? EL_EXPF_MAX : z;
    float t = z * EL_EXPF_LOG2E + EL_EXPF_MAGIC, k = t - EL_EXPF_MAGIC;
    float r = (z - k * EL_EXPF_LN2_HI) - k * EL_EXPF_LN2_LO;
    float p =
        ((((EL_EXPF_C6 * r + EL_EXPF_C5) * r + EL_EXPF_C4) * r + EL_EXPF_C3) * r + EL_EXPF_C2);
    p = (p * r + 1.0f) * r + 1.0f;
    uint32_t power = (el_bits_of_float(t) - EL_EXPF_MAGIC_BITS + 127) << 23;
    return p * el_float_of_bits(power);
}

EL_CLONES void el_swiglu(const float *gate, const float *up, uint32_t count, float *out)
{
    for (uint32_t i = 0; i < count; i++)
        out[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
}

EL_CLONES void el_swiglu_back(const float *gate, const float *up, const float *dout, uint32_t count,
                              float *dgate, float *dup)
{
    for (uint32_t i = 0; i < count; i++) {
        float s = 1.0f / (1.0f + exponential(-gate[i])), silu = gate[i] * s, d = dout[i];
        dgate[i] = d * up[i] * (s + silu * (1.0f - s));
        dup[i] = d * silu;
    }
}

/* s of GELU, which is x s, in the engine's form (kernel/kernels.h), and its derivative by x. Beyond
 * 16 it is 1 or 0 as floats are. */
static inline float gelu_share(float x, float *slope)
{
    float z = x < -16.0f ? -16.0f : x;
    z = z > 16.0f ? 16.0f : z;
    float s = 1.0f / (1.0f + exponential(z * (EL_GELU_A + EL_GELU_B * (z * z))));
    *slope = -s * (1.0f - s) * (EL_GELU_A + 3.0f * EL_GELU_B * (z * z));
    return s;
}

EL_CLONES void el_geglu(const float *gate, const float *up, uint32_t count, float *out)
{
    for (uint32_t i = 0; i < count; i++) {
        float slope;
        out[i] = gate[i] * gelu_share(gate[i], &slope) * up[i];
    }
}

EL_CLONES void el_geglu_back(const float *gate, const float *up, const float *dout, uint32_t count,
                             float *dgate, float *dup)
{
    for (uint32_t i = 0; i < count; i++) {
        float slope, s = gelu_share(gate[i], &slope), d = dout[i];
        dgate[i] = d * up[i] * (s + gate[i] * slope);
        dup[i] = d * (gate[i] * s);
    }
}

EL_CLONES void el_reglu2(const float *gate, const float *up, uint32_t count, float *out)
{
    for (uint32_t i = 0; i < count; i++) {
        float r = gate[i] > 0.0f ? gate[i] : 0.0f;
        out[i] = r * r * up[i];
    }
}

EL_CLONES void el_reglu2_back(const float *gate, const float *up, const float *dout, uint32_t count,
                              float *dgate, float *dup)
{
    for (uint32_t i = 0; i < count; i++) {
        float r = gate[i] > 0.0f ? gate[i] : 0.0f, d = dout[i];
        dgate[i] = d * up[i] * (2.0f * r);
        dup[i] = d * (r * r);
    }
}

EL_CLONES void el_soft_cap(float *x, uint32_t count, float cap)
{
    for (uint32_t i = 0; i < count; i++) {
        float e = exponential(x[i] / cap * -2.0f);
        x[i] = (1.0f - e) / (1.0f + e) * cap;
    }
}

EL_CLONES void el_soft_cap_back(const float *y, uint32_t count, float cap, float *dy)
{
    for (uint32_t i = 0; i < count; i++) {
        float t = y[i] / cap;
        dy[i] *= 1.0f - t * t;
    }
}

/* ---- attention -------------------------------------------------------------------------- */

EL_CLONES double el_softmax_row(float *x, uint32_t n)
{
    float top[LANES], sum[LANES] = {0};
    for (uint32_t l = 0; l < LANES; l++)
        top[l] = x[0];
    for (uint32_t i = 0; i < n; i++)
        top[i % LANES] = x[i] > top[i % LANES] ? x[i] : top[i % LANES];
    for (uint32_t l = 1; l < LANES; l++)
        top[0] = top[l] > top[0] ? top[l] : top[0];
    for (uint32_t i = 0; i < n; i++)
        x[i] = exponential(x[i] - top[0]);
    uint32_t whole = n - n % LANES;
    for (uint32_t i = 0; i < whole; i += LANES) {
        for (uint32_t l = 0; l < LANES; l++)
            sum[l] += x[i + l];
    }
    for (uint32_t i = whole; i < n; i++)
        sum[i - whole] += x[i];
    float total = combine(sum), inverse = 1.0f / total;
    for (uint32_t i = 0; i < n; i++)
        x[i] *= inverse;
    return (double)top[0] + log((double)total);
}

static float scale_of(const el_attention *a)
{
    return a->scale != 0.0f ? a->scale : 1.0f / sqrtf((float)a->head_dim);
}

/* s (n, n): every query of one head against every key. */
static void scores(const el_attention *a, const float *q, const float *k, float *s)
{
    int n = (int)a->n;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, (int)a->head_dim, scale_of(a), q,
                (int)(a->heads * a->head_dim), k, (int)(a->kv_heads * a->head_dim), 0.0f, s, n);
    if (a->cap != 0.0f) el_soft_cap(s, a->n * a->n, a->cap);
}

/* p (n, n): the probabilities of one head; row t has as many that are not 0 as t attends to. */
static void probabilities(const el_attention *a, const float *q, const float *k, float *p)
{
    uint32_t n = a->n;
    scores(a, q, k, p);
    for (uint32_t t = 0; t < n; t++) {
        float *row = p + (size_t)t * n;
        uint32_t end = t + 1, begin = a->window && end > a->window ? end - a->window : 0;
        el_softmax_row(row + begin, end - begin);
        memset(row, 0, begin * sizeof *row);
        memset(row + end, 0, (n - end) * sizeof *row);
    }
}

void el_attend(const el_attention *a, const float *q, const float *k, const float *v, float *out,
               float *scratch)
{
    int n = (int)a->n, d = (int)a->head_dim, wide = (int)(a->heads * a->head_dim);
    int narrow = (int)(a->kv_heads * a->head_dim);
    for (uint32_t h = 0; h < a->heads; h++) {
        size_t at = (size_t)h * a->head_dim;
        size_t kv = (size_t)(h / (a->heads / a->kv_heads)) * a->head_dim;
        probabilities(a, q + at, k + kv, scratch);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, d, n, 1.0f, scratch, n, v + kv,
                    narrow, 0.0f, out + at, wide);
    }
}

/* ds = p (dp - sum(p dp)) per row, into dp. */
EL_CLONES static void softmax_back(const float *p, float *dp, uint32_t n)
{
    for (uint32_t t = 0; t < n; t++, p += n, dp += n) {
        float pull = dot(p, dp, t + 1);
        for (uint32_t i = 0; i <= t; i++)
            dp[i] = p[i] * (dp[i] - pull);
        memset(dp + t + 1, 0, (n - t - 1) * sizeof *dp);
    }
}

void el_attend_back(const el_attention *a, const float *q, const float *k, const float *v,
                    const float *dout, float *dq, float *dk, float *dv, float *scratch)
{
    int n = (int)a->n, d = (int)a->head_dim, wide = (int)(a->heads * a->head_dim);
    int narrow = (int)(a->kv_heads * a->head_dim);
    uint32_t share = a->heads / a->kv_heads;
    size_t square = (size_t)a->n * a->n;
    float *p = scratch, *dp = scratch + square, *capped = dp + square, scale = scale_of(a);
    for (uint32_t h = 0; h < a->heads; h++) {
        size_t at = (size_t)h * a->head_dim, kv = (size_t)(h / share) * a->head_dim;
        float add = h % share ? 1.0f : 0.0f; /* heads that share keys and values */
        probabilities(a, q + at, k + kv, p);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, d, n, 1.0f, p, n, dout + at, wide,
                    add, dv + kv, narrow);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, d, 1.0f, dout + at, wide, v + kv,
                    narrow, 0.0f, dp, n);
        softmax_back(p, dp, a->n);
        if (a->cap != 0.0f) {
            scores(a, q + at, k + kv, capped);
            el_soft_cap_back(capped, a->n * a->n, a->cap, dp);
        }
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, d, n, scale, dp, n, k + kv,
                    narrow, 0.0f, dq + at, wide);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, d, n, scale, dp, n, q + at, wide,
                    add, dk + kv, narrow);
    }
}

/* sum of p (a - b) over a row, in double. */
EL_CLONES static double expected_difference(const float *p, const float *a, const float *b,
                                            uint32_t n)
{
    double sum[8] = {0};
    for (uint32_t i = 0; i + 8 <= n; i += 8) {
        for (uint32_t l = 0; l < 8; l++)
            sum[l] += (double)p[i + l] * ((double)a[i + l] - b[i + l]);
    }
    for (uint32_t i = n - n % 8; i < n; i++)
        sum[i % 8] += (double)p[i] * ((double)a[i] - b[i]);
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

EL_CLONES static void scaled_difference(float *a, const float *b, uint32_t n, float scale)
{
    for (uint32_t i = 0; i < n; i++)
        a[i] = (a[i] - b[i]) * scale;
}

double el_divergence_row(float *ours, const float *theirs, uint32_t n, float scale, float *scratch)
{
    memcpy(scratch, theirs, n * sizeof *scratch);
    double log_theirs = el_softmax_row(scratch, n);
    double gain = expected_difference(scratch, theirs, ours, n);
    double log_ours = el_softmax_row(ours, n);
    scaled_difference(ours, scratch, n, scale);
    return gain - log_theirs + log_ours;
}
