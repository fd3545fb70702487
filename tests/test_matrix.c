/* test_matrix.c: the layout of a matrix, its codes, and what a weight means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "kernel/matrix.h"
#include "kernel/matrix_pack.h"
#include "kernel/rotation.h"

static const uint32_t groups_allowed[] = {0, 32, 64, 128};

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* ---- tables ---- */

static void test_scale_table(void **state)
{
    (void)state;
    /* root[i] = 2^(-1/2^(i+1)), by Newton's steps; five factors stay below 2^-50. */
    double root[5], x = 0.5;
    for (int i = 0; i < 5; i++) {
        double square = x;
        for (int step = 0; step < 6; step++)
            x = 0.5 * (x + square / x);
        root[i] = x;
    }
    for (int k = 0; k < 255; k++) {
        double exact = 1.0;
        for (int i = 0; i < 5; i++) {
            if (k % 32 & (16 >> i)) exact *= root[i];
        }
        float expected = (float)(exact / (double)(1 << k / 32));
        assert_int_equal(el_bits_of_float(el_scale_table[k]), el_bits_of_float(expected));
    }
    assert_int_equal(el_bits_of_float(el_scale_table[255]), 0);
}

static void test_codec_table(void **state)
{
    (void)state;
    for (int c = EL_CODEC_S2; c < EL_CODEC_COUNT; c++) {
        const el_codec_info *info = &el_codecs[c];
        int fives = c == EL_CODEC_T1, symmetric = c <= EL_CODEC_S4 || c == EL_CODEC_B1;
        int chained = info->name[0] == 'c';
        assert_int_equal(info->block_bytes, fives ? 0 : EL_TILE * EL_BLOCK * info->bits / 8);
        assert_int_equal(info->half, c <= EL_CODEC_S4);
        assert_int_equal(info->mul, symmetric ? 2 : 1);
        if (symmetric) assert_int_equal(info->bias, -((1 << info->bits) - 1));
        if (info->name[0] == 't') assert_int_equal(info->bias, -1);
        assert_int_equal(info->levels != NULL, chained);
        for (int i = 0; chained && i < 16; i++) {
            assert_in_range(info->levels[i] - info->bias, 0, -2 * info->bias);
            assert_int_equal(info->levels[15 - i], -info->levels[i]);
        }
        assert_int_equal(info->offset, info->name[0] == 'o');
        assert_int_equal(info->fives, fives);
        assert_int_equal(info->name[1] - '0', fives ? 1 : info->bits);
    }
    assert_string_equal(el_codecs[EL_CODEC_F32].name, "f32");
}

/* ---- layout ---- */

static uint64_t up64(uint64_t n)
{
    return (n + 63) / 64 * 64;
}

static void check_layout(uint32_t rows, uint32_t cols, el_codec codec, el_scale_kind kind,
                         uint32_t group)
{
    el_matrix_layout l;
    assert_int_equal(el_matrix_measure(rows, cols, codec, kind, group, &l), 0);
    const el_codec_info *info = &el_codecs[codec];
    uint64_t tiles = (rows + 15) / 16, blocks = (cols + 31) / 32;
    uint64_t groups = group ? (cols + group - 1) / group : 1;
    uint64_t unit = kind == EL_SCALE_F16 ? 2 : 1;
    uint64_t vectors = info->fives ? (8 * blocks + 4) / 5 : blocks * info->bits;
    uint64_t want[EL_PLANES] = {tiles * vectors * 64, tiles * groups * 16 * unit, 0,
                                kind == EL_SCALE_BYTE ? tiles * 32 : 0, 0};
    if (info->offset) want[2] = want[1], want[4] = want[3];
    uint64_t at = 0;
    for (int p = 0; p < EL_PLANES; p++) {
        assert_int_equal(l.plane_bytes[p], want[p]);
        assert_int_equal(l.plane_offset[p], at);
        at += up64(want[p]);
    }
    assert_int_equal(l.bytes, at);
}

static void test_layout(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{1, 1},     {16, 32},    {17, 33},
                                         {192, 576}, {49, 100},   {49151, 576},
                                         {576, 960}, {1536, 576}, {3, 100000}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int c = EL_CODEC_S2; c < EL_CODEC_COUNT; c++) {
            for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
                for (int g = 0; g < 4; g++) {
                    check_layout(shapes[s][0], shapes[s][1], (el_codec)c, (el_scale_kind)kind,
                                 groups_allowed[g]);
                }
            }
        }
    }
}

