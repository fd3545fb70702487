/* test_quant.c: rounding of floats, weight by weight. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "kernel/matrix_pack.h"
#include "quant/fit.h"
#include "quant/round.h"

static const uint32_t all_groups[] = {32, 64, 128, 0};

/* ---- data ---- */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

/* Nearly normal, mean 0, deviation 1: twelve uniform numbers. */
static float next_normal(uint64_t *state)
{
    float sum = -6.0f;
    for (int i = 0; i < 12; i++)
        sum += (float)(next_random(state) >> 8) * 0x1p-24f;
    return sum;
}

static float *normal_matrix(size_t n, float mean, uint64_t seed)
{
    float *w = malloc(n * sizeof *w);
    for (size_t i = 0; i < n; i++)
        w[i] = next_normal(&seed) + mean;
    return w;
}

typedef struct rounded {
    el_matrix m;
    el_matrix_layout layout;
    uint8_t *data;
    float *w; /* dequantised (rows, cols) */
} rounded;

static rounded round_up(const float *w, uint32_t rows, uint32_t cols, el_codec codec,
                        el_scale_kind kind, uint32_t group)
{
    rounded r;
    assert_int_equal(el_matrix_measure(rows, cols, codec, kind, group, &r.layout), 0);
    r.data = calloc(1, r.layout.bytes);
    el_round_matrix(w, rows, cols, codec, kind, group, r.data);
    assert_int_equal(el_matrix_view(&r.m, r.data, rows, cols, codec, kind, group), 0);
    r.w = malloc((size_t)rows * cols * sizeof *r.w);
    for (uint32_t i = 0; i < rows; i++)
        el_matrix_row(&r.m, i, r.w + (size_t)i * cols);
    return r;
}

static void release(rounded *r)
{
    free(r->data);
    free(r->w);
}

/* Mean squared error; also holds every number to be finite and every 8-bit code to be lawful. */
static double error_of(const float *w, uint32_t rows, uint32_t cols, el_codec codec,
                       el_scale_kind kind, uint32_t group)
{
    rounded r = round_up(w, rows, cols, codec, kind, group);
    double sum = 0;
    for (size_t i = 0; i < (size_t)rows * cols; i++) {
        assert_true(isfinite(r.w[i]));
        if (el_codecs[codec].bits == 8) {
            assert_true(el_matrix_code(&r.m, (uint32_t)(i / cols), (uint32_t)(i % cols)) > -128);
        }
        double d = (double)r.w[i] - w[i];
        sum += d * d;
    }
    release(&r);
    return sum / ((double)rows * cols);
}

/* ---- rounding ---- */

static void test_codec_choice(void **state)
{
    (void)state;
    static const unsigned bits[] = {2, 3, 4, 8};
    for (int i = 0; i < 4; i++) {
        for (int offset = 0; offset < 2; offset++) {
            const el_codec_info *info = &el_codecs[el_round_codec(bits[i], offset)];
            assert_int_equal(info->bits, bits[i]);
            assert_int_equal(info->offset, offset);
        }
    }
    assert_int_equal(el_round_codec(1, false), EL_CODEC_B1);
    assert_int_equal(el_round_codec(EL_ROUND_TERNARY, false), EL_CODEC_T1);
    assert_int_equal(el_round_codec(1, true), EL_CODEC_F32);
    assert_int_equal(el_round_codec(EL_ROUND_TERNARY, true), EL_CODEC_F32);
    assert_int_equal(el_round_codec(5, false), EL_CODEC_F32);
}

/* Mean squared error of the best uniform quantiser of a normal distribution (Max, 1960), with one
 * bit 1 - 2 / pi; groups may do a little better, since each has its own scale. */
static void test_error_of_normal_weights(void **state)
{
    (void)state;
    static const double bound[EL_CODEC_COUNT] = {
        [EL_CODEC_S2] = 0.1188,  [EL_CODEC_O2] = 0.1188,  [EL_CODEC_S3] = 0.0374,
        [EL_CODEC_O3] = 0.0374,  [EL_CODEC_S4] = 0.01154, [EL_CODEC_O4] = 0.01154,
        [EL_CODEC_Z4] = 0.01154, [EL_CODEC_I8] = 0.00008, [EL_CODEC_O8] = 0.00008,
        [EL_CODEC_B1] = 0.3634,  [EL_CODEC_T2] = 0.1902,  [EL_CODEC_T1] = 0.1902};
    const uint32_t rows = 48, cols = 576;
    float *w = normal_matrix((size_t)rows * cols, 0, 1);
    for (int c = EL_CODEC_S2; c < EL_CODEC_C2; c++) {
        for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
            for (int g = 0; g < 4; g++) {
                double e = error_of(w, rows, cols, (el_codec)c, (el_scale_kind)kind, all_groups[g]);
                assert_true(e < 1.02 * bound[c]);
                assert_true(e > 0.2 * bound[c]);
            }
        }
    }
    free(w);
}

