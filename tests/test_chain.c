/*
 * test_chain.c: the codes that the search finds are the best there are; what normally distributed
 * weights lose by them; rounding and training of latents whose codes are chained.
 */
#include "support/test_help.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "support/naive.h"
#include "train/chain.h"
#include "train/gptq.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const el_codec chained[] = {EL_CODEC_C2, EL_CODEC_C3};

/* Normally distributed (Box & Muller). */
static float normal(el_random *r)
{
    double a = (el_random_below(r, 1u << 24) + 1.0) / (1u << 24);
    double b = el_random_below(r, 1u << 24) / (double)(1u << 24);
    return (float)(sqrt(-2 * log(a)) * cos(2 * acos(-1) * b));
}

/* ---- the search -------------------------------------------------------------------------- */

/* One column, which stands among others. */
static void search(el_codec codec, uint32_t rows, const float *x, const float *importance,
                   uint8_t codes[EL_TILE])
{
    enum { COLUMNS = 5, OURS = 3 };
    float all[EL_TILE][EL_CHAIN_COLUMNS] = {{0}};
    uint8_t found[EL_TILE][EL_CHAIN_COLUMNS];
    el_random r = {rows};
    memset(found, 0xff, sizeof found);
    for (uint32_t row = 0; row < rows; row++) {
        for (int i = 0; i < COLUMNS; i++)
            all[row][i] = i == OURS ? x[row] : 9 * el_random_unit(&r);
    }
    el_chain_search(codec, rows, COLUMNS, (const float(*)[EL_CHAIN_COLUMNS])all, importance, found);
    memset(codes, 0, EL_TILE);
    for (uint32_t row = 0; row < rows; row++) {
        codes[row] = found[row][OURS];
        assert_int_equal(found[row][COLUMNS], 0xff);
    }
}

static double cost_of(el_codec codec, uint32_t rows, const float *x, const float *importance,
                      const uint8_t *codes)
{
    double sum = 0;
    for (uint32_t r = 0; r < rows; r++) {
        double d = (double)x[r] - el_chain_level(codec, rows, codes, r);
        sum += importance[r] * d * d;
    }
    return sum;
}

/* The least cost of all codes there are. */
static double least_cost(el_codec codec, uint32_t rows, const float *x, const float *importance)
{
    const uint32_t bits = el_codecs[codec].bits;
    double least = DBL_MAX;
    for (uint32_t all = 0; all < 1u << bits * rows; all++) {
        uint8_t codes[EL_TILE] = {0};
        for (uint32_t r = 0; r < rows; r++)
            codes[r] = (uint8_t)(all >> bits * r & ((1u << bits) - 1));
        least = fmin(least, cost_of(codec, rows, x, importance, codes));
    }
    return least;
}

static void fill(el_random *r, el_codec codec, float *x, float *importance)
{
    for (int i = 0; i < EL_TILE; i++) {
        x[i] = normal(r) / el_chain_unit(codec);
        importance[i] = 0.1f + fabsf(el_random_unit(r));
    }
}

static void test_nothing_is_better(void **state)
{
    (void)state;
    for (size_t c = 0; c < LENGTH(chained); c++) {
        for (uint32_t rows = 1; rows <= 5; rows++) {
            for (uint64_t seed = 0; seed < 20; seed++) {
                el_random r = {seed};
                float x[EL_TILE], importance[EL_TILE];
                uint8_t codes[EL_TILE];
                fill(&r, chained[c], x, importance);
                search(chained[c], rows, x, importance, codes);
                double least = least_cost(chained[c], rows, x, importance);
                double got = cost_of(chained[c], rows, x, importance, codes);
                assert_true(fabs(got - least) <= 1e-5 * (1 + least));
            }
        }
    }
}

