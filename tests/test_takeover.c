/* test_takeover.c: take-over of ggml blocks and of floats of three levels, weight by weight. */
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
#include "quant/round.h"
#include "quant/takeover.h"

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

/* ---- blocks ---- */

typedef struct source {
    el_gguf_tensor tensor;
    uint8_t *bytes;
    const el_ggml_type *type;
} source;

static void store16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static bool scale_comes_last(uint32_t type)
{
    return type == EL_GGML_TQ1_0 || type == EL_GGML_TQ2_0 || type == EL_GGML_PTQ1_0;
}

/* Those of two bits, some of which have codes of 3. */
static bool has_pairs_of_bits(uint32_t type)
{
    return type == EL_GGML_TQ2_0 || type == EL_GGML_Q2_0 || type == EL_GGML_PQ2_0;
}

/* Random finite scales: negative, subnormal, -0, largest ones too. */
static void fill_halves(const source *s, uint8_t *block, bool special, uint64_t *seed)
{
    static const uint16_t specials[] = {0x8000, 0x0000, 0x7bff, 0xfbff, 0x0001, 0x8001};
    const unsigned halves = s->type->id == EL_GGML_Q4_1 ? 2 : 1;
    const uint32_t at = scale_comes_last(s->type->id) ? s->type->block_bytes - 2 : 0;
    for (unsigned h = 0; h < halves; h++) {
        uint16_t bits = (uint16_t)next_random(seed);
        if (!el_half_is_finite(bits)) bits &= 0xbfff;
        if (special) bits = specials[next_random(seed) % 6];
        store16(block + at + 2 * h, bits);
    }
}

/* Random codes; of two bits only 0, 1 and 2 unless four are asked for. */
static source random_source(uint32_t type, uint32_t rows, uint32_t cols, bool four, uint64_t seed)
{
    source s = {.type = el_ggml_type_of(type)};
    size_t blocks = (size_t)rows * cols / s.type->block_weights;
    s.bytes = malloc(blocks * s.type->block_bytes);
    for (size_t b = 0; b < blocks; b++) {
        uint8_t *block = s.bytes + b * s.type->block_bytes;
        for (uint32_t i = 0; i < s.type->block_bytes; i++) {
            block[i] = (uint8_t)next_random(&seed);
            if (type == EL_GGML_Q8_0 && block[i] == 0x80) block[i] = 0x81;
            if (has_pairs_of_bits(type) && !four)
                block[i] &= (uint8_t) ~(block[i] & block[i] >> 1 & 0x55);
        }
        fill_halves(&s, block, b % 3 == 0, &seed);
    }
    s.tensor = (el_gguf_tensor){.name = "blk.0.test.weight",
                                .type = type,
                                .rows = rows,
                                .cols = cols,
                                .data = s.bytes,
                                .bytes = blocks * s.type->block_bytes};
    return s;
}

/* Takes the tensor over; the weights that come out. Owned. */
static float *taken(const el_gguf_tensor *t, const el_taken *how)
{
    el_matrix_layout layout;
    el_matrix m;
    assert_int_equal(
        el_matrix_measure(t->rows, t->cols, how->codec, EL_SCALE_F16, how->group, &layout), 0);
    uint8_t *data = aligned_alloc(64, layout.bytes);
    float *got = malloc((size_t)t->rows * t->cols * sizeof *got);
    memset(data, 0, layout.bytes);
    assert_int_equal(el_takeover(t, how, data, NULL), EDGELLM_OK);
    el_matrix_view(&m, data, t->rows, t->cols, how->codec, EL_SCALE_F16, how->group);
    for (uint32_t row = 0; row < t->rows; row++)
        el_matrix_row(&m, row, got + (size_t)row * t->cols);
    free(data);
    return got;
}

static el_taken how_of(const el_gguf_tensor *t)
{
    el_taken how;
    assert_int_equal(el_takeover_how(t, false, &how, NULL), EDGELLM_OK);
    return how;
}

/* ==, so that a zero's sign does not count: an offset makes zeroes of its own. */
static void assert_same_weights(const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(got[i] == want[i]))
            fail_msg("weight %zu is %a, not %a", i, (double)got[i], (double)want[i]);
}

typedef struct kept {
    uint32_t type;
    bool four;
    el_codec codec;
    uint32_t group;
} kept;

