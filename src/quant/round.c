/*
 * round.c: writes fits (fit.h) into the planes of a tensor. A row with byte scales needs its
 * references first, which are the largest of its groups' fits; so its groups are fitted ahead.
 */
#include "quant/round.h"

#include "base/half.h"
#include "kernel/matrix_pack.h"
#include "quant/fit.h"

#define PIECE 128 /* weights whose codes are packed at once */
#define AHEAD 512 /* fits kept from the first pass over a row; later ones are made again */

el_codec el_round_codec(unsigned bits, bool offset)
{
    static const el_codec codecs[9][2] = {
        [1] = {EL_CODEC_B1},
        [2] = {EL_CODEC_S2, EL_CODEC_O2},
        [3] = {EL_CODEC_S3, EL_CODEC_O3},
        [4] = {EL_CODEC_S4, EL_CODEC_O4},
        [8] = {EL_CODEC_I8, EL_CODEC_O8},
    };
    if (bits == EL_ROUND_TERNARY) return offset ? EL_CODEC_F32 : EL_CODEC_T1;
    return bits <= 8 ? codecs[bits][offset] : EL_CODEC_F32;
}

/* The planes of a tensor, in the order of el_matrix_layout: those of `m`, which lie in memory of
 * ours, without the const. */
typedef struct planes {
    const el_matrix *m;
    uint8_t *codes;
    void *scales, *offsets;
    uint16_t *refs, *orefs;
} planes;

static planes planes_of(const el_matrix *m, uint8_t *data)
{
    return (planes){
        .m = m,
        .codes = data,
        .scales = (void *)m->scales,
        .offsets = (void *)m->offsets,
        .refs = (uint16_t *)m->refs,
        .orefs = (uint16_t *)m->orefs,
    };
}

/* One group of one row. */
typedef struct piece {
    const float *x;
    uint32_t n, row, group;
    el_codec codec;
    size_t index; /* in the planes of scales and offsets */
} piece;

static piece piece_of(const el_matrix *m, const float *w, uint32_t row, uint32_t group)
{
    uint32_t width = m->group_blocks * EL_BLOCK, begin = group * width;
    uint32_t n = m->cols - begin < width ? m->cols - begin : width;
    size_t index = ((size_t)(row / EL_TILE) * m->groups + group) * EL_TILE + row % EL_TILE;
    return (piece){w + begin, n, row, group, (el_codec)m->codec, index};
}

static void put_codes(const planes *p, const piece *g, float scale, float offset)
{
    uint32_t begin = g->group * p->m->group_blocks * EL_BLOCK;
    for (uint32_t done = 0; done < g->n; done += PIECE) {
        int8_t codes[PIECE];
        uint32_t n = g->n - done < PIECE ? g->n - done : PIECE;
        el_fit_codes(g->x + done, n, g->codec, scale, offset, codes);
        el_matrix_set_codes(p->codes, g->codec, p->m->blocks, g->row, begin + done, n, codes);
    }
}

static void round_row_half(const planes *p, const float *w, uint32_t row)
{
    for (uint32_t group = 0; group < p->m->groups; group++) {
        piece g = piece_of(p->m, w, row, group);
        el_fit fit = el_fit_search(g.x, g.n, g.codec, true);
        ((uint16_t *)p->scales)[g.index] = el_fit_half(fit.scale);
        if (p->offsets) ((uint16_t *)p->offsets)[g.index] = el_fit_half(fit.offset);
        put_codes(p, &g, fit.scale, fit.offset);
    }
}

/* References of a row as the kernels will read them. */
typedef struct references {
    float scale, offset;
} references;

typedef struct byte_fit {
    uint8_t k;
    int8_t o;
    float scale, offset, error;
} byte_fit;

static int8_t nearest_step(float offset, float reference)
{
    float o = reference > 0 ? offset / reference : 0.0f;
    o = o > 127.0f ? 127.0f : o < -127.0f ? -127.0f : o;
    return (int8_t)((o + 12582912.0f) - 12582912.0f); /* to nearest even */
}