static void test_layout_refusals(void **state)
{
    (void)state;
    static const struct {
        uint32_t rows, cols;
        int codec, kind;
        uint32_t group;
        int result;
    } cases[] = {
        {1u << 24, 1u << 24, EL_CODEC_O8, EL_SCALE_F16, 32, 0},
        {(1u << 24) + 1, 1, EL_CODEC_S4, EL_SCALE_F16, 32, -1},
        {1, (1u << 24) + 1, EL_CODEC_S4, EL_SCALE_F16, 32, -1},
        {UINT32_MAX, UINT32_MAX, EL_CODEC_S4, EL_SCALE_F16, 32, -1},
        {0, 1, EL_CODEC_S4, EL_SCALE_F16, 32, -1},
        {1, 0, EL_CODEC_S4, EL_SCALE_F16, 32, -1},
        {1, 1, EL_CODEC_F32, EL_SCALE_F16, 32, -1},
        {1, 1, EL_CODEC_COUNT, EL_SCALE_F16, 32, -1},
        {1, 1, EL_CODEC_S4, EL_SCALE_KINDS, 32, -1},
        {1, 1, EL_CODEC_S4, EL_SCALE_F16, 31, -1},
        {1, 1, EL_CODEC_S4, EL_SCALE_F16, 256, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        el_matrix_layout l;
        assert_int_equal(el_matrix_measure(cases[i].rows, cases[i].cols, (el_codec)cases[i].codec,
                                           (el_scale_kind)cases[i].kind, cases[i].group, &l),
                         cases[i].result);
        el_matrix m;
        static const uint8_t nothing[64];
        if (cases[i].result) {
            assert_int_equal(el_matrix_view(&m, nothing, cases[i].rows, cases[i].cols,
                                            (el_codec)cases[i].codec, (el_scale_kind)cases[i].kind,
                                            cases[i].group),
                             -1);
        }
    }
}

/* The words of matrix.h, followed literally: which bit of the plane holds bit `b` of a code. */
static size_t documented_bit(unsigned bits, uint32_t blocks, uint32_t row, uint32_t col, unsigned b)
{
    size_t block_bytes = 64u * bits;
    size_t start = ((size_t)(row / 16) * blocks + col / 32) * block_bytes;
    unsigned quad = col % 32 / 4, width = bits;
    if (bits == 3) {
        width = b == 2 ? 1 : 2;
        if (b == 2) start += 128;
        b %= 2;
    }
    unsigned per = 8 / width;
    size_t byte = start + quad / per * 64 + row % 16 * 4 + col % 4;
    return byte * 8 + quad % per * width + b;
}

static void check_codes(uint32_t rows, uint32_t cols, el_codec codec, uint64_t seed)
{
    el_matrix_layout l;
    assert_int_equal(el_matrix_measure(rows, cols, codec, EL_SCALE_F16, 64, &l), 0);
    uint8_t *data = calloc(1, l.bytes);
    el_matrix m;
    assert_int_equal(el_matrix_view(&m, data, rows, cols, codec, EL_SCALE_F16, 64), 0);
    unsigned bits = el_codecs[codec].bits;
    int *want = malloc(sizeof(int) * rows * cols);
    for (int pass = 0; pass < 2; pass++) { /* the second overwrites */
        for (uint32_t i = 0; i < rows * cols; i++) {
            want[i] = (int)(next_random(&seed) % (1u << bits));
            if (bits == 8) want[i] = want[i] % 255 - 127;
            el_matrix_set_code(data, codec, m.blocks, i / cols, i % cols, want[i]);
        }
    }
    size_t set = 0, expected_set = 0;
    for (uint32_t i = 0; i < rows * cols; i++) {
        assert_int_equal(el_matrix_code(&m, i / cols, i % cols), want[i]);
        for (unsigned b = 0; b < bits; b++) {
            size_t bit = documented_bit(bits, m.blocks, i / cols, i % cols, b);
            assert_int_equal(data[bit / 8] >> bit % 8 & 1, (unsigned)want[i] >> b & 1);
            expected_set += (unsigned)want[i] >> b & 1;
        }
    }
    for (size_t bit = 0; bit < l.bytes * 8; bit++)
        set += data[bit / 8] >> bit % 8 & 1;
    assert_int_equal(set, expected_set); /* nothing else was touched */
    free(want);
    free(data);
}

/* The same for fives: every byte of the plane is made of the codes that matrix.h puts there. */
static void check_fives(uint32_t rows, uint32_t cols, uint64_t seed)
{
    el_matrix_layout l;
    assert_int_equal(el_matrix_measure(rows, cols, EL_CODEC_T1, EL_SCALE_F16, 64, &l), 0);
    uint8_t *data = calloc(1, l.bytes);
    el_matrix m;
    assert_int_equal(el_matrix_view(&m, data, rows, cols, EL_CODEC_T1, EL_SCALE_F16, 64), 0);
    const size_t vectors = (m.blocks * 8 + 4) / 5;
    unsigned *values = calloc(m.tiles * vectors * 64, sizeof *values);
    static const unsigned weights[] = {81, 27, 9, 3, 1};
    for (int pass = 0; pass < 2; pass++) { /* the second overwrites */
        memset(values, 0, m.tiles * vectors * 64 * sizeof *values);
        for (uint32_t i = 0; i < rows * cols; i++) {
            uint32_t row = i / cols, col = i % cols, quad = col / 4;
            int code = (int)(next_random(&seed) % 3);
            el_matrix_set_code(data, EL_CODEC_T1, m.blocks, row, col, code);
            assert_int_equal(el_matrix_code(&m, row, col), code);
            values[(row / 16 * vectors + quad / 5) * 64 + row % 16 * 4 + col % 4] +=
                (unsigned)code * weights[quad % 5];
        }
    }
    for (size_t i = 0; i < l.plane_bytes[0]; i++)
        assert_int_equal(data[i], (values[i] * 256 + 242) / 243);
    free(values);
    free(data);
}

static void test_codes(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{1, 1}, {16, 32}, {17, 33}, {5, 129}, {49, 100}, {40, 7}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int c = EL_CODEC_S2; c < EL_CODEC_COUNT; c++) {
            if (c != EL_CODEC_T1)
                check_codes(shapes[s][0], shapes[s][1], (el_codec)c, 100 * s + (unsigned)c);
        }
        check_fives(shapes[s][0], shapes[s][1], 7 * s);
    }
}

