/* latent.c: see latent.h. */
#include "train/latent.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernel/matrix_pack.h"
#include "quant/fit.h"
#include "train/chain.h"
#include "train/clones.h"
#include "train/hadamard.h"

#define MAGIC      12582912.0f /* 1.5 * 2^23: sums near it are rounded to integers, ties to even */
#define STEPS_MAX  254.0f      /* 255 stands for a scale of 0 */
#define SHIFTS_MAX 127.0f
#define ROOM       1.25f /* how far above the largest scale of a row its reference lies */
#define MARGIN     2.0f  /* of latents of chained codes, beyond the outermost level */
#define BETA1      0.9f
#define BETA2      0.99f

typedef struct range {
    float low, high, zero;
} range;

static range range_of(el_codec codec)
{
    if (el_codecs[codec].levels) {
        float high = MARGIN - (float)el_codecs[codec].bias;
        return (range){-high, high, 0.0f};
    }
    if (el_codecs[codec].bits == 8) return (range){-127.0f, 127.0f, 0.0f};
    float high = (float)((1 << el_codecs[codec].bits) - 1);
    return (range){0.0f, high, el_codecs[codec].offset ? 0.0f : high * 0.5f};
}

/* By the standard deviation of normally distributed weights, of which the best even steps are .996
 * (2 bits) and .586 (3 bits). */
static float pace_of(el_codec codec)
{
    if (!el_codecs[codec].levels) return 1.0f;
    return (el_codecs[codec].bits == 2 ? 0.996f : 0.586f) / el_chain_unit(codec);
}

el_latent el_latent_layout(el_arena *arena, uint32_t rows, uint32_t cols, el_codec codec,
                           uint32_t group)
{
    range r = range_of(codec);
    if (group == 0) group = (cols + EL_BLOCK - 1) / EL_BLOCK * EL_BLOCK;
    el_latent l = {.rows = rows,
                   .cols = cols,
                   .group = group,
                   .groups = (cols + group - 1) / group,
                   .codec = codec,
                   .low = r.low,
                   .high = r.high,
                   .zero = r.zero,
                   .floor = r.low - 0.5f,
                   .unit = (r.high - r.low + 1.0f) / 65535.0f,
                   .pace = pace_of(codec)};
    size_t groups = (size_t)rows * l.groups;
    l.u = el_arena_take(arena, (size_t)rows * cols, sizeof *l.u);
    l.steps = el_arena_take(arena, groups, sizeof(float));
    l.ref = el_arena_take(arena, rows, sizeof(float));
    if (el_codecs[codec].offset) {
        l.shifts = el_arena_take(arena, groups, sizeof(float));
        l.oref = el_arena_take(arena, rows, sizeof(float));
    }
    if (el_codecs[codec].levels)
        l.codes = el_arena_take(arena, (size_t)rows * cols, sizeof *l.codes);
    return l;
}

static inline float nearest(float x)
{
    return (x + MAGIC) - MAGIC;
}

