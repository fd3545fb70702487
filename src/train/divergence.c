/*
 * divergence.c: with logits s and o of one position,
 *
 *     KL = sum p (s - o) + log sum exp(o) - log sum exp(s),   p = exp(s) / sum exp(s)
 *
 * where each sum over the vocabulary is put together from those over its slices.
 */
#include "train/divergence.h"

#include <math.h>
#include <string.h>

#include "train/clones.h"

enum { SLICE = 1024, LANES = 16 };
#define MOST_NATS 100.0 /* for logits that overflow */

static uint32_t slices_of(const el_divergence *d)
{
    return (d->source->config.vocab + SLICE - 1) / SLICE;
}

/* Scratch of a member: rows (SLICE, dim), then three times logits (positions, SLICE). */
static size_t scratch_floats(const el_divergence *d)
{
    return (size_t)SLICE * (d->source->config.dim + 3 * (size_t)d->positions);
}

void el_divergence_layout(el_divergence *d, el_arena *a)
{
    size_t row = d->source->config.dim * sizeof(float);
    d->theirs = el_arena_take(a, d->positions, row);
    d->ours = el_arena_take(a, (size_t)d->most * d->positions, row);
    d->scratch = el_arena_take(a, d->members, scratch_floats(d) * sizeof(float));
    d->sums = el_arena_take(a, (size_t)slices_of(d) * (d->most + 1),
                            (size_t)d->positions * 2 * sizeof(double));
}

typedef struct comparison {
    el_divergence *d;
    uint32_t count;
    el_head_rows_fn rows;
    void *context;
} comparison;

/* Two numbers of a position in a slice: log sum exp of its logits; and sum p (s - o), where p adds
 * up to 1 in the slice. Model 0 is the source. */
static double *sums_of(const el_divergence *d, uint32_t slice, uint32_t model)
{
    return d->sums + ((size_t)slice * (d->most + 1) + model) * d->positions * 2;
}

EL_CLONES static double expected_gap(const float *p, const float *s, const float *o, uint32_t n)
{
    float sum[LANES] = {0};
    uint32_t whole = n - n % LANES;
    double total = 0;
    for (uint32_t i = 0; i < whole; i += LANES) {
        for (uint32_t l = 0; l < LANES; l++)
            sum[l] += p[i + l] * (s[i + l] - o[i + l]);
    }
    for (uint32_t i = whole; i < n; i++)
        sum[i - whole] += p[i] * (s[i] - o[i]);
    for (uint32_t l = 0; l < LANES; l++)
        total += sum[l];
    return total;
}

static void slice_piece(void *context, uint32_t slice, unsigned member)
{
    const comparison *c = context;
    el_divergence *d = c->d;
    uint32_t dim = d->source->config.dim, first = slice * SLICE, m = d->positions;
    uint32_t left = d->source->config.vocab - first, n = left < SLICE ? left : SLICE;
    float *rows = d->scratch + member * scratch_floats(d), *s = rows + (size_t)SLICE * dim;
    float *p = s + (size_t)m * SLICE, *o = p + (size_t)m * SLICE;
    double *sums = sums_of(d, slice, 0);
    el_source_rows(d->source->head, first, n, rows);
    el_linear(d->theirs, rows, m, n, dim, false, s);
    el_source_cap(d->source, s, m * n);
    memcpy(p, s, (size_t)m * n * sizeof *p);
    for (size_t i = 0; i < m; i++)
        sums[2 * i] = el_softmax_row(p + i * n, n);
    if (c->rows) c->rows(c->context, first, n, member, rows);
    for (uint32_t k = 0; k < c->count; k++) {
        sums = sums_of(d, slice, k + 1);
        el_linear(d->ours + (size_t)k * m * dim, rows, m, n, dim, false, o);
        el_source_cap(d->source, o, m * n);
        for (size_t i = 0; i < m; i++) {
            size_t at = i * n;
            sums[2 * i + 1] = expected_gap(p + at, s + at, o + at, n);
            sums[2 * i] = el_softmax_row(o + at, n);
        }
    }
}

/* log sum exp over all slices. */
static double whole_sum(const el_divergence *d, uint32_t model, size_t position)
{
    double total = sums_of(d, 0, model)[2 * position];
    for (uint32_t k = 1; k < slices_of(d); k++) {
        double slice = sums_of(d, k, model)[2 * position], top = fmax(total, slice);
        total = top + log1p(exp(fmin(total, slice) - top));
    }
    return total;
}

static double nats_at(const el_divergence *d, uint32_t model, size_t position)
{
    double theirs = whole_sum(d, 0, position), gap = whole_sum(d, model, position) - theirs;
    for (uint32_t k = 0; k < slices_of(d); k++) {
        double share = exp(sums_of(d, k, 0)[2 * position] - theirs);
        gap += share * sums_of(d, k, model)[2 * position + 1];
    }
    return gap < MOST_NATS ? fmax(gap, 0) : MOST_NATS;
}

void el_divergence_run(el_divergence *d, uint32_t count, el_head_rows_fn rows, void *context,
                       double *nats)
{
    comparison c = {d, count, rows, context};
    el_pieces_run(d->crew, slices_of(d), slice_piece, &c);
    for (uint32_t k = 0; k < count; k++) {
        nats[k] = 0;
        for (uint32_t i = 0; i < d->positions; i++)
            nats[k] += nats_at(d, k + 1, i);
        nats[k] /= d->positions;
    }
}