static byte_fit try_byte(const piece *g, const el_fit *fit, references ref, uint8_t k)
{
    byte_fit b = {.k = k, .scale = ref.scale * el_scale_table[k]};
    if (el_codecs[g->codec].offset) {
        float offset = el_fit_recentre(fit, g->codec, b.scale);
        offset = el_fit_offset(g->x, g->n, g->codec, b.scale, offset);
        b.o = nearest_step(offset, ref.offset);
        b.offset = ref.offset * (float)b.o;
    }
    b.error = el_fit_error(g->x, g->n, g->codec, b.scale, b.offset);
    return b;
}

/* The first k whose scale is not above the one wanted: it or a neighbour is the best. */
static int scale_step(float scale, float reference)
{
    int low = 0, high = 255;
    while (low < high) {
        int k = (low + high) / 2;
        if (reference * el_scale_table[k] <= scale) {
            high = k;
        } else {
            low = k + 1;
        }
    }
    return low;
}

static byte_fit best_byte(const piece *g, const el_fit *fit, references ref)
{
    if (!(fit->scale > 0)) return try_byte(g, fit, ref, 255);
    int middle = scale_step(fit->scale, ref.scale);
    byte_fit best = try_byte(g, fit, ref, (uint8_t)middle);
    for (int k = middle - 1; k <= middle + 1; k += 2) {
        if (k < 0 || k > 255) continue;
        byte_fit b = try_byte(g, fit, ref, (uint8_t)k);
        if (b.error < best.error) best = b;
    }
    return best;
}

static void round_row_byte(const planes *p, const float *w, uint32_t row)
{
    el_fit ahead[AHEAD] = {{0}};
    float scale = 0, offset = 0;
    for (uint32_t group = 0; group < p->m->groups; group++) {
        piece g = piece_of(p->m, w, row, group);
        el_fit fit = el_fit_search(g.x, g.n, g.codec, false);
        float magnitude = fit.offset < 0 ? -fit.offset : fit.offset;
        if (fit.scale > scale) scale = fit.scale;
        if (magnitude > offset) offset = magnitude;
        if (group < AHEAD) ahead[group] = fit;
    }
    p->refs[row] = el_fit_half_above(scale);
    references ref = {el_float_of_half(p->refs[row]), 0};
    if (p->orefs) {
        p->orefs[row] = el_fit_half_above(offset / 127.0f);
        ref.offset = el_float_of_half(p->orefs[row]);
    }
    for (uint32_t group = 0; group < p->m->groups; group++) {
        piece g = piece_of(p->m, w, row, group);
        el_fit fit = group < AHEAD ? ahead[group] : el_fit_search(g.x, g.n, g.codec, false);
        byte_fit b = best_byte(&g, &fit, ref);
        ((uint8_t *)p->scales)[g.index] = b.k;
        if (p->offsets) ((int8_t *)p->offsets)[g.index] = b.o;
        put_codes(p, &g, b.scale, b.offset);
    }
}

void el_round_rows(const float *w, uint32_t first, uint32_t count, const el_matrix *m,
                   uint8_t *data)
{
    const planes p = planes_of(m, data);
    for (uint32_t i = 0; i < count; i++) {
        const float *row = w + (size_t)i * m->cols;
        if (m->scale_kind == EL_SCALE_BYTE) {
            round_row_byte(&p, row, first + i);
        } else {
            round_row_half(&p, row, first + i);
        }
    }
}

void el_round_matrix(const float *w, uint32_t rows, uint32_t cols, el_codec codec,
                     el_scale_kind kind, uint32_t group, uint8_t *data)
{
    el_matrix m;
    if (el_matrix_view(&m, data, rows, cols, codec, kind, group)) return;
    el_round_rows(w, 0, rows, &m, data);
}
