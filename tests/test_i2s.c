/*
 * test_i2s.c: tensors of type I2_S in their three layouts, against bytes written from the
 * description; and that the layout of a model is found (tests/data/i2s_model.py).
 */
#include <math.h>
#include <stdlib.h>

#include "base/half.h"
#include "format/gguf.h"
#include "format/i2s.h"
#include "format/planes.h"
#include "offline/layouts.h"
#include "support/test_help.h"
#include "support/tiny_model.h"

#define MODEL  EL_TEST_DATA "/i2s_model.gguf"
#define SOURCE EL_TEST_OUT "/i2s.gguf"
#define TARGET EL_TEST_OUT "/i2s.tm2.bin"
#define SCALE  0.0625f /* of the model */

/* ---- writing ------------------------------------------------------------------------------- */

/* Where a weight is: which byte, and how far its code is shifted up. */
static void place_of(el_i2s layout, uint32_t cols, uint32_t row, uint32_t col, size_t *byte,
                     unsigned *shift)
{
    const size_t weight = (size_t)row * cols + col;
    switch (layout) {
    case EL_I2S_AVX:
        *byte = weight / 128 * 32 + weight % 32;
        *shift = 6 - 2 * (unsigned)(weight % 128 / 32);
        break;
    case EL_I2S_NEON:
        *byte = weight / 64 * 16 + weight % 16;
        *shift = 6 - 2 * (unsigned)(weight % 64 / 16);
        break;
    default:
        *byte = (size_t)(row / 4) * cols + col;
        *shift = 6 - 2 * (row % 4);
    }
}

/* levels (rows, cols) to bytes, zeroed before; then the scale. */
static void write_i2s(el_i2s layout, uint32_t rows, uint32_t cols, const int8_t *levels,
                      float scale, uint8_t *bytes)
{
    for (uint32_t row = 0; row < rows; row++) {
        for (uint32_t col = 0; col < cols; col++) {
            size_t byte;
            unsigned shift;
            place_of(layout, cols, row, col, &byte, &shift);
            bytes[byte] |= (uint8_t)((levels[(size_t)row * cols + col] + 1) << shift);
        }
    }
    memcpy(bytes + (size_t)rows * cols / 4, &scale, sizeof scale);
}

/* ---- tensors ------------------------------------------------------------------------------- */

enum { ROWS = 8, COLS = 256, BYTES = ROWS * COLS / 4 + 32 };

static const el_i2s layouts[] = {EL_I2S_AVX, EL_I2S_NEON, EL_I2S_ROWS};

static el_gguf_tensor tensor_of(const uint8_t *bytes, uint32_t rows, uint32_t cols)
{
    return (el_gguf_tensor){.name = "blk.0.ffn_up.weight",
                            .type = EL_GGML_I2_S,
                            .rows = rows,
                            .cols = cols,
                            .data = bytes,
                            .bytes = el_i2s_bytes(rows, cols)};
}

static void fill_levels(int8_t *levels, size_t n)
{
    uint64_t seed = 7;
    for (size_t i = 0; i < n; i++)
        levels[i] = (int8_t)(next_random(&seed) % 3) - 1;
}

static void test_layouts(void **state)
{
    (void)state;
    int8_t levels[ROWS * COLS];
    fill_levels(levels, sizeof levels);
    for (int l = 0; l < 3; l++) {
        uint8_t bytes[BYTES] = {0}, *data;
        edgellm_error err;
        el_gguf_tensor dense;
        write_i2s(layouts[l], ROWS, COLS, levels, 1.2109375f, bytes);
        const el_gguf_tensor t = tensor_of(bytes, ROWS, COLS);
        assert_int_equal(t.bytes, BYTES);
        assert_ok(el_i2s_unpack(&t, layouts[l], &dense, &data, &err));
        assert_true(dense.type == EL_GGML_F32 && dense.bytes == sizeof levels * sizeof(float));
        assert_ptr_equal(dense.data, data);
        for (size_t i = 0; i < sizeof levels; i++)
            assert_true(((const float *)(const void *)data)[i] == 1.2109375f * (float)levels[i]);
        free(data);
    }
}

static void check_refused(const uint8_t *bytes, uint32_t rows, uint32_t cols, el_i2s layout,
                          const char *what)
{
    edgellm_error err;
    el_gguf_tensor dense;
    uint8_t *data;
    const el_gguf_tensor t = tensor_of(bytes, rows, cols);
    assert_int_equal(el_i2s_unpack(&t, layout, &dense, &data, &err), EDGELLM_ERR_FORMAT);
    assert_null(data);
    assert_contains(err.message, "'blk.0.ffn_up.weight'");
    assert_contains(err.message, what);
}

