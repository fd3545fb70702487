/* test_gguf_bad.c: GGUF files that lie, are cut off or have flipped bits: a clean error each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "support/hand_gguf.h"
#include "support/test_help.h"

#define PATH EL_TEST_OUT "/bad.gguf"

static el_tiny_spec small_spec(void)
{
    el_tiny_spec spec = el_tiny_defaults();
    spec.dim = spec.ffn_dim = 32;
    spec.layers = 1;
    spec.heads = 2;
    spec.kv_heads = 1;
    return spec;
}

/* ---- files that lie -------------------------------------------------------------------- */

static void lie_tensors(el_hand *h)
{
    h->n_tensors = 1ull << 60;
}

static void lie_values(el_hand *h)
{
    h->n_values = 1ull << 60;
}

static void lie_some_values(el_hand *h)
{
    el_hand_u32(h, "a", 1);
    h->n_values = 2;
    el_hand_tensor(h, "t", 32, EL_GGML_F32, 0);
}

static void lie_string(el_hand *h)
{
    el_bytes_text(&h->values, "k");
    el_bytes_u32(&h->values, 8);
    el_bytes_u64(&h->values, UINT64_MAX);
    h->n_values = 1;
}

static void lie_key(el_hand *h)
{
    el_bytes_u64(&h->values, 1ull << 40);
    el_bytes_put(&h->values, "kkkkkkkkkkkkkkkkkkkkkkkkk", 25);
    h->n_values = 1;
}

static void lie_array(el_hand *h)
{
    el_hand_array(h, "k", 4, 1ull << 62); /* times 4 is 0 in 64 bits */
}

static void lie_text_array(el_hand *h)
{
    el_hand_array(h, "k", 8, UINT64_MAX);
}

static void deep_array(el_hand *h)
{
    el_hand_array(h, "k", 9, 1);
    for (int i = 0; i < 100; i++) {
        el_bytes_u32(&h->values, 9);
        el_bytes_u64(&h->values, 1);
    }
}

static void unknown_type(el_hand *h)
{
    el_bytes_text(&h->values, "k");
    el_bytes_u32(&h->values, 13);
    el_bytes_u64(&h->values, 0);
    h->n_values = 1;
}

static void same_key(el_hand *h)
{
    el_hand_u32(h, "same", 1);
    el_hand_u32(h, "other", 1);
    el_hand_u32(h, "same", 1);
}

static void odd_alignment(el_hand *h)
{
    el_hand_u32(h, "general.alignment", 48);
}

static void zero_alignment(el_hand *h)
{
    el_hand_u32(h, "general.alignment", 0);
}

static void far_tensor(el_hand *h)
{
    el_hand_tensor(h, "far", 32, EL_GGML_F32, 1ull << 40);
}

static void wrapped_tensor(el_hand *h)
{
    el_hand_tensor(h, "wrapped", 32, EL_GGML_F32, UINT64_MAX - 31);
}

static void unaligned_tensor(el_hand *h)
{
    el_hand_tensor(h, "unaligned", 32, EL_GGML_F32, 4);
}

static void large_tensor(el_hand *h)
{
    el_hand_tensor(h, "large", 1ull << 63, EL_GGML_F32, 0);
}

static void empty_tensor(el_hand *h)
{
    el_hand_tensor(h, "empty", 0, EL_GGML_F32, 0);
}

static void other_type(el_hand *h)
{
    el_hand_tensor(h, "quant", 256, 9, 0);
}

static void narrow_grid(el_hand *h)
{
    el_hand_tensor(h, "narrow", 128, 16, 0);
}

static void ternary_vector(el_hand *h)
{
    el_hand_tensor(h, "levels", 128, EL_GGML_I2_S, 0);
}

static void odd_width(el_hand *h)
{
    el_hand_tensor(h, "odd", 33, EL_GGML_Q4_0, 0);
}

static void long_name(el_hand *h)
{
    el_hand_tensor(h, "a-name-of-more-than-sixty-three-bytes-is-more-than-any-model-has-", 8, 0, 0);
}

static void same_name(el_hand *h)
{
    for (int i = 0; i < 64; i++)
        el_bytes_u32(&h->data, 0);
    el_hand_tensor(h, "same", 8, EL_GGML_F32, 0);
    el_hand_tensor(h, "same", 8, EL_GGML_F32, 32);
}

static void overlapping(el_hand *h)
{
    for (int i = 0; i < 64; i++)
        el_bytes_u32(&h->data, 0);
    el_hand_tensor(h, "one", 16, EL_GGML_F32, 0);
    el_hand_tensor(h, "two", 8, EL_GGML_F32, 32);
}

