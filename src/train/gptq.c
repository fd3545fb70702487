/* gptq.c: factors in double by LAPACK, the rounding in float. */
#include "train/gptq.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/clones.h"
#include "train/hadamard.h"

enum { ATTEMPTS = 5 }; /* dampings tried, each ten times the one before */

static double mean_diagonal(const float *h, uint32_t cols)
{
    double sum = 0;
    for (uint32_t i = 0; i < cols; i++)
        sum += h[(size_t)i * cols + i];
    return sum / cols;
}

/* a = h + damping * its mean diagonal (or 1, where all inputs are 0). */
static void damped(const float *h, uint32_t cols, double damping, double *a)
{
    double mean = mean_diagonal(h, cols), add = mean > 0 ? damping * mean : 1.0;
    for (size_t i = 0; i < (size_t)cols * cols; i++)
        a[i] = h[i];
    for (uint32_t i = 0; i < cols; i++)
        a[(size_t)i * cols + i] += add;
}

static edgellm_status no_factor(uint32_t cols, edgellm_error *err)
{
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "the inputs of a matrix with %u columns have no usable second moments: the "
                   "calibration text is too short, or the model's weights overflow",
                   cols);
}

static edgellm_status no_memory(uint32_t cols, edgellm_error *err)
{
    return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory: %zu bytes for second moments",
                   (size_t)cols * cols * sizeof(double));
}

/* The upper Cholesky factor of the inverse; false if there is none. */
static bool invert(const float *h, uint32_t cols, double damping, double *a)
{
    int n = (int)cols;
    damped(h, cols, damping, a);
    return LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', n, a, n) == 0 &&
           LAPACKE_dpotri(LAPACK_COL_MAJOR, 'L', n, a, n) == 0 &&
           LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', n, a, n) == 0;
}

/* Moments of rotated inputs: rows and columns of h are. */
static const float *rotate_moments(const float *h, uint32_t cols, float *to)
{
    size_t n = (size_t)cols * cols;
    memcpy(to, h, n * sizeof *to);
    for (int pass = 0; pass < 2; pass++) {
        el_hadamard(to, n / EL_ROTATION_WIDTH);
        for (uint32_t i = 0; i < cols; i++) {
            for (uint32_t j = 0; j < i; j++) {
                float swap = to[(size_t)i * cols + j];
                to[(size_t)i * cols + j] = to[(size_t)j * cols + i];
                to[(size_t)j * cols + i] = swap;
            }
        }
    }
    return to;
}

edgellm_status el_gptq_prepare(const float *h, uint32_t cols, bool rotated, float damping,
                               float *factor, float *importance, el_gptq *gptq, edgellm_error *err)
{
    if (rotated) h = rotate_moments(h, cols, factor);
    double *a = malloc((size_t)cols * cols * sizeof *a), d = damping;
    if (!a) return no_memory(cols, err);
    bool done = false;
    for (int i = 0; i < ATTEMPTS && !done; i++) {
        done = isfinite(mean_diagonal(h, cols)) && invert(h, cols, d, a);
        d *= 10;
    }
    float floor = (float)(mean_diagonal(h, cols) * 1e-4) + 1e-30f;
    for (uint32_t i = 0; i < cols && done; i++) {
        importance[i] = h[(size_t)i * cols + i] > floor ? h[(size_t)i * cols + i] : floor;
        for (uint32_t j = 0; j < cols; j++)
            factor[(size_t)i * cols + j] = j < i ? 0.0f : (float)a[(size_t)i * cols + j];
    }
    free(a);
    *gptq = (el_gptq){cols, factor, importance};
    return done ? EDGELLM_OK : no_factor(cols, err);
}

edgellm_status el_gptq_correct(const float *h, uint32_t cols, float damping, float *t,
                               uint32_t rows, edgellm_error *err)
{
    double *a = malloc((size_t)cols * cols * sizeof *a);
    double *b = malloc((size_t)rows * cols * sizeof *b);
    edgellm_status status = EDGELLM_OK;
    if (!a || !b) {
        status = no_memory(cols, err);
    } else {
        damped(h, cols, damping, a);
        for (size_t i = 0; i < (size_t)rows * cols; i++)
            b[i] = t[i];
        /* Row-major (rows, cols) is what LAPACK sees as (cols, rows) right-hand sides. */
        int failed =
            !isfinite(mean_diagonal(h, cols)) ||
            LAPACKE_dposv(LAPACK_COL_MAJOR, 'U', (int)cols, (int)rows, a, (int)cols, b, (int)cols);
        if (failed) status = no_factor(cols, err);
        for (size_t i = 0; i < (size_t)rows * cols && !failed; i++)
            t[i] = (float)b[i];
    }
    free(a);
    free(b);
    return status;
}

