/* fit.c: see fit.h. The loops over weights are written for the compiler's vectoriser. */
#include "quant/fit.h"

#include "base/half.h"

#define LANES     16
#define RANGES    16
#define REFITS    2
#define HALF_MAX  65504.0f
#define REACH_MAX 16777216.0f /* above 65504 * 127: no codec reaches further */

typedef struct rule {
    float low, high, zero;
    float narrow; /* half of the smallest range tried, in standard deviations; 0: one range only */
} rule;

/* `narrow` lies below the best range for normally distributed weights (1.5, 2.1, 2.5 with 2, 3 and
 * 4 bits, 1.22 with three levels). */
static const rule rules[EL_CODEC_COUNT] = {
    [EL_CODEC_S2] = {0, 3, 1.5f, 1.1f},  [EL_CODEC_S3] = {0, 7, 3.5f, 1.6f},
    [EL_CODEC_S4] = {0, 15, 7.5f, 2.0f}, [EL_CODEC_O2] = {0, 3, 0, 1.1f},
    [EL_CODEC_O3] = {0, 7, 0, 1.6f},     [EL_CODEC_O4] = {0, 15, 0, 2.0f},
    [EL_CODEC_Z4] = {0, 15, 8, 2.0f},    [EL_CODEC_I8] = {-127, 127, 0, 0},
    [EL_CODEC_O8] = {-127, 127, 0, 0},   [EL_CODEC_B1] = {0, 1, 0.5f, 0.6f},
    [EL_CODEC_T2] = {0, 2, 1, 0.9f},     [EL_CODEC_T1] = {0, 2, 1, 0.9f},
};

/* By how much the weights of neighbouring codes differ, in scales. */
static float step_of(el_codec codec)
{
    return el_codecs[codec].half ? 1.0f : (float)el_codecs[codec].mul;
}

/* What the loops need; `inverse` is 0 where the scale is, so that all codes are the middle one. */
typedef struct grid {
    float scale, inverse, offset, zero, low, high;
} grid;

static grid grid_of(el_codec codec, float scale, float offset)
{
    const rule *r = &rules[codec];
    scale *= step_of(codec);
    /* Below 2^-120 the inverse could overflow; nothing that fp16 stores is as small. */
    float inverse = scale > 0x1p-120f ? 1.0f / scale : 0.0f;
    return (grid){scale, inverse, offset, r->zero, r->low, r->high};
}

/* Code of a weight, as float. The sum with 1.5 * 2^23 rounds to nearest even, as rint would. */
static inline float code_of(const grid *g, float x)
{
    float t = (x - g->offset) * g->inverse + g->zero;
    t = g->low > t ? g->low : t;
    t = g->high < t ? g->high : t;
    return (t + 12582912.0f) - 12582912.0f;
}

static inline float square_error(const grid *g, float x)
{
    float d = x - (g->scale * (code_of(g, x) - g->zero) + g->offset);
    return d * d;
}

float el_fit_error(const float *x, uint32_t n, el_codec codec, float scale, float offset)
{
    const grid g = grid_of(codec, scale, offset);
    float sum[LANES] = {0};
    uint32_t whole = n - n % LANES;
    for (uint32_t i = 0; i < whole; i += LANES) {
        for (uint32_t l = 0; l < LANES; l++)
            sum[l] += square_error(&g, x[i + l]);
    }
    for (uint32_t l = 0; l < n - whole; l++)
        sum[l] += square_error(&g, x[whole + l]);
    for (uint32_t step = LANES / 2; step; step /= 2) {
        for (uint32_t l = 0; l < step; l++)
            sum[l] += sum[l + step];
    }
    return sum[0];
}

void el_fit_codes(const float *x, uint32_t n, el_codec codec, float scale, float offset,
                  int8_t *codes)
{
    const grid g = grid_of(codec, scale, offset);
    for (uint32_t i = 0; i < n; i++)
        codes[i] = (int8_t)code_of(&g, x[i]);
}

uint16_t el_fit_half(float value)
{
    if (value > HALF_MAX) value = HALF_MAX;
    if (value < -HALF_MAX) value = -HALF_MAX;
    return el_half_of_float(value);
}

uint16_t el_fit_half_above(float value)
{
    uint16_t h = el_fit_half(value);
    return el_float_of_half(h) < value && h < 0x7bff ? (uint16_t)(h + 1) : h;
}

static float clamp_huge(double value)
{
    if (value > REACH_MAX) return REACH_MAX;
    if (value < -REACH_MAX) return -REACH_MAX;
    return (float)value;
}

/* A fit as it would be stored, with its error. */
static el_fit stored_fit(const float *x, uint32_t n, el_codec codec, bool half, float scale,
                         float offset)
{
    el_fit f = {scale, offset, 0};
    if (half) {
        f.scale = el_float_of_half(el_fit_half(scale));
        f.offset = el_float_of_half(el_fit_half(offset));
    }
    f.error = el_fit_error(x, n, codec, f.scale, f.offset);
    return f;
}

/* Range of the weights, and how they are spread around the middle that shrinking keeps. */
typedef struct spread {
    float least, middle, most, deviation;
} spread;