/* The least cost of a whole tile whose last code leads to `start`: row by row, in double. */
static double cost_from(el_codec codec, unsigned start, const float *x, const float *importance)
{
    const el_codec_info *info = &el_codecs[codec];
    double cost[4] = {DBL_MAX, DBL_MAX, DBL_MAX, DBL_MAX};
    cost[start] = 0;
    for (int r = 0; r < EL_TILE; r++) {
        double next[4] = {DBL_MAX, DBL_MAX, DBL_MAX, DBL_MAX};
        for (unsigned before = 0; before < 4; before++) {
            for (unsigned code = 0; code < 1u << info->bits && cost[before] < DBL_MAX; code++) {
                double d = (double)x[r] - info->levels[el_chained_index(info->bits, code, before)];
                next[code % 4] = fmin(next[code % 4], cost[before] + importance[r] * d * d);
            }
        }
        memcpy(cost, next, sizeof cost);
    }
    return cost[start];
}

static void test_of_whole_tiles_too(void **state)
{
    (void)state;
    for (size_t c = 0; c < LENGTH(chained); c++) {
        for (uint64_t seed = 0; seed < 200; seed++) {
            el_random r = {seed};
            float x[EL_TILE], importance[EL_TILE];
            uint8_t codes[EL_TILE];
            double least = DBL_MAX;
            fill(&r, chained[c], x, importance);
            for (unsigned start = 0; start < 4; start++)
                least = fmin(least, cost_from(chained[c], start, x, importance));
            search(chained[c], EL_TILE, x, importance, codes);
            double got = cost_of(chained[c], EL_TILE, x, importance, codes);
            assert_true(fabs(got - least) <= 1e-5 * (1 + least));
        }
    }
}

/* What is left of a variance of 1, as matrix.c says; plain codes of as many bits leave .119, .037.
 */
static void test_normal_weights(void **state)
{
    (void)state;
    static const double left[] = {0.0900, 0.0253};
    enum { TILES = 2000 };
    for (size_t c = 0; c < LENGTH(chained); c++) {
        el_random r = {5};
        float importance[EL_TILE], x[EL_TILE];
        double sum = 0, unit = el_chain_unit(chained[c]);
        for (int i = 0; i < EL_TILE; i++)
            importance[i] = 1;
        for (int t = 0; t < TILES; t++) {
            uint8_t codes[EL_TILE];
            for (int i = 0; i < EL_TILE; i++)
                x[i] = normal(&r) / (float)unit;
            search(chained[c], EL_TILE, x, importance, codes);
            sum += cost_of(chained[c], EL_TILE, x, importance, codes) * unit * unit;
        }
        assert_true(fabs(sum / (TILES * EL_TILE) - left[c]) < 0.02 * left[c]);
    }
}

/* ---- latents ----------------------------------------------------------------------------- */

static el_latent make(el_arena *arena, uint32_t rows, uint32_t cols, el_codec codec, uint32_t group)
{
    edgellm_error err;
    *arena = el_arena_measure();
    el_latent_layout(arena, rows, cols, codec, group);
    assert_ok(el_arena_reserve(arena, arena->used, &err));
    return el_latent_layout(arena, rows, cols, codec, group);
}

static void fit_and_settle(const el_latent *l, const float *w)
{
    float *importance = naive_zeroes(l->cols, sizeof *importance);
    for (uint32_t c = 0; c < l->cols; c++)
        importance[c] = 1;
    for (uint32_t r = 0; r < l->rows; r++) {
        el_latent_references(l, r, w + (size_t)r * l->cols);
        for (uint32_t g = 0; g < l->groups; g++) {
            uint32_t begin;
            el_latent_span(l, g, &begin);
            el_latent_fit(l, r, g, w + (size_t)r * l->cols + begin, importance);
        }
    }
    el_latent_settle(l, 0, l->rows, 0, l->cols);
    free(importance);
}