/* The best with one bit is known: the signs, times the mean of what is left of them. */
static void test_one_bit(void **state)
{
    (void)state;
    const uint32_t groups[] = {32, 128, 0};
    const uint32_t cols = 250;
    float *w = normal_matrix(cols, 0.1f, 8);
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        const uint32_t width = groups[g] ? groups[g] : cols;
        rounded r = round_up(w, 1, cols, EL_CODEC_B1, EL_SCALE_F16, groups[g]);
        for (uint32_t begin = 0; begin < cols; begin += width) {
            const uint32_t n = cols - begin < width ? cols - begin : width;
            double mean = 0;
            for (uint32_t i = 0; i < n; i++)
                mean += fabs((double)w[begin + i]) / n;
            for (uint32_t i = 0; i < n; i++)
                assert_true(fabs(r.w[begin + i] - copysign(mean, w[begin + i])) < 0.001 * mean);
        }
        release(&r);
    }
    free(w);
}

/* Weights that have three levels already keep them. */
static void test_three_levels_stay(void **state)
{
    (void)state;
    static const el_codec codecs[] = {EL_CODEC_T2, EL_CODEC_T1};
    uint64_t seed = 9;
    float w[20 * 300];
    for (int i = 0; i < 20 * 300; i++)
        w[i] = 0.75f * (float)((int)(next_random(&seed) % 3) - 1);
    for (int c = 0; c < 2; c++) {
        for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
            rounded r = round_up(w, 20, 300, codecs[c], (el_scale_kind)kind, 128);
            for (int i = 0; i < 20 * 300; i++)
                assert_true(r.w[i] == w[i]);
            release(&r);
        }
    }
}

static void test_error_order(void **state)
{
    (void)state;
    const uint32_t rows = 32, cols = 576;
    float *w = normal_matrix((size_t)rows * cols, 0, 2);
    static const unsigned bits[] = {2, 3, 4, 8};
    for (int offset = 0; offset < 2; offset++) {
        for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
            double last_bits = 1;
            for (int b = 0; b < 4; b++) {
                double last_group = 0;
                for (int g = 0; g < 4; g++) {
                    double e = error_of(w, rows, cols, el_round_codec(bits[b], offset),
                                        (el_scale_kind)kind, all_groups[g]);
                    assert_true(e > last_group); /* larger groups, larger error */
                    last_group = e;
                }
                assert_true(last_group < last_bits / 3); /* more bits, far smaller error */
                last_bits = last_group;
            }
        }
    }
    free(w);
}

static void test_offset_helps_shifted_weights(void **state)
{
    (void)state;
    const uint32_t rows = 16, cols = 256;
    float *w = normal_matrix((size_t)rows * cols, 5, 3);
    static const unsigned bits[] = {2, 3, 4, 8};
    for (int b = 0; b < 4; b++) {
        for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
            double without =
                error_of(w, rows, cols, el_round_codec(bits[b], false), (el_scale_kind)kind, 64);
            double with =
                error_of(w, rows, cols, el_round_codec(bits[b], true), (el_scale_kind)kind, 64);
            assert_true(with < without / 2);
        }
    }
    free(w);
}

/* One weight far out must not spoil its group: it may be cut off where that costs less. */
static void test_outlier(void **state)
{
    (void)state;
    float *w = normal_matrix(128, 0, 4);
    w[17] = 9.0f;
    double plain = 0, scale = 9.0 / 1.5;
    for (int i = 0; i < 128; i++) {
        double q = (int)(w[i] / scale + 102.0) - 100; /* rounded */
        q = q < 0 ? 0 : q > 3 ? 3 : q;
        plain += (w[i] - scale * (q - 1.5)) * (w[i] - scale * (q - 1.5)) / 128;
    }
    assert_true(error_of(w, 1, 128, EL_CODEC_S2, EL_SCALE_F16, 128) < plain / 4);
    free(w);
}