static const kept rows_of_types[] = {
    {EL_GGML_Q4_0, false, EL_CODEC_Z4, 32},    {EL_GGML_Q4_1, false, EL_CODEC_O4, 32},
    {EL_GGML_Q8_0, false, EL_CODEC_I8, 32},    {EL_GGML_Q1_0, false, EL_CODEC_B1, 128},
    {EL_GGML_TQ1_0, false, EL_CODEC_T1, 128},  {EL_GGML_TQ2_0, false, EL_CODEC_T2, 128},
    {EL_GGML_Q2_0, false, EL_CODEC_T2, 64},    {EL_GGML_Q2_0, true, EL_CODEC_O2, 64},
    {EL_GGML_PQ2_0, false, EL_CODEC_T2, 128},  {EL_GGML_PQ2_0, true, EL_CODEC_O2, 128},
    {EL_GGML_PTQ1_0, false, EL_CODEC_T1, 128},
};

static void check_takeover(const kept *k, uint32_t rows, uint32_t blocks)
{
    const uint32_t cols = blocks * el_ggml_type_of(k->type)->block_weights;
    source s = random_source(k->type, rows, cols, k->four, rows * 1000 + k->type);
    const el_taken how = how_of(&s.tensor);
    assert_int_equal(how.codec, k->codec);
    assert_int_equal(how.group, k->group);
    assert_true(how.exact);
    size_t n = (size_t)rows * cols;
    float *want = malloc(n * sizeof *want), *got = taken(&s.tensor, &how);
    s.type->dequantize(s.bytes, n / s.type->block_weights, want);
    if (how.codec == EL_CODEC_O2)
        assert_same_weights(got, want, n);
    else
        assert_memory_equal(got, want, n * sizeof *want); /* the sign of zero too */
    free(got);
    if (how.codec == EL_CODEC_T1) {
        el_taken two_bits;
        assert_int_equal(el_takeover_how(&s.tensor, true, &two_bits, NULL), EDGELLM_OK);
        assert_int_equal(two_bits.codec, EL_CODEC_T2);
        assert_true(two_bits.exact);
        got = taken(&s.tensor, &two_bits);
        assert_same_weights(got, want, n);
        free(got);
    }
    free(want);
    free(s.bytes);
}

static void test_equality(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{1, 1}, {16, 2}, {49, 3}, {192, 18}, {35, 48}};
    for (size_t t = 0; t < sizeof rows_of_types / sizeof rows_of_types[0]; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            if (el_ggml_type_of(rows_of_types[t].type)->block_weights == 32 || s < 3)
                check_takeover(&rows_of_types[t], shapes[s][0], shapes[s][1]);
}

/* Damages one block and expects a refusal that names it. */
static void check_refusal(uint32_t type, uint32_t at_byte, uint8_t value, const char *what)
{
    const uint32_t cols = 3 * el_ggml_type_of(type)->block_weights;
    source s = random_source(type, 20, cols, false, 5);
    uint8_t *block = s.bytes + (size_t)(13 * 3 + 2) * s.type->block_bytes;
    const el_taken how = how_of(&s.tensor);
    block[at_byte] = value;
    el_matrix_layout layout;
    el_matrix_measure(20, cols, how.codec, EL_SCALE_F16, how.group, &layout);
    uint8_t *data = calloc(1, layout.bytes);
    edgellm_error err;
    assert_int_equal(el_takeover(&s.tensor, &how, data, &err), EDGELLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "'blk.0.test.weight', row 13, block 2"));
    assert_non_null(strstr(err.message, what));
    free(data);
    free(s.bytes);
}

static void test_refusals(void **state)
{
    (void)state;
    static const uint32_t scale_first[] = {EL_GGML_Q4_0, EL_GGML_Q4_1, EL_GGML_Q8_0,
                                           EL_GGML_Q1_0, EL_GGML_Q2_0, EL_GGML_PQ2_0};
    check_refusal(EL_GGML_Q8_0, 2, 0x80, "-128");
    check_refusal(EL_GGML_Q8_0, 33, 0x80, "-128");
    for (int t = 0; t < 6; t++) {
        check_refusal(scale_first[t], 1, 0x7c, "scale"); /* infinity or NaN, by the low byte */
        check_refusal(scale_first[t], 1, 0xff, "scale");
    }
    check_refusal(EL_GGML_Q4_1, 3, 0x7c, "offset");
    check_refusal(EL_GGML_TQ1_0, 53, 0x7c, "scale");
    check_refusal(EL_GGML_PTQ1_0, 27, 0x7c, "scale");
    check_refusal(EL_GGML_TQ2_0, 65, 0xff, "scale");
    check_refusal(EL_GGML_TQ2_0, 0, 0x03, "the code 3");
    check_refusal(EL_GGML_TQ2_0, 63, 0xd2, "the code 3");
    source s = random_source(EL_GGML_Q4_0, 1, 32, false, 1);
    const el_taken how = how_of(&s.tensor);
    s.tensor.type = EL_GGML_F16;
    uint8_t data[512] = {0};
    edgellm_error err;
    assert_int_equal(el_takeover(&s.tensor, &how, data, &err), EDGELLM_ERR_INTERNAL);
    free(s.bytes);
}