EL_CLONES static void spread(float *w, const float *factor, uint32_t n, float error)
{
    for (uint32_t i = 0; i < n; i++)
        w[i] -= error * factor[i];
}

/* Rounds the columns of one group of one row; errors (n) receives what was lost, scaled. */
static void round_group(const el_gptq *g, el_latent *l, uint32_t row, uint32_t group, float *w,
                        float *errors)
{
    uint32_t begin, n = el_latent_span(l, group, &begin);
    uint16_t *u = l->u + (size_t)row * l->cols + begin;
    el_latent_fit(l, row, group, w + begin, g->importance + begin);
    for (uint32_t i = 0; i < n; i++) {
        const float *factor = g->factor + (size_t)(begin + i) * g->cols + begin + i;
        u[i] = el_latent_place(l, row, group, w[begin + i]);
        errors[i] = (w[begin + i] - el_latent_value(l, row, group, u[i])) / factor[0];
        spread(w + begin + i + 1, factor + 1, n - i - 1, errors[i]);
    }
}

/* The same for the rows of a tile, whose codes are chained: column by column. w: (count, cols) of
 * the tile, errors: (count, n). */
static void round_chained(const el_gptq *g, el_latent *l, uint32_t first, uint32_t count,
                          uint32_t group, float *w, float *errors)
{
    uint32_t begin, n = el_latent_span(l, group, &begin);
    for (uint32_t r = 0; r < count; r++)
        el_latent_fit(l, first + r, group, w + (size_t)r * l->cols + begin, g->importance + begin);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t col = begin + i;
        const float *factor = g->factor + (size_t)col * g->cols + col;
        for (uint32_t r = 0; r < count; r++)
            l->u[(size_t)(first + r) * l->cols + col] =
                el_latent_place(l, first + r, group, w[(size_t)r * l->cols + col]);
        el_latent_settle(l, first, count, col, col + 1);
        for (uint32_t r = 0; r < count; r++) {
            float *at = w + (size_t)r * l->cols + col, *error = errors + (size_t)r * n + i;
            *error = (*at - el_latent_chained(l, first + r, group, col)) / factor[0];
            spread(at + 1, factor + 1, n - i - 1, *error);
        }
    }
}

/* The same for all rows, chained or not. */
static void round_groups(const el_gptq *g, el_latent *l, uint32_t first, uint32_t count,
                         uint32_t group, float *w, float *errors)
{
    uint32_t begin, n = el_latent_span(l, group, &begin), rows = l->codes ? EL_TILE : 1;
    for (uint32_t r = 0; r < count; r += rows) {
        float *at = w + (size_t)r * l->cols, *lost = errors + (size_t)r * n;
        if (l->codes)
            round_chained(g, l, first + r, count - r < rows ? count - r : rows, group, at, lost);
        else
            round_group(g, l, first + r, group, at, lost);
    }
}

/* alike: room for a group. */
static void keep_row(const el_latent *l, uint32_t row, const float *w, float *alike)
{
    for (uint32_t i = 0; i < l->group; i++)
        alike[i] = 1.0f;
    for (uint32_t group = 0; group < l->groups; group++)
        el_latent_fit(l, row, group, w + (size_t)group * l->group, alike);
}

void el_gptq_rows(const el_gptq *g, el_latent *l, uint32_t first, uint32_t count, float *w,
                  float *errors)
{
    if (l->rotated) el_hadamard(w, (size_t)count * l->cols / EL_ROTATION_WIDTH);
    for (uint32_t r = 0; r < count; r++)
        el_latent_references(l, first + r, w + (size_t)r * l->cols);
    for (uint32_t r = 0; r < count && l->kept; r++)
        keep_row(l, first + r, w + (size_t)r * l->cols, errors);
    if (l->kept) return;
    for (uint32_t group = 0; group < l->groups; group++) {
        uint32_t begin, n = el_latent_span(l, group, &begin), end = begin + n;
        round_groups(g, l, first, count, group, w, errors);
        if (end == l->cols) break;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)count, (int)(l->cols - end),
                    (int)n, -1.0f, errors, (int)n, g->factor + (size_t)begin * g->cols + end,
                    (int)g->cols, 1.0f, w + end, (int)l->cols);
    }
}