/* All bytes have codes, also those that no codes make; a code written into one makes it a sound
 * one. */
static void test_fives_of_any_byte(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t data[256] __attribute__((aligned(64))) = {(uint8_t)byte};
        el_matrix m;
        unsigned value = 0, left = byte;
        assert_int_equal(el_matrix_view(&m, data, 1, 20, EL_CODEC_T1, EL_SCALE_F16, 0), 0);
        for (uint32_t quad = 0; quad < 5; quad++) {
            assert_int_equal(el_matrix_code(&m, 0, 4 * quad), left * 3 / 256);
            value = value * 3 + left * 3 / 256;
            left = left * 3 % 256;
        }
        el_matrix_set_code(data, EL_CODEC_T1, m.blocks, 0, 0, el_matrix_code(&m, 0, 0));
        assert_int_equal(data[0], (value * 256 + 242) / 243);
    }
}

/* ---- values ---- */

/* Level of a code whose column has the code `before` in the row before it, as docs/FORMAT.md words
 * it. */
static int chained_level(el_codec codec, int code, int before)
{
    static const int two[] = {1, -6, -2, 4, 4, -2, -8, 1, -1, 8, 2, -4, -4, 2, 6, -1};
    static const int three[] = {-4, -7, 2, 0, 13, 2, -9, -5, 5, 9, -2, -13, 0, -2, 7, 4};
    if (codec == EL_CODEC_C2) return two[4 * before + code];
    return three[8 * (code / 4) + 4 * (before % 2) + 2 * (code / 2 % 2) +
                 (code % 2 != before / 2 % 2)];
}

/* Level of a plain code, as the list of codecs in matrix.h words it. */
static int documented_level(el_codec codec, int code)
{
    switch (codec) {
    case EL_CODEC_S2:
        return 2 * code - 3;
    case EL_CODEC_S3:
        return 2 * code - 7;
    case EL_CODEC_S4:
        return 2 * code - 15;
    case EL_CODEC_Z4:
        return code - 8;
    case EL_CODEC_B1:
        return code ? 1 : -1;
    case EL_CODEC_T2:
    case EL_CODEC_T1:
        return code - 1;
    default:
        return code;
    }
}

static int documented_level_at(const el_matrix *m, uint32_t row, uint32_t col)
{
    const el_codec codec = (el_codec)m->codec;
    const int code = el_matrix_code(m, row, col);
    if (!el_codecs[codec].levels) return documented_level(codec, code);
    const uint32_t before = row % 16 ? row - 1 : row + 15; /* may be padding */
    return chained_level(codec, code, el_matrix_code(m, before, col));
}

static float random_half_value(uint64_t *seed, uint16_t *bits)
{
    do {
        *bits = (uint16_t)next_random(seed);
    } while (!el_half_is_finite(*bits));
    return el_float_of_half(*bits);
}