static inline float clamp(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

static inline float code_of(const el_latent *l, float u)
{
    return nearest(clamp(u, l->low, l->high));
}

int el_latent_code(const el_latent *l, uint16_t u)
{
    return (int)code_of(l, el_latent_float(l, u));
}

float el_latent_scale(const el_latent *l, uint32_t row, uint32_t group)
{
    float k = nearest(l->steps[(size_t)row * l->groups + group]);
    return l->ref[row] * el_scale_table[(int)k];
}

float el_latent_offset(const el_latent *l, uint32_t row, uint32_t group)
{
    if (!l->shifts) return 0.0f;
    return l->oref[row] * nearest(l->shifts[(size_t)row * l->groups + group]);
}

uint16_t el_latent_place(const el_latent *l, uint32_t row, uint32_t group, float w)
{
    float s = el_latent_scale(l, row, group);
    if (!(s > 0)) return el_latent_number(l, l->zero);
    return el_latent_number(l, (w - el_latent_offset(l, row, group)) / s + l->zero);
}

float el_latent_value(const el_latent *l, uint32_t row, uint32_t group, uint16_t u)
{
    return el_latent_scale(l, row, group) * (code_of(l, el_latent_float(l, u)) - l->zero) +
           el_latent_offset(l, row, group);
}

EL_CLONES static void plain_weights(const el_latent *l, const uint16_t *u, uint32_t n, float s,
                                    float m, float *w)
{
    for (uint32_t i = 0; i < n; i++)
        w[i] = s * (code_of(l, el_latent_float(l, u[i])) - l->zero) + m;
}

/* The codes of the row before a row of a tile; NULL: padding, all 0. */
static const uint8_t *codes_before(const el_latent *l, uint32_t row)
{
    const uint32_t before = row % EL_TILE ? row - 1 : row + EL_TILE - 1;
    return before < l->rows ? l->codes + (size_t)before * l->cols : NULL;
}

/* s * level of chained codes. */
static void chained_weights(const el_latent *l, uint32_t row, uint32_t begin, uint32_t n, float s,
                            float *w)
{
    const el_codec_info *info = &el_codecs[l->codec];
    const uint8_t *codes = l->codes + (size_t)row * l->cols, *before = codes_before(l, row);
    for (uint32_t i = 0; i < n; i++) {
        const unsigned last = before ? before[begin + i] : 0;
        w[i] = s * (float)info->levels[el_chained_index(info->bits, codes[begin + i], last)];
    }
}

float el_latent_chained(const el_latent *l, uint32_t row, uint32_t group, uint32_t col)
{
    float w;
    chained_weights(l, row, col, 1, el_latent_scale(l, row, group), &w);
    return w;
}

/* The stored weights of one group. */
static void group_weights(const el_latent *l, uint32_t row, uint32_t group, float *w)
{
    uint32_t begin, n = el_latent_span(l, group, &begin);
    const float s = el_latent_scale(l, row, group);
    if (l->codes)
        chained_weights(l, row, begin, n, s, w);
    else
        plain_weights(l, l->u + (size_t)row * l->cols + begin, n, s,
                      el_latent_offset(l, row, group), w);
}

void el_latent_weights(const el_latent *l, uint32_t first, uint32_t count, float *w)
{
    for (uint32_t r = first; r < first + count; r++, w += l->cols) {
        for (uint32_t g = 0; g < l->groups; g++) {
            group_weights(l, r, g, w + (size_t)g * l->group);
        }
        if (l->rotated) el_hadamard_back(w, l->cols / EL_ROTATION_WIDTH);
    }
}

/* ---- chained codes ---------------------------------------------------------------------- */

/* Columns begin .. end - 1 of a group of a tile, `rows` of whose rows there are. */
static void settle_group(const el_latent *l, uint32_t first, uint32_t rows, uint32_t group,
                         uint32_t begin, uint32_t end)
{
    enum { COLUMNS = EL_CHAIN_COLUMNS };
    float x[EL_TILE][COLUMNS] = {{0}}, importance[EL_TILE];
    uint8_t codes[EL_TILE][COLUMNS];
    for (uint32_t r = 0; r < rows; r++) {
        const float s = el_latent_scale(l, first + r, group);
        importance[r] = s * s;
    }
    for (uint32_t col = begin; col < end; col += COLUMNS) {
        const uint32_t n = end - col < COLUMNS ? end - col : COLUMNS;
        const size_t at = (size_t)first * l->cols + col;
        for (uint32_t r = 0; r < rows; r++) {
            for (uint32_t i = 0; i < n; i++)
                x[r][i] = el_latent_float(l, l->u[at + (size_t)r * l->cols + i]);
        }
        el_chain_search(l->codec, rows, n, (const float(*)[COLUMNS])x, importance, codes);
        for (uint32_t r = 0; r < rows; r++)
            memcpy(l->codes + at + (size_t)r * l->cols, codes[r], n);
    }
}

void el_latent_settle(const el_latent *l, uint32_t first, uint32_t count, uint32_t begin,
                      uint32_t end)
{
    if (!l->codes) return;
    for (uint32_t row = first; row < first + count; row += EL_TILE) {
        const uint32_t left = l->rows - row, rows = left < EL_TILE ? left : EL_TILE;
        for (uint32_t col = begin, stop; col < end; col = stop) {
            const uint32_t group = col / l->group;
            stop = (group + 1) * l->group < end ? (group + 1) * l->group : end;
            settle_group(l, row, rows, group, col, stop);
        }
    }
}

/* ---- fitting ---------------------------------------------------------------------------- */

typedef struct bounds {
    float least, most;
} bounds;

static bounds bounds_of(const float *x, uint32_t n)
{
    bounds b = {x[0], x[0]};
    for (uint32_t i = 1; i < n; i++) {
        b.least = x[i] < b.least ? x[i] : b.least;
        b.most = x[i] > b.most ? x[i] : b.most;
    }
    return b;
}

static float magnitude(float x)
{
    return x < 0 ? -x : x;
}

/* The range of a group: symmetric codecs have their middle at 0. */
static bounds group_range(const el_latent *l, const float *x, uint32_t n)
{
    bounds b = bounds_of(x, n);
    if (l->shifts) return b;
    float reach = magnitude(b.least) > b.most ? magnitude(b.least) : b.most;
    return (bounds){-reach, reach};
}

/* The scale with which levels suit weights: by their mean square. */
static float chained_scale(const el_latent *l, const float *x, const float *importance, uint32_t n)
{
    float sum = 0, weight = 0;
    for (uint32_t i = 0; i < n; i++) {
        const float much = importance ? importance[i] : 1.0f;
        sum += much * x[i] * x[i];
        weight += much;
    }
    return weight > 0 ? el_chain_unit(l->codec) * sqrtf(sum / weight) : 0.0f;
}

void el_latent_references(const el_latent *l, uint32_t row, const float *w)
{
    float scale = 0, offset = 0;
    for (uint32_t g = 0; g < l->groups; g++) {
        uint32_t begin, n = el_latent_span(l, g, &begin);
        if (l->codes) { /* what corrections add to a few weights counts more than for ranges */
            float s = 2.0f * chained_scale(l, w + begin, NULL, n);
            scale = s > scale ? s : scale;
            continue;
        }
        bounds b = group_range(l, w + begin, n);
        float s = (b.most - b.least) / (l->high - l->low);
        scale = s > scale ? s : scale;
        offset = magnitude(b.least) > offset ? magnitude(b.least) : offset;
    }
    if (l->oref && !(scale > 0)) scale = offset; /* one value everywhere: a scale of 0 has none */
    l->ref[row] = el_float_of_half(el_fit_half_above(scale * ROOM));
    if (l->oref) l->oref[row] = el_float_of_half(el_fit_half_above(offset * ROOM / SHIFTS_MAX));
}

EL_CLONES static float error_of(const el_latent *l, const float *x, const float *importance,
                                uint32_t n, float s, float m)
{
    float sum[16] = {0}, inverse = 1.0f / s;
    uint32_t whole = n - n % 16;
    for (uint32_t i = 0; i < whole; i += 16) {
        for (uint32_t k = 0; k < 16; k++) {
            float q = code_of(l, (x[i + k] - m) * inverse + l->zero);
            float d = x[i + k] - (s * (q - l->zero) + m);
            sum[k] += importance[i + k] * d * d;
        }
    }
    for (uint32_t i = whole; i < n; i++) {
        float q = code_of(l, (x[i] - m) * inverse + l->zero);
        float d = x[i] - (s * (q - l->zero) + m);
        sum[i - whole] += importance[i] * d * d;
    }
    for (uint32_t step = 8; step; step /= 2) {
        for (uint32_t k = 0; k < step; k++)
            sum[k] += sum[k + step];
    }
    return sum[0];
}

/* Nearest steps of a scale and an offset. */
static float steps_of(float scale, float ref)
{
    if (!(scale > 0) || !(ref > 0)) return STEPS_MAX;
    return clamp(nearest(-32.0f * log2f(scale / ref)), 0.0f, STEPS_MAX);
}

static float shifts_of(float offset, float oref)
{
    return oref > 0 ? clamp(nearest(offset / oref), -SHIFTS_MAX, SHIFTS_MAX) : 0.0f;
}

/* Tries one range, as it would be stored; keeps it if it is the best so far. */
static float try_range(const el_latent *l, uint32_t row, const float *x, const float *importance,
                       uint32_t n, bounds b, float best, float *steps, float *shifts)
{
    float k = steps_of((b.most - b.least) / (l->high - l->low), l->ref[row]), o = 0.0f, m = 0.0f;
    float s = l->ref[row] * el_scale_table[(int)k];
    if (!(s > 0)) return best;
    if (l->shifts) {
        float middle = (l->low + l->high) * 0.5f - l->zero;
        o = shifts_of((b.least + b.most) * 0.5f - s * middle, l->oref[row]);
        m = l->oref[row] * o;
    }
    float error = error_of(l, x, importance, n, s, m);
    if (!(error < best)) return best;
    *steps = k;
    *shifts = o;
    return error;
}

void el_latent_fit(const el_latent *l, uint32_t row, uint32_t group, const float *x,
                   const float *importance)
{
    enum { SHRINKS = 16, SLIDES = 5 };
    uint32_t begin, n = el_latent_span(l, group, &begin);
    size_t at = (size_t)row * l->groups + group;
    uint16_t *u = l->u + (size_t)row * l->cols + begin;
    if (l->codes) {
        l->steps[at] = steps_of(chained_scale(l, x, importance, n), l->ref[row]);
        for (uint32_t i = 0; i < n; i++)
            u[i] = el_latent_place(l, row, group, x[i]);
        return;
    }
    bounds full = group_range(l, x, n);
    float steps = STEPS_MAX, shifts = 0.0f;
    float best = try_range(l, row, x, importance, n, full, INFINITY, &steps, &shifts);
    float least = l->high < 4 ? 0.35f : l->high < 8 ? 0.5f : l->high < 16 ? 0.6f : 0.9f;
    int slides = l->shifts ? SLIDES : 1;
    for (int i = 0; i < SHRINKS; i++) {
        float f = least + (1.02f - least) * (float)i / (SHRINKS - 1);
        float middle = (full.least + full.most) * 0.5f, half = (full.most - full.least) * 0.5f * f;
        for (int j = 0; j < slides; j++) {
            int aside = slides == 1 ? 0 : j - SLIDES / 2;
            float slide = (float)aside * 0.3f * half / (l->high - l->low);
            bounds b = {middle + slide - half, middle + slide + half};
            best = try_range(l, row, x, importance, n, b, best, &steps, &shifts);
        }
    }
    l->steps[at] = steps;
    if (l->shifts) l->shifts[at] = shifts;
    for (uint32_t i = 0; i < n; i++)
        u[i] = el_latent_place(l, row, group, x[i]);
}

/* ---- packing ---------------------------------------------------------------------------- */

static void pack_group(const el_latent *l, const el_matrix *m, uint8_t *data, uint32_t row,
                       uint32_t group)
{
    size_t at = (size_t)row * l->groups + group;
    size_t to = ((size_t)(row / EL_TILE) * m->groups + group) * EL_TILE + row % EL_TILE;
    ((uint8_t *)(uintptr_t)m->scales)[to] = (uint8_t)nearest(l->steps[at]);
    if (l->shifts) ((int8_t *)(uintptr_t)m->offsets)[to] = (int8_t)nearest(l->shifts[at]);
    uint32_t begin, n = el_latent_span(l, group, &begin);
    for (uint32_t i = 0; i < n; i++) {
        size_t from = (size_t)row * l->cols + begin + i;
        int code = l->codes ? l->codes[from] : el_latent_code(l, l->u[from]);
        el_matrix_set_code(data, l->codec, m->blocks, row, begin + i, code);
    }
}

void el_latent_pack(const el_latent *l, uint8_t *data)
{
    el_matrix m;
    uint32_t group = l->groups == 1 ? 0 : l->group;
    if (el_matrix_view(&m, data, l->rows, l->cols, l->codec, EL_SCALE_BYTE, group)) return;
    for (uint32_t r = 0; r < l->rows; r++) {
        ((uint16_t *)(uintptr_t)m.refs)[r] = el_half_of_float(l->ref[r]);
        if (l->oref) ((uint16_t *)(uintptr_t)m.orefs)[r] = el_half_of_float(l->oref[r]);
        for (uint32_t g = 0; g < l->groups; g++)
            pack_group(l, &m, data, r, g);
    }
}

/* ---- training --------------------------------------------------------------------------- */

el_latent_moments el_latent_moments_layout(el_arena *arena, const el_latent *l)
{
    size_t weights = (size_t)l->rows * l->cols, groups = (size_t)l->rows * l->groups;
    if (l->kept) return (el_latent_moments){0};
    el_latent_moments a = {
        .m = el_arena_take(arena, weights, sizeof(uint16_t)),
        .v = el_arena_take(arena, weights, sizeof(uint16_t)),
        .steps_m = el_arena_take(arena, groups, sizeof(float)),
        .steps_v = el_arena_take(arena, groups, sizeof(float)),
    };
    if (l->shifts) {
        a.shifts_m = el_arena_take(arena, groups, sizeof(float));
        a.shifts_v = el_arena_take(arena, groups, sizeof(float));
    }
    return a;
}

/* Rounds to nearest, ties to even; for finite numbers. */
static inline uint16_t bf16_of(float x)
{
    uint32_t bits = el_bits_of_float(x);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

typedef struct sums {
    float level, plain; /* sum of g * (code - zero), of g */
} sums;

/* Derivatives of the group's scale and offset, for its codes as they are. */
EL_CLONES static sums plain_sums(const el_latent *l, const uint16_t *u, const float *g, uint32_t n)
{
    float level[16] = {0}, plain[16] = {0};
    for (uint32_t i = 0; i < n; i++) {
        float q = code_of(l, el_latent_float(l, u[i])) - l->zero;
        level[i % 16] += g[i] * q;
        plain[i % 16] += g[i];
    }
    sums s = {0, 0};
    for (int i = 0; i < 16; i++) {
        s.level += level[i];
        s.plain += plain[i];
    }
    return s;
}

static float chained_sum(const el_latent *l, uint32_t row, uint32_t begin, const float *g,
                         uint32_t n)
{
    enum { PART = EL_BLOCK };
    float level[PART], sum = 0;
    for (uint32_t i = 0; i < n; i += PART) {
        const uint32_t part = n - i < PART ? n - i : PART;
        chained_weights(l, row, begin + i, part, 1.0f, level);
        for (uint32_t k = 0; k < part; k++)
            sum += g[i + k] * level[k];
    }
    return sum;
}

/* Those of a group whose gradient is g. */
static sums group_sums(const el_latent *l, uint32_t row, uint32_t group, const float *g)
{
    uint32_t begin, n = el_latent_span(l, group, &begin);
    if (l->codes) return (sums){.level = chained_sum(l, row, begin, g, n)};
    return plain_sums(l, l->u + (size_t)row * l->cols + begin, g, n);
}

EL_CLONES static void step_latents(const el_latent *l, const el_latent_rates *rates, uint16_t *u,
                                   uint16_t *m, uint16_t *v, const float *g, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        float mean = BETA1 * el_float_of_bf16(m[i]) + (1.0f - BETA1) * g[i];
        float square = BETA2 * el_float_of_bf16(v[i]) + (1.0f - BETA2) * g[i] * g[i];
        m[i] = bf16_of(mean);
        v[i] = bf16_of(square);
        float move = mean * rates->bias1 / (sqrtf(square * rates->bias2) + 1e-20f);
        u[i] = el_latent_number(l, el_latent_float(l, u[i]) - rates->u * l->pace * move);
    }
}

float el_latent_fade(uint32_t step, uint32_t steps)
{
    enum { WARM = 8 };
    float progress = (float)step / (float)steps;
    float fade = 0.05f + 0.95f * 0.5f * (1.0f + cosf(3.14159265f * progress));
    return step < WARM ? fade * (float)(step + 1) / WARM : fade;
}

el_latent_rates el_latent_rates_at(float u, float scale, float fade, uint32_t step)
{
    float t = (float)(step + 1);
    return (el_latent_rates){u * fade, scale * fade, 1.0f / (1.0f - powf(BETA1, t)),
                             1.0f / (1.0f - powf(BETA2, t))};
}

/* Adam's move of one number. */
static float move_of(float *m, float *v, float d, const el_latent_rates *rates)
{
    *m = BETA1 * *m + (1.0f - BETA1) * d;
    *v = BETA2 * *v + (1.0f - BETA2) * d * d;
    return *m * rates->bias1 / (sqrtf(*v * rates->bias2) + 1e-20f);
}

static void step_group(const el_latent *l, const el_latent_moments *a, const el_latent_rates *rates,
                       uint32_t row, uint32_t group, const float *g)
{
    size_t at = (size_t)row * l->groups + group;
    uint32_t begin, n = el_latent_span(l, group, &begin);
    size_t first = (size_t)row * l->cols + begin;
    float s = el_latent_scale(l, row, group);
    sums d = group_sums(l, row, group, g + begin);
    step_latents(l, rates, l->u + first, a->m + first, a->v + first, g + begin, n);
    /* s = ref * 2^(-steps / 32): a relative change r of s is a change of -32 * log2(1 + r) */
    float up = move_of(&a->steps_m[at], &a->steps_v[at], d.level * s, rates);
    l->steps[at] = clamp(l->steps[at] + rates->scale * 46.166f * up, 0.0f, STEPS_MAX);
    if (!l->shifts || !(l->oref[row] > 0)) return;
    float aside = move_of(&a->shifts_m[at], &a->shifts_v[at], d.plain * s, rates);
    float room = rates->scale * (l->high - l->low) * 0.5f * s / l->oref[row];
    l->shifts[at] = clamp(l->shifts[at] - room * aside, -SHIFTS_MAX, SHIFTS_MAX);
}

void el_latent_step(const el_latent *l, const el_latent_moments *a, const el_latent_rates *rates,
                    uint32_t first, uint32_t count, float *g)
{
    if (l->kept) return;
    if (l->rotated) el_hadamard(g, (size_t)count * l->cols / EL_ROTATION_WIDTH);
    for (uint32_t r = first; r < first + count; r++, g += l->cols) {
        for (uint32_t k = 0; k < l->groups; k++)
            step_group(l, a, rates, r, k, g);
    }
    el_latent_settle(l, first, count, 0, l->cols);
}