static void add_shape(el_hand *h, const char *name, uint32_t n, const uint64_t *ne)
{
    el_bytes_text(&h->table, name);
    el_bytes_u32(&h->table, n);
    for (uint32_t i = 0; i < n && i < 8; i++)
        el_bytes_u64(&h->table, ne[i]);
    el_bytes_u32(&h->table, EL_GGML_F32);
    el_bytes_u64(&h->table, 0);
    h->n_tensors++;
    for (int i = 0; i < 64; i++)
        el_bytes_u32(&h->data, 0);
}

static void cube(el_hand *h)
{
    add_shape(h, "cube", 3, (uint64_t[]){2, 2, 2});
}

static void five_dimensions(el_hand *h)
{
    add_shape(h, "five", 5, (uint64_t[]){1, 1, 1, 1, 1});
}

static void no_dimensions(el_hand *h)
{
    add_shape(h, "none", 0, NULL);
}

static void many_dimensions(el_hand *h)
{
    add_shape(h, "many", UINT32_MAX, (uint64_t[]){1, 1, 1, 1, 1, 1, 1, 1});
}

static void version_1(el_hand *h)
{
    h->version = 1;
}

static void version_4(el_hand *h)
{
    h->version = 4;
}

static void big_endian(el_hand *h)
{
    h->version = 0x03000000;
}

static void test_lies(void **state)
{
    (void)state;
    static const struct {
        void (*add)(el_hand *);
        edgellm_status status;
        const char *part;
    } rows[] = {
        {lie_tensors, EDGELLM_ERR_FORMAT, "offset 8, number of tensors"},
        {lie_values, EDGELLM_ERR_FORMAT, "offset 16, number of metadata"},
        {lie_some_values, EDGELLM_ERR_FORMAT, "tensor table entry 0"},
        {lie_string, EDGELLM_ERR_FORMAT, "'k', offset 45, string: runs past"},
        {lie_key, EDGELLM_ERR_FORMAT, "key: runs past"},
        {lie_array, EDGELLM_ERR_FORMAT, "array elements: runs past"},
        {lie_text_array, EDGELLM_ERR_FORMAT, "array string: runs past"},
        {deep_array, EDGELLM_ERR_FORMAT, "nested too deep"},
        {unknown_type, EDGELLM_ERR_FORMAT, "value type: not a type"},
        {same_key, EDGELLM_ERR_FORMAT, "'same' is there twice"},
        {odd_alignment, EDGELLM_ERR_FORMAT, "general.alignment"},
        {zero_alignment, EDGELLM_ERR_FORMAT, "general.alignment"},
        {far_tensor, EDGELLM_ERR_FORMAT, "tensor 'far'"},
        {wrapped_tensor, EDGELLM_ERR_FORMAT, "tensor 'wrapped'"},
        {unaligned_tensor, EDGELLM_ERR_FORMAT, "'unaligned'"},
        {large_tensor, EDGELLM_ERR_FORMAT, "'large'"},
        {empty_tensor, EDGELLM_ERR_FORMAT, "'empty'"},
        {other_type, EDGELLM_ERR_UNSUPPORTED, "'quant' has type 9 (Q8_1)"},
        {narrow_grid, EDGELLM_ERR_FORMAT, "'narrow', offset"},
        {ternary_vector, EDGELLM_ERR_FORMAT, "I2_S needs a matrix"},
        {odd_width, EDGELLM_ERR_FORMAT, "'odd'"},
        {long_name, EDGELLM_ERR_FORMAT, "1..63"},
        {same_name, EDGELLM_ERR_FORMAT, "'same' is there twice"},
        {overlapping, EDGELLM_ERR_FORMAT, "'one' and 'two' overlap"},
        {cube, EDGELLM_ERR_UNSUPPORTED, "'cube'"},
        {five_dimensions, EDGELLM_ERR_FORMAT, "'five'"},
        {no_dimensions, EDGELLM_ERR_FORMAT, "'none'"},
        {many_dimensions, EDGELLM_ERR_FORMAT, "'many'"},
        {version_1, EDGELLM_ERR_UNSUPPORTED, "version 1 "},
        {version_4, EDGELLM_ERR_UNSUPPORTED, "version 4 "},
        {big_endian, EDGELLM_ERR_UNSUPPORTED, "big-endian"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        edgellm_error err;
        el_gguf file = {.n_tensors = 77};
        el_hand h = el_hand_start();
        rows[i].add(&h);
        assert_true(el_hand_save(&h, PATH));
        assert_int_equal(el_gguf_open(&file, PATH, &err), rows[i].status);
        assert_int_equal(err.status, rows[i].status);
        if (!strstr(err.message, rows[i].part)) fail_msg("row %zu: %s", i, err.message);
        assert_non_null(strstr(err.message, "bad.gguf"));
        assert_int_equal(file.n_tensors, 77);
    }
}

static void test_flat_dimensions(void **state)
{
    (void)state;
    edgellm_error err;
    el_gguf file;
    el_hand h = el_hand_start();
    add_shape(&h, "flat", 4, (uint64_t[]){8, 4, 1, 1});
    assert_true(el_hand_save(&h, PATH));
    assert_ok(el_gguf_open(&file, PATH, &err));
    assert_int_equal(file.tensors[0].rows, 4);
    assert_int_equal(file.tensors[0].cols, 8);
    el_gguf_close(&file);
}

static void test_not_files(void **state)
{
    (void)state;
    edgellm_error err;
    el_gguf file;
    el_bytes bytes = {0};
    assert_int_equal(el_gguf_open(&file, EL_TEST_OUT "/missing.gguf", &err), EDGELLM_ERR_IO);
    assert_int_equal(el_gguf_open(&file, EL_TEST_OUT, &err), EDGELLM_ERR_IO);
    assert_true(el_bytes_save(&bytes, PATH));
    assert_int_equal(el_gguf_open(&file, PATH, &err), EDGELLM_ERR_FORMAT);
    el_bytes_put(&bytes, "This is no model.", 17);
    assert_true(el_bytes_save(&bytes, PATH));
    assert_int_equal(el_gguf_open(&file, PATH, NULL), EDGELLM_ERR_FORMAT);
    free(bytes.data);
}

/* ---- files that are damaged ------------------------------------------------------------ */

/* Reads everything that an accepted file offers; the sanitisers watch. */
static void use_all(el_gguf *file)
{
    edgellm_error err;
    el_config c;
    el_vocab v;
    float block[256], sum = 0;
    (void)el_gguf_config(file, &c, &err);
    if (el_gguf_vocab(file, &v, &err) == EDGELLM_OK) {
        uint32_t bytes = 0;
        for (uint32_t i = 0; i < v.starts[v.n_tokens]; i++)
            bytes += v.bytes[i];
        sum += (float)bytes;
    }
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        const el_gguf_tensor *t = &file->tensors[i];
        const el_ggml_type *type = el_ggml_type_of(t->type);
        if (t->type == EL_GGML_I2_S) continue; /* read as a whole */
        assert_non_null(type);
        for (uint64_t at = 0; at < t->bytes; at += type->block_bytes) {
            type->dequantize(t->data + at, 1, block);
            sum += block[0];
        }
    }
    file->version = sum > 0; /* so that the sum is needed */
}