static void check_values(uint32_t rows, uint32_t cols, el_codec codec, el_scale_kind kind,
                         uint32_t group, uint64_t seed)
{
    el_matrix_layout l;
    assert_int_equal(el_matrix_measure(rows, cols, codec, kind, group, &l), 0);
    uint8_t *data = malloc(l.bytes);
    for (uint64_t i = 0; i < l.bytes; i++)
        data[i] = (uint8_t)next_random(&seed);
    uint16_t bits;
    for (int p = 1; p < EL_PLANES; p++) {
        if (kind == EL_SCALE_BYTE && p < 3) continue;
        uint16_t *halves = (uint16_t *)(void *)(data + l.plane_offset[p]);
        for (uint64_t i = 0; i < l.plane_bytes[p] / 2; i++) {
            random_half_value(&seed, &bits);
            halves[i] = bits;
        }
    }
    el_matrix m;
    assert_int_equal(el_matrix_view(&m, data, rows, cols, codec, kind, group), 0);
    float *out = malloc(sizeof(float) * cols);
    uint32_t width = group ? group : cols;
    for (uint32_t row = 0; row < rows; row++) {
        el_matrix_row(&m, row, out);
        for (uint32_t col = 0; col < cols; col++) {
            size_t at = ((size_t)(row / 16) * m.groups + col / width) * 16 + row % 16;
            const uint8_t *s = data + l.plane_offset[1], *o = data + l.plane_offset[2];
            const uint16_t *r = (const uint16_t *)(const void *)(data + l.plane_offset[3]);
            const uint16_t *q = (const uint16_t *)(const void *)(data + l.plane_offset[4]);
            float ws, offset = 0.0f;
            if (kind == EL_SCALE_F16) {
                ws = el_float_of_half(((const uint16_t *)(const void *)s)[at]);
                if (m.offsets) offset = el_float_of_half(((const uint16_t *)(const void *)o)[at]);
            } else {
                ws = el_float_of_half(r[row]) * el_scale_table[s[at]];
                if (m.offsets) offset = el_float_of_half(q[row]) * (float)(int8_t)o[at];
            }
            if (codec <= EL_CODEC_S4) ws = ws / 2;
            assert_true(el_matrix_scale(&m, row, col / width) == ws);
            assert_true(el_matrix_offset(&m, row, col / width) == offset);
            int level = documented_level_at(&m, row, col);
            assert_int_equal(el_matrix_level(&m, row, col), level);
            float w = ws * (float)level;
            if (m.offsets) w += offset;
            assert_int_equal(el_bits_of_float(out[col]), el_bits_of_float(w));
        }
    }
    free(out);
    free(data);
}

static void test_values(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{16, 64}, {19, 100}, {3, 300}, {33, 31}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int c = EL_CODEC_S2; c < EL_CODEC_COUNT; c++) {
            for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
                for (int g = 0; g < 4; g++) {
                    check_values(shapes[s][0], shapes[s][1], (el_codec)c, (el_scale_kind)kind,
                                 groups_allowed[g], 1000 * s + (unsigned)c);
                }
            }
        }
    }
}

/* ---- rotation ---- */

/* Entry (i, j) of R: the sign of input j, and another one where i and j share an odd number of
 * bits. */
static float documented_rotation(unsigned i, unsigned j)
{
    bool minus = 0x243f6a8885a308d3u >> j & 1;
    return minus == (__builtin_popcount(i & j) % 2 != 0) ? 0.125f : -0.125f;
}

/* The second of three blocks of inputs is one unit vector after the other: every result is exact.
 */
static void test_rotation_is_its_matrix(void **state)
{
    (void)state;
    for (unsigned j = 0; j < 64; j++) {
        float there[192] = {0}, back[192] = {0};
        there[64 + j] = back[64 + j] = 1.0f;
        el_rotate_row(there, 192);
        el_rotate_back(back, 192);
        for (unsigned i = 0; i < 192; i++) {
            const bool outside = i < 64 || i >= 128;
            assert_true(there[i] == (outside ? 0.0f : documented_rotation(i - 64, j)));
            assert_true(back[i] == (outside ? 0.0f : documented_rotation(j, i - 64)));
        }
    }
}

/* Small integers: sums of 64 of them are exact, so what goes there comes back. */
static void test_rotation_is_undone(void **state)
{
    (void)state;
    uint64_t seed = 3;
    float x[640], y[640];
    for (int i = 0; i < 640; i++)
        x[i] = y[i] = (float)(int)(next_random(&seed) % 255) - 127.0f;
    el_rotate_row(y, 640);
    assert_memory_not_equal(x, y, sizeof x);
    el_rotate_back(y, 640);
    for (int i = 0; i < 640; i++)
        assert_true(x[i] == y[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scale_table),
        cmocka_unit_test(test_codec_table),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_layout_refusals),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_fives_of_any_byte),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_rotation_is_its_matrix),
        cmocka_unit_test(test_rotation_is_undone),
    };
    return cmocka_run_group_tests_name("matrix", tests, NULL, NULL);
}