static void test_bad_tensors(void **state)
{
    (void)state;
    uint8_t bytes[BYTES] = {0};
    const float bad = NAN;
    bytes[COLS / 4 * 3 + 5] = 0x0c; /* row 3, the third code of byte 5 */
    check_refused(bytes, ROWS, COLS, EL_I2S_AVX, "row 3, column 69: holds the code 3");
    check_refused(bytes, ROWS, COLS, EL_I2S_NEON, "row 3, column 37: holds the code 3");
    check_refused(bytes, ROWS, COLS, EL_I2S_ROWS, "row 2, column 197: holds the code 3");
    check_refused(bytes, 4, 320, EL_I2S_AVX, "(4, 320) cannot lie in I2_S's layout 'avx'");
    check_refused(bytes, 4, 96, EL_I2S_NEON, "cannot lie in I2_S's layout 'neon'");
    check_refused(bytes, 6, 64, EL_I2S_ROWS, "cannot lie in I2_S's layout 'rows'");
    check_refused(bytes, ROWS, COLS, EL_I2S_UNKNOWN, "layout 'unknown'");
    memcpy(bytes + ROWS * COLS / 4, &bad, sizeof bad);
    check_refused(bytes, ROWS, COLS, EL_I2S_AVX, "its scale is not a finite number");
}

/* ---- planes of rows ------------------------------------------------------------------------ */

/* 7 rows in 2 packed ones: piece k has rows 2 k and 2 k + 1, the last piece row 6 alone. */
static void test_planes(void **state)
{
    (void)state;
    static const int levels[7][3] = {{1, 0, -1}, {0, 0, 1},  {-1, -1, 0}, {1, 1, 1},
                                     {0, -1, 0}, {-1, 0, 1}, {1, -1, -1}};
    uint8_t packed[2][3] = {{0}};
    float out[3];
    edgellm_error err;
    assert_int_equal(el_planes_rows(7), 2);
    assert_int_equal(el_planes_rows(8), 2);
    for (int row = 0; row < 7; row++)
        for (int col = 0; col < 3; col++)
            packed[row % 2][col] |= (uint8_t)((levels[row][col] + 1) << row / 2 * 2);
    for (uint32_t row = 0; row < 7; row++) {
        assert_ok(el_planes_row("w", packed[0], 7, 3, row, 0.3f, false, out, &err));
        for (int col = 0; col < 3; col++)
            assert_true(out[col] == 0.3f * (float)levels[row][col]);
        assert_ok(el_planes_row("w", packed[0], 7, 3, row, 1.21875f, true, out, &err));
        for (int col = 0; col < 3; col++)
            assert_true(out[col] == 1.0f / 1.21875f * (float)levels[row][col]);
    }
    packed[1][2] |= 0x30; /* row 5 */
    assert_int_equal(el_planes_row("w", packed[0], 7, 3, 5, 1, false, out, &err),
                     EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "'w', row 5, column 2: holds the code 3");
    assert_int_equal(el_planes_row("w", packed[0], 7, 3, 0, 0, true, out, &err),
                     EDGELLM_ERR_FORMAT);
    assert_int_equal(el_planes_row("w", packed[0], 7, 3, 0, NAN, false, out, &err),
                     EDGELLM_ERR_FORMAT);
}

/* ---- a model ------------------------------------------------------------------------------- */

/* The model, its I2_S tensors changed: laid out otherwise, or without any weight but 0. */
static void save_model(el_i2s layout, bool empty)
{
    edgellm_error err;
    el_bytes bytes;
    el_gguf file;
    assert_true(el_bytes_load(&bytes, MODEL));
    assert_ok(el_gguf_open(&file, MODEL, &err));
    for (uint32_t i = 0; i < file.n_tensors; i++) {
        const el_gguf_tensor *t = &file.tensors[i];
        if (t->type != EL_GGML_I2_S) continue;
        const size_t n = (size_t)t->rows * t->cols;
        int8_t *levels = calloc(n, 1);
        el_gguf_tensor dense;
        uint8_t *data;
        assert_ok(el_i2s_unpack(t, EL_I2S_AVX, &dense, &data, &err));
        for (size_t k = 0; k < n && !empty; k++)
            levels[k] = (int8_t)(((const float *)(const void *)data)[k] / SCALE);
        uint8_t *to = bytes.data + (t->data - file.map.data);
        memset(to, 0, (size_t)t->bytes);
        write_i2s(layout, t->rows, t->cols, levels, SCALE, to);
        free(data);
        free(levels);
    }
    el_gguf_close(&file);
    assert_true(el_bytes_save(&bytes, SOURCE));
    free(bytes.data);
}