static spread spread_of(const float *x, uint32_t n, bool offset)
{
    float least[LANES], most[LANES];
    double sum[LANES] = {0}, squares[LANES] = {0};
    for (uint32_t l = 0; l < LANES; l++)
        least[l] = most[l] = x[0];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t l = i % LANES;
        least[l] = x[i] < least[l] ? x[i] : least[l];
        most[l] = x[i] > most[l] ? x[i] : most[l];
        sum[l] += x[i];
        squares[l] += (double)x[i] * x[i];
    }
    for (uint32_t l = 1; l < LANES; l++) {
        least[0] = least[l] < least[0] ? least[l] : least[0];
        most[0] = most[l] > most[0] ? most[l] : most[0];
        sum[0] += sum[l];
        squares[0] += squares[l];
    }
    double mean = offset ? sum[0] / n : 0, variance = squares[0] / n - mean * mean;
    spread s = {clamp_huge(least[0]), clamp_huge(mean), clamp_huge(most[0]), 0};
    if (!offset) {
        s.most = s.most > -s.least ? s.most : -s.least;
        s.least = -s.most;
    }
    s.deviation = clamp_huge(variance > 0 ? __builtin_sqrt(variance) : 0);
    return s;
}

/* The fit whose codes span the range, shrunk towards the middle: 0 not at all, 1 to a point. */
static el_fit shrunken_fit(const float *x, uint32_t n, el_codec codec, bool half, const spread *s,
                           float shrink)
{
    const rule *r = &rules[codec];
    float least = s->least + shrink * (s->middle - s->least);
    float most = s->most - shrink * (s->most - s->middle);
    float scale = (most - least) / (r->high - r->low) / step_of(codec);
    float offset = el_codecs[codec].offset ? least - scale * (r->low - r->zero) : 0.0f;
    return stored_fit(x, n, codec, half, scale, offset);
}

/* The sums from which the best scale and offset for given codes follow; level = code - zero. */
typedef struct moments {
    double levels, level_squares, weights, products;
} moments;

static moments moments_of(const float *x, uint32_t n, el_codec codec, float scale, float offset)
{
    const grid g = grid_of(codec, scale, offset);
    moments m = {0};
    for (uint32_t i = 0; i < n; i++) {
        double level = code_of(&g, x[i]) - g.zero;
        m.levels += level;
        m.level_squares += level * level;
        m.weights += x[i];
        m.products += level * x[i];
    }
    return m;
}

/* Least squares for the codes of `f`; gives `f` back where that cannot be solved. */
static el_fit refit(const float *x, uint32_t n, el_codec codec, bool half, el_fit f)
{
    moments m = moments_of(x, n, codec, f.scale, f.offset);
    double scale, offset = 0;
    if (el_codecs[codec].offset) {
        double determinant = n * m.level_squares - m.levels * m.levels;
        if (!(determinant > 0)) return f;
        scale = (n * m.products - m.weights * m.levels) / determinant;
        offset = (m.weights - scale * m.levels) / n;
    } else {
        if (!(m.level_squares > 0)) return f;
        scale = m.products / m.level_squares / step_of(codec);
    }
    if (!(scale > 0)) return f;
    return stored_fit(x, n, codec, half, clamp_huge(scale), clamp_huge(offset));
}

el_fit el_fit_search(const float *x, uint32_t n, el_codec codec, bool half)
{
    const spread s = spread_of(x, n, el_codecs[codec].offset);
    el_fit best = shrunken_fit(x, n, codec, half, &s, 0);
    float reach = (s.most - s.least) * 0.5f, narrow = rules[codec].narrow * s.deviation;
    /* Ranges 1/1 .. 1/ratio in equal steps of the inverse: dense where an outlier is cut off. */
    float ratio = narrow > 0 && narrow < reach ? reach / narrow : 1.0f;
    for (int i = 1; i < RANGES && ratio > 1.0f && best.error > 0; i++) {
        float range = 1.0f / (1.0f + (ratio - 1.0f) * (float)i / (RANGES - 1));
        el_fit f = shrunken_fit(x, n, codec, half, &s, 1.0f - range);
        if (f.error < best.error) best = f;
    }
    if (!(best.scale > 0)) { /* the scale is below fp16: at least the offset can be the mean */
        el_fit f = shrunken_fit(x, n, codec, half, &s, 1.0f);
        if (f.error < best.error) best = f;
    }
    for (int i = 0; i < REFITS; i++) {
        el_fit f = refit(x, n, codec, half, best);
        if (!(f.error < best.error)) break;
        best = f;
    }
    return best;
}

float el_fit_offset(const float *x, uint32_t n, el_codec codec, float scale, float offset)
{
    moments m = moments_of(x, n, codec, scale, offset);
    return clamp_huge((m.weights - scale * m.levels) / n);
}

float el_fit_recentre(const el_fit *fit, el_codec codec, float scale)
{
    const rule *r = &rules[codec];
    return fit->offset + (fit->scale - scale) * ((r->low + r->high) * 0.5f - r->zero);
}