/* As a kernel sees the packed matrix, and of any rows by themselves. */
static void check_packed(el_codec codec, uint32_t rows, uint32_t cols, uint32_t group)
{
    el_arena arena;
    el_matrix_layout layout;
    el_matrix m;
    el_random r = {rows + cols};
    el_latent l = make(&arena, rows, cols, codec, group);
    const size_t count = (size_t)rows * cols;
    float *w = naive_noise(&r, count, 0.1f), *want = naive_zeroes(count, sizeof *want);
    float *got = naive_zeroes(cols, sizeof *got);
    fit_and_settle(&l, w);
    el_latent_weights(&l, 0, rows, want);
    assert_int_equal(el_matrix_measure(rows, cols, codec, EL_SCALE_BYTE, group, &layout), 0);
    uint8_t *data = aligned_alloc(64, layout.bytes);
    assert_non_null(data);
    memset(data, 0, layout.bytes);
    el_latent_pack(&l, data);
    assert_int_equal(el_matrix_view(&m, data, rows, cols, codec, EL_SCALE_BYTE, group), 0);
    for (uint32_t row = 0; row < rows; row++) {
        el_matrix_row(&m, row, got);
        assert_memory_equal(got, want + (size_t)row * cols, cols * sizeof *got);
        el_latent_weights(&l, row, 1, got);
        assert_memory_equal(got, want + (size_t)row * cols, cols * sizeof *got);
    }
    free(data);
    free(got);
    free(want);
    free(w);
    el_arena_release(&arena);
}

static void test_packed_is_trained(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{1, 1},    {5, 33},   {16, 128},
                                         {17, 100}, {35, 257}, {48, 192}};
    static const uint32_t groups[] = {32, 64, 128, 0};
    for (size_t c = 0; c < LENGTH(chained); c++) {
        for (size_t s = 0; s < LENGTH(shapes); s++) {
            for (size_t g = 0; g < LENGTH(groups); g++)
                check_packed(chained[c], shapes[s][0], shapes[s][1], groups[g]);
        }
    }
}

/* Weights of 0, one value, huge and tiny ones: finite, and near where references reach. */
static void test_odd_weights(void **state)
{
    (void)state;
    static const float sizes[] = {0, FLT_MAX / 4, 1e10f, 1, 1e-6f, 1e-30f};
    for (size_t c = 0; c < LENGTH(chained); c++) {
        for (size_t i = 0; i < LENGTH(sizes); i++) {
            el_arena arena;
            el_latent l = make(&arena, 16, 64, chained[c], 32);
            float w[16 * 64], got[16 * 64];
            for (size_t k = 0; k < LENGTH(w); k++)
                w[k] = k % 3 ? sizes[i] : -sizes[i];
            fit_and_settle(&l, w);
            el_latent_weights(&l, 0, 16, got);
            for (size_t k = 0; k < LENGTH(w); k++) {
                assert_true(isfinite(got[k]));
                if (sizes[i] == 0) assert_true(got[k] == 0);
                if (sizes[i] == 1) assert_true(fabsf(got[k] - w[k]) < 0.7f);
            }
            el_arena_release(&arena);
        }
    }
}

/* ---- rounding ---------------------------------------------------------------------------- */

enum { ROWS = 40, COLS = 192, SAMPLES = 600, SOURCES = 24 };

/* Second moments of inputs that share a few sources. */
static float *correlated(void)
{
    el_random r = {3};
    float *mix = naive_noise(&r, SOURCES * COLS, 1), *h = naive_zeroes(COLS * COLS, sizeof *h);
    for (int s = 0; s < SAMPLES; s++) {
        float *z = naive_noise(&r, SOURCES, 1), *x = naive_noise(&r, COLS, 1);
        for (int c = 0; c < COLS; c++) {
            for (int k = 0; k < SOURCES; k++)
                x[c] += z[k] * mix[k * COLS + c];
        }
        for (int i = 0; i < COLS * COLS; i++)
            h[i] += x[i / COLS] * x[i % COLS] / SAMPLES;
        free(z);
        free(x);
    }
    free(mix);
    return h;
}