/* Converts SOURCE; the file's bytes from the first tensor on. Owned. */
static uint8_t *converted(el_i2s said, el_layouts_found *found, size_t *size)
{
    const el_quantize_options options = {.group = 32, .embedding_group = 32, .i2s = said};
    el_quantize_result result;
    edgellm_error err;
    el_tm2 file;
    assert_ok(el_layouts_quantize(SOURCE, TARGET, &options, &result, found, &err));
    assert_int_equal(result.kept, 8); /* seven matrices and the embedding */
    assert_int_equal(result.rounded, 0);
    assert_ok(el_tm2_open(&file, TARGET, true, &err));
    el_tensor t;
    uint8_t *all = calloc(1, file.map.size);
    *size = 0;
    for (uint32_t i = 0; i < file.n_tensors; i++) {
        el_tm2_tensor(&file, i, &t);
        memcpy(all + *size, t.data, (size_t)t.bytes);
        *size += (size_t)t.bytes;
    }
    el_tm2_close(&file);
    return all;
}

static void check_found(const el_layouts_found *found, el_i2s layout)
{
    assert_int_equal(found->layout, layout);
    for (int l = 0; l < 3; l++) {
        const double nats = found->nats[layouts[l]];
        if (layouts[l] == layout)
            assert_true(nats > 0 && nats < 0.2);
        else
            assert_true(nats > 1);
    }
}

static void test_layout_is_found(void **state)
{
    (void)state;
    uint8_t *first = NULL;
    size_t size = 0;
    for (int l = 0; l < 3; l++) {
        size_t other_size;
        el_layouts_found found;
        save_model(layouts[l], false);
        uint8_t *tensors = converted(EL_I2S_UNKNOWN, &found, &other_size);
        check_found(&found, layouts[l]);
        if (first) {
            assert_int_equal(other_size, size);
            assert_memory_equal(tensors, first, size);
            free(tensors);
        } else {
            first = tensors;
            size = other_size;
        }
    }
    free(first);
}

static void test_layout_is_said(void **state)
{
    (void)state;
    el_layouts_found found;
    size_t size, right_size;
    save_model(EL_I2S_NEON, false);
    uint8_t *right = converted(EL_I2S_NEON, &found, &right_size);
    assert_int_equal(found.layout, EL_I2S_UNKNOWN);
    assert_true(found.nats[EL_I2S_NEON] == 0); /* not tried */
    uint8_t *wrong = converted(EL_I2S_AVX, &found, &size);
    assert_int_equal(size, right_size);
    assert_memory_not_equal(wrong, right, size);
    free(wrong);
    free(right);
}

static void test_what_cannot_be_told(void **state)
{
    (void)state;
    const el_quantize_options options = {.group = 32, .embedding_group = 32};
    el_layouts_found found;
    edgellm_error err;
    save_model(EL_I2S_AVX, true);
    assert_int_equal(el_layouts_quantize(SOURCE, TARGET, &options, NULL, &found, &err),
                     EDGELLM_ERR_UNSUPPORTED);
    assert_contains(err.message, "say it with --i2s-layout");
    assert_int_equal(el_quantize(SOURCE, TARGET, &options, NULL, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "type I2_S, whose bytes have one of three layouts");
}

/* A shape that no layout has, in the table of the file. */
static void test_bad_shape(void **state)
{
    (void)state;
    static const char name[] = "blk.0.attn_output.weight";
    const uint64_t shape[2] = {66, 127};
    el_bytes bytes;
    el_gguf file;
    edgellm_error err;
    assert_true(el_bytes_load(&bytes, MODEL));
    uint8_t *at = memmem(bytes.data, bytes.size, name, sizeof name - 1);
    assert_non_null(at);
    memcpy(at + sizeof name - 1 + 4, shape, sizeof shape);
    assert_true(el_bytes_save(&bytes, SOURCE));
    assert_int_equal(el_gguf_open(&file, SOURCE, &err), EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "'blk.0.attn_output.weight'");
    assert_contains(err.message, "I2_S needs a matrix");
    free(bytes.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),         cmocka_unit_test(test_bad_tensors),
        cmocka_unit_test(test_layout_is_found), cmocka_unit_test(test_layout_is_said),
        cmocka_unit_test(test_bad_shape),       cmocka_unit_test(test_what_cannot_be_told),
        cmocka_unit_test(test_planes),
    };
    return cmocka_run_group_tests_name("i2s", tests, NULL, NULL);
}