/* ---- blocks written from their descriptions ---- */

/* A fraction of 256 whose digits of base 3 are five levels, as PTQ1_0 has them. */
static uint8_t five_digits(const int *levels, int step, int count)
{
    unsigned number = 0;
    for (int i = 0; i < 5; i++)
        number = number * 3 + (i < count ? (unsigned)(levels[i * step] + 1) : 0);
    return (uint8_t)((number * 256 + 242) / 243);
}

static void write_q1_0(const int *levels, uint8_t *block)
{
    for (int i = 0; i < 128; i++)
        block[2 + i / 8] |= (uint8_t)((levels[i] > 0) << i % 8);
}

/* Also PQ2_0, which has twice as many. */
static void write_q2_0(const int *levels, int n, uint8_t *block)
{
    for (int i = 0; i < n; i++)
        block[2 + i / 4] |= (uint8_t)((levels[i] + 1) << i % 4 * 2);
}

static void write_ptq1_0(const int *levels, uint8_t *block)
{
    for (int i = 0; i < 16; i++)
        block[i] = five_digits(levels + i, 16, 5);
    for (int i = 0; i < 8; i++)
        block[16 + i] = five_digits(levels + 80 + i, 8, 5);
    for (int i = 0; i < 2; i++)
        block[24 + i] = five_digits(levels + 120 + i, 2, 4);
}

static void check_written(uint32_t type, int least, int most, uint64_t seed)
{
    const el_ggml_type *t = el_ggml_type_of(type);
    int levels[128];
    uint8_t block[64] = {0};
    float out[128];
    for (int i = 0; i < 128; i++)
        levels[i] = least + (int)(next_random(&seed) % (unsigned)(most - least + 1));
    for (int i = 0; i < 128 && type == EL_GGML_Q1_0; i++)
        levels[i] |= 1; /* -1 and 1 */
    if (type == EL_GGML_Q1_0) write_q1_0(levels, block);
    if (type == EL_GGML_Q2_0) write_q2_0(levels, 64, block);
    if (type == EL_GGML_PQ2_0) write_q2_0(levels, 128, block);
    if (type == EL_GGML_PTQ1_0) write_ptq1_0(levels, block);
    store16(block + (scale_comes_last(type) ? t->block_bytes - 2 : 0), 0x3600); /* 0.375 */
    t->dequantize(block, 1, out);
    for (uint32_t i = 0; i < t->block_weights; i++)
        assert_true(out[i] == 0.375f * (float)levels[i]);
}

static void test_written_blocks(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        check_written(EL_GGML_Q1_0, -1, 1, seed);
        check_written(EL_GGML_Q2_0, -1, 2, seed);
        check_written(EL_GGML_PQ2_0, -1, 2, seed);
        check_written(EL_GGML_PTQ1_0, -1, 1, seed);
    }
}

/* ---- floats of three levels ---- */

/* A matrix whose groups have a scale of their own each; group 0: each row has. */
static float *levels_of(uint32_t rows, uint32_t cols, uint32_t group, uint64_t seed)
{
    float *w = malloc((size_t)rows * cols * sizeof *w);
    float scale = 0;
    for (uint32_t i = 0; i < rows * cols; i++) {
        if (i % cols % (group ? group : cols) == 0)
            scale = el_float_of_half((uint16_t)(0x2c00 + next_random(&seed) % 0x1000));
        w[i] = scale * (float)((int)(next_random(&seed) % 3) - 1); /* -0 too */
    }
    return w;
}

static el_gguf_tensor tensor_of(const void *data, uint32_t type, uint32_t rows, uint32_t cols)
{
    return (el_gguf_tensor){.name = "blk.0.test.weight",
                            .type = type,
                            .rows = rows,
                            .cols = cols,
                            .data = data,
                            .bytes = (uint64_t)rows * cols * el_ggml_type_of(type)->block_bytes};
}