static void test_no_candidate_is_better(void **state)
{
    (void)state;
    float *w = normal_matrix(64, 0.5f, 5);
    for (int c = EL_CODEC_S2; c <= EL_CODEC_O4; c++) {
        el_codec codec = (el_codec)c;
        el_fit fit = el_fit_search(w, 64, codec, true);
        assert_true(fit.error == el_fit_error(w, 64, codec, fit.scale, fit.offset));
        /* A brute search around it finds little more. */
        for (int i = -20; i <= 20; i++) {
            for (int j = -20; j <= 20; j++) {
                float scale = fit.scale * (1 + 0.01f * (float)i);
                float offset = fit.offset * (1 + 0.01f * (float)j);
                assert_true(el_fit_error(w, 64, codec, scale, offset) > 0.85f * fit.error);
            }
        }
    }
    free(w);
}

/* Weights that a codec can hold, extreme levels included in each group, come back as they are. */
static void check_exact(el_codec codec, el_scale_kind kind, uint32_t group, uint64_t seed)
{
    const uint32_t rows = 19, cols = 224;
    const el_codec_info *info = &el_codecs[codec];
    const bool ternary = codec == EL_CODEC_T2 || codec == EL_CODEC_T1;
    int low = info->bits == 8 ? -127 : 0, high = info->bits == 8 ? 127 : (1 << info->bits) - 1;
    if (ternary) high = 2;
    float *w = malloc(sizeof(float) * rows * cols);
    for (uint32_t i = 0; i < rows * cols; i++) {
        uint32_t row = i / cols, col = i % cols;
        int code = low + (int)(next_random(&seed) % (unsigned)(high - low + 1));
        if (col % 32 < 2) code = col % 32 ? low : high;
        float scale = ldexpf(3.0f, (int)(row % 7) - 8);
        /* 127 and the half range of 254 steps make offsets that both kinds of scale can hold. */
        float offset = info->offset ? scale * (float)(info->bits == 8 ? 0 : -high) : 0.0f;
        w[i] = scale * (float)(info->mul * code + info->bias) + offset;
    }
    rounded r = round_up(w, rows, cols, codec, kind, group);
    for (uint32_t i = 0; i < rows * cols; i++) {
        float tolerance = 0;
        /* A byte offset is a multiple of its reference, which is rounded up to fp16. */
        if (info->offset && kind == EL_SCALE_BYTE)
            tolerance = fabsf(w[i / cols * cols + 1]) * 0.002f;
        assert_true(fabsf(r.w[i] - w[i]) <= tolerance);
    }
    release(&r);
    free(w);
}

static void test_exact_weights(void **state)
{
    (void)state;
    for (int c = EL_CODEC_S2; c < EL_CODEC_C2; c++) {
        if (c == EL_CODEC_Z4) continue; /* only taken over: its levels are not balanced */
        for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
            for (int g = 0; g < 4; g++) {
                check_exact((el_codec)c, (el_scale_kind)kind, all_groups[g], 7 + (unsigned)c);
            }
        }
    }
}

static void test_zeroes(void **state)
{
    (void)state;
    const uint32_t rows = 18, cols = 200;
    float *w = normal_matrix((size_t)rows * cols, 0.1f, 6);
    memset(w + 3 * cols, 0, sizeof(float) * cols); /* a row */
    memset(w + 17 * cols, 0, sizeof(float) * cols);
    memset(w + 5 * cols + 128, 0, sizeof(float) * 72); /* the short last group of a row */
    for (int c = EL_CODEC_S2; c < EL_CODEC_C2; c++) {
        for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
            rounded r = round_up(w, rows, cols, (el_codec)c, (el_scale_kind)kind, 128);
            for (uint32_t i = 0; i < rows * cols; i++) {
                if (w[i] == 0.0f) assert_true(r.w[i] == 0.0f);
            }
            double left = 0;
            for (uint32_t i = 0; i < cols; i++)
                left += fabsf(r.w[i]);
            assert_true(left > 0);
            release(&r);
        }
    }
    free(w);
}

static void test_padding_is_zero(void **state)
{
    (void)state;
    const uint32_t rows = 17, cols = 40;
    float *w = normal_matrix((size_t)rows * cols, 1, 8);
    for (int c = EL_CODEC_S2; c < EL_CODEC_C2; c++) {
        for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
            rounded r = round_up(w, rows, cols, (el_codec)c, (el_scale_kind)kind, 32);
            for (uint32_t row = rows; row < r.m.tiles * EL_TILE; row++) {
                for (uint32_t group = 0; group < r.m.groups; group++) {
                    assert_true(el_matrix_scale(&r.m, row, group) == 0.0f);
                    assert_true(el_matrix_offset(&r.m, row, group) == 0.0f);
                }
                for (uint32_t col = 0; col < 64; col++) {
                    assert_int_equal(el_matrix_code(&r.m, row, col), 0);
                }
            }
            for (uint32_t col = cols; col < 64; col++) {
                assert_int_equal(el_matrix_code(&r.m, 0, col), 0);
            }
            release(&r);
        }
    }
    free(w);
}