/* The error that rounding leaves; *fitted: that of fitting alone. */
static double rounded_error(el_codec codec, const float *w, const float *h, double *fitted)
{
    edgellm_error err;
    el_arena arena;
    el_gptq g;
    el_latent l = make(&arena, ROWS, COLS, codec, 64);
    float *factor = naive_zeroes(COLS * COLS, sizeof *factor), importance[COLS];
    float *used = naive_zeroes(ROWS * COLS, sizeof *used), errors[EL_GPTQ_BAND * 64];
    assert_ok(el_gptq_prepare(h, COLS, false, 0.01f, factor, importance, &g, &err));
    fit_and_settle(&l, w);
    *fitted = naive_output_error(&l, w, h);
    memcpy(used, w, ROWS * COLS * sizeof *used);
    for (uint32_t first = 0; first < ROWS; first += EL_GPTQ_BAND) {
        uint32_t left = ROWS - first, count = left < EL_GPTQ_BAND ? left : EL_GPTQ_BAND;
        el_gptq_rows(&g, &l, first, count, used + (size_t)first * COLS, errors);
    }
    double error = naive_output_error(&l, w, h);
    free(used);
    free(factor);
    el_arena_release(&arena);
    return error;
}

static void test_rounding_makes_up_for_errors(void **state)
{
    (void)state;
    static const el_codec plain[] = {EL_CODEC_S2, EL_CODEC_S3};
    el_random r = {1};
    float *h = correlated(), *w = naive_zeroes(ROWS * COLS, sizeof *w);
    for (int i = 0; i < ROWS * COLS; i++)
        w[i] = normal(&r);
    for (size_t c = 0; c < LENGTH(chained); c++) {
        double fitted, ignored, error = rounded_error(chained[c], w, h, &fitted);
        double of_plain = rounded_error(plain[c], w, h, &ignored);
        assert_true(error < 0.6 * fitted);
        assert_true(error < 0.85 * of_plain);
    }
    free(h);
    free(w);
}

/* ---- training ---------------------------------------------------------------------------- */

/* Weights that are pulled towards others get there, as near as rounding lets them. */
static void check_training(el_codec codec)
{
    edgellm_error err;
    el_arena arena, more = el_arena_measure();
    el_random r = {codec};
    el_latent l = make(&arena, 35, 64, codec, 64);
    const size_t count = (size_t)35 * 64;
    el_latent_moments_layout(&more, &l);
    assert_ok(el_arena_reserve(&more, more.used, &err));
    el_latent_moments m = el_latent_moments_layout(&more, &l);
    float *w = naive_zeroes(count, sizeof *w), *aim = naive_zeroes(count, sizeof *aim);
    float *g = naive_zeroes(count, sizeof *g);
    for (size_t i = 0; i < count; i++) {
        w[i] = normal(&r);
        aim[i] = w[i] + 0.5f * normal(&r);
    }
    fit_and_settle(&l, w);
    double first = 0, last = 0;
    for (int step = 0; step < 150; step++) {
        const el_latent_rates rates =
            el_latent_rates_at(0.02f, 0.002f, el_latent_fade((uint32_t)step, 150), (uint32_t)step);
        last = 0;
        el_latent_weights(&l, 0, 35, g);
        for (size_t i = 0; i < count; i++) {
            g[i] -= aim[i];
            last += (double)g[i] * g[i] / (double)count;
        }
        if (step == 0) first = last;
        for (uint32_t row = 0; row < 35; row += 16) /* a tile at a time, or what is left of one */
            el_latent_step(&l, &m, &rates, row, 35 - row < 16 ? 35 - row : 16, g + row * 64);
    }
    assert_true(last < 0.6 * first);
    free(w);
    free(aim);
    free(g);
    el_arena_release(&arena);
    el_arena_release(&more);
}

static void test_training_gets_there(void **state)
{
    (void)state;
    check_training(EL_CODEC_C2);
    check_training(EL_CODEC_C3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_better),
        cmocka_unit_test(test_of_whole_tiles_too),
        cmocka_unit_test(test_normal_weights),
        cmocka_unit_test(test_packed_is_trained),
        cmocka_unit_test(test_odd_weights),
        cmocka_unit_test(test_rounding_makes_up_for_errors),
        cmocka_unit_test(test_training_gets_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