static void check_levels(uint32_t rows, uint32_t cols, uint32_t group)
{
    float *w = levels_of(rows, cols, group, rows * 7 + cols + group);
    const el_gguf_tensor t = tensor_of(w, EL_GGML_F32, rows, cols);
    const el_taken how = how_of(&t);
    assert_int_equal(how.codec, EL_CODEC_T1);
    assert_int_equal(how.group, group);
    assert_true(how.exact);
    float *got = taken(&t, &how);
    assert_same_weights(got, w, (size_t)rows * cols);
    free(got);
    free(w);
}

static void test_floats_of_three_levels(void **state)
{
    (void)state;
    static const uint32_t groups[] = {0, 128, 64, 32};
    for (int g = 0; g < 4; g++) {
        check_levels(33, 256, groups[g]);
        check_levels(16, 300, groups[g]);
    }
    check_levels(2, 7, 0);
}

/* The same in halves and bfloat16, and a row of zeroes. */
static void test_short_floats_of_three_levels(void **state)
{
    (void)state;
    static const uint16_t scales[2] = {0x3600, 0x3ec0}; /* 0.375 in both */
    static const uint32_t types[2] = {EL_GGML_F16, EL_GGML_BF16};
    for (int t = 0; t < 2; t++) {
        uint16_t bits[3 * 40];
        float want[3 * 40];
        for (int i = 0; i < 120; i++) {
            const int level = i / 40 == 1 ? 0 : i * i % 7 % 3 - 1;
            bits[i] = level ? (uint16_t)(scales[t] | (level < 0) << 15) : 0;
            want[i] = 0.375f * (float)level;
        }
        const el_gguf_tensor tensor = tensor_of(bits, types[t], 3, 40);
        const el_taken how = how_of(&tensor);
        assert_int_equal(how.codec, EL_CODEC_T1);
        assert_true(how.group == 0 && how.exact);
        float *got = taken(&tensor, &how);
        assert_same_weights(got, want, 120);
        free(got);
    }
}

/* What is nearly of three levels is not. */
static void test_other_floats(void **state)
{
    (void)state;
    static const float strange[] = {0.5f, NAN, INFINITY, -INFINITY, 0x1p-30f};
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        float *w = levels_of(5, 96, 32, i);
        w[4 * 96 + 95] = strange[i];
        w[4 * 96 + 94] = 0.25f;
        const el_gguf_tensor t = tensor_of(w, EL_GGML_F32, 5, 96);
        assert_int_equal(how_of(&t).codec, EL_CODEC_F32);
        free(w);
    }
}

/* (2, 32) weights of 0.1: rounding leaves the levels alone. */
static void check_rounded_scales(const float *w)
{
    const float half = el_float_of_half(el_half_of_float(0.1f));
    el_matrix_layout layout;
    el_matrix m;
    float row[32];
    assert_int_equal(el_matrix_measure(2, 32, EL_CODEC_T1, EL_SCALE_F16, 0, &layout), 0);
    uint8_t *data = aligned_alloc(64, layout.bytes);
    memset(data, 0, layout.bytes);
    el_round_matrix(w, 2, 32, EL_CODEC_T1, EL_SCALE_F16, 0, data);
    el_matrix_view(&m, data, 2, 32, EL_CODEC_T1, EL_SCALE_F16, 0);
    for (uint32_t r = 0; r < 2; r++) {
        el_matrix_row(&m, r, row);
        for (int i = 0; i < 32; i++)
            assert_true(row[i] == half * (float)((w[32 * r + i] > 0) - (w[32 * r + i] < 0)));
    }
    free(data);
}

/* Three levels whose scale is no fp16 number: near one, or far too small for that. */
static void test_scales_that_are_no_halves(void **state)
{
    (void)state;
    float w[2 * 32];
    for (int i = 0; i < 64; i++)
        w[i] = (float)(i % 3 - 1) * 0.1f;
    el_gguf_tensor t = tensor_of(w, EL_GGML_F32, 2, 32);
    assert_int_equal(how_of(&t).codec, EL_CODEC_T1);
    assert_false(how_of(&t).exact);
    check_rounded_scales(w);
    for (int i = 0; i < 64; i++)
        w[i] *= 1e-6f;
    assert_int_equal(how_of(&t).codec, EL_CODEC_F32);
    for (int i = 0; i < 64; i++)
        w[i] *= 1e30f;
    assert_int_equal(how_of(&t).codec, EL_CODEC_F32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equality),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_written_blocks),
        cmocka_unit_test(test_floats_of_three_levels),
        cmocka_unit_test(test_short_floats_of_three_levels),
        cmocka_unit_test(test_other_floats),
        cmocka_unit_test(test_scales_that_are_no_halves),
    };
    return cmocka_run_group_tests_name("takeover", tests, NULL, NULL);
}