/* Extremes of float32 must give finite weights, and what fits into fp16 scales must stay close. */
static void test_huge_and_tiny(void **state)
{
    (void)state;
    static const float sizes[] = {3.4028235e38f, 1e30f, 1e7f, 65504.0f, 1e-7f, 1e-30f, 1e-45f};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        float w[64];
        for (int i = 0; i < 64; i++)
            w[i] = sizes[s] * ((float)(i % 5 - 2) * 0.5f);
        for (int c = EL_CODEC_S2; c < EL_CODEC_C2; c++) {
            for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
                rounded r = round_up(w, 1, 64, (el_codec)c, (el_scale_kind)kind, 32);
                for (int i = 0; i < 64; i++) {
                    assert_true(isfinite(r.w[i]));
                    if (sizes[s] <= 65504.0f) assert_true(fabsf(r.w[i] - w[i]) <= sizes[s]);
                    if (sizes[s] > 1.0f && !r.m.offsets && i % 5 == 4)
                        assert_true(r.w[i] > 10000.0f);
                }
                release(&r);
            }
        }
    }
}

static void test_rows_in_pieces(void **state)
{
    (void)state;
    const uint32_t rows = 37, cols = 150;
    float *w = normal_matrix((size_t)rows * cols, 0, 9);
    for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
        rounded whole = round_up(w, rows, cols, EL_CODEC_O3, (el_scale_kind)kind, 64);
        uint8_t *data = calloc(1, whole.layout.bytes);
        el_matrix m;
        el_matrix_view(&m, data, rows, cols, EL_CODEC_O3, (el_scale_kind)kind, 64);
        for (uint32_t row = 0; row < rows; row += 5) {
            uint32_t count = rows - row < 5 ? rows - row : 5;
            el_round_rows(w + (size_t)row * cols, row, count, &m, data);
        }
        assert_memory_equal(data, whole.data, whole.layout.bytes);
        free(data);
        release(&whole);
    }
    free(w);
}

/* A row of more groups than are fitted ahead gives what the same weights give in a short row. */
static void test_long_row(void **state)
{
    (void)state;
    const uint32_t cols = 32 * 600;
    float *w = normal_matrix(cols, 0, 10);
    for (uint32_t i = 0; i < 64; i++)
        w[cols - 64 + i] = w[i];
    rounded r = round_up(w, 1, cols, EL_CODEC_O4, EL_SCALE_BYTE, 32);
    assert_memory_equal(r.w, r.w + cols - 64, 64 * sizeof(float));
    release(&r);
    free(w);
}

static void test_odd_shapes(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{49, 100}, {192, 576}, {1, 1}, {2051, 33}, {16, 31}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        uint32_t rows = shapes[s][0], cols = shapes[s][1];
        float *w = normal_matrix((size_t)rows * cols, 0, s);
        for (int c = EL_CODEC_S4; c <= EL_CODEC_O4; c += EL_CODEC_O4 - EL_CODEC_S4) {
            for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
                for (int g = 1; g < 4; g += 2) {
                    double e =
                        error_of(w, rows, cols, (el_codec)c, (el_scale_kind)kind, all_groups[g]);
                    assert_true(e < 0.0125);
                }
            }
        }
        free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codec_choice),
        cmocka_unit_test(test_error_of_normal_weights),
        cmocka_unit_test(test_error_order),
        cmocka_unit_test(test_offset_helps_shifted_weights),
        cmocka_unit_test(test_outlier),
        cmocka_unit_test(test_no_candidate_is_better),
        cmocka_unit_test(test_exact_weights),
        cmocka_unit_test(test_zeroes),
        cmocka_unit_test(test_padding_is_zero),
        cmocka_unit_test(test_huge_and_tiny),
        cmocka_unit_test(test_rows_in_pieces),
        cmocka_unit_test(test_long_row),
        cmocka_unit_test(test_odd_shapes),
        cmocka_unit_test(test_one_bit),
        cmocka_unit_test(test_three_levels_stay),
    };
    return cmocka_run_group_tests_name("quant", tests, NULL, NULL);
}