static void test_truncated(void **state)
{
    (void)state;
    edgellm_error err;
    el_gguf file;
    el_bytes bytes = {0};
    el_tiny_spec spec = small_spec();
    el_tiny_gguf(&spec, &bytes);
    size_t whole = bytes.size;
    for (size_t size = 1; size < whole; size += size < 1024 ? 1 : 97) {
        bytes.size = size;
        assert_true(el_bytes_save(&bytes, PATH));
        assert_int_equal(el_gguf_open(&file, PATH, &err), EDGELLM_ERR_FORMAT);
        assert_true(strlen(err.message) > 20);
    }
    free(bytes.data);
}

/* Flips in the head of the file, where all structure is: a clean error or a usable file. */
static void test_flipped(void **state)
{
    (void)state;
    el_bytes bytes = {0};
    el_tiny_spec spec = small_spec();
    el_random random = {42};
    el_tiny_gguf(&spec, &bytes);
    uint32_t accepted = 0, refused = 0;
    for (int i = 0; i < 3000; i++) {
        uint32_t at[3];
        uint8_t kept[3];
        int flips = 1 + i % 3;
        for (int k = 0; k < flips; k++) {
            at[k] = el_random_below(&random, 8500);
            kept[k] = bytes.data[at[k]];
            bytes.data[at[k]] ^= (uint8_t)(1u << el_random_below(&random, 8));
        }
        edgellm_error err;
        el_gguf file;
        assert_true(el_bytes_save(&bytes, PATH));
        if (el_gguf_open(&file, PATH, &err) == EDGELLM_OK) {
            use_all(&file);
            el_gguf_close(&file);
            accepted++;
        } else {
            assert_true(strlen(err.message) > 20);
            refused++;
        }
        for (int k = flips; k-- > 0;)
            bytes.data[at[k]] = kept[k];
    }
    assert_true(accepted > 100 && refused > 100);
    free(bytes.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lies),      cmocka_unit_test(test_flat_dimensions),
        cmocka_unit_test(test_not_files), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped),
    };
    return cmocka_run_group_tests_name("gguf_bad", tests, NULL, NULL);
}
