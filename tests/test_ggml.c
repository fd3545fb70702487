/*
 * test_ggml.c: the types of tensors in GGUF files: blocks against the `gguf` package, names, and
 * the two widths that Q2_0 has.
 */
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "support/hand_gguf.h"
#include "support/test_help.h"

#define PATH EL_TEST_OUT "/ggml.gguf"

static void test_blocks(void **state)
{
    (void)state;
    el_bytes file;
    assert_true(el_bytes_load(&file, EL_TEST_DATA "/ggml_blocks.bin"));
    size_t at = 0, types = 0;
    while (at < file.size) {
        uint32_t head[2];
        memcpy(head, file.data + at, sizeof head);
        const el_ggml_type *type = el_ggml_type_of(head[0]);
        assert_non_null(type);
        size_t blocks = head[1], weights = blocks * type->block_weights;
        const uint8_t *data = file.data + at + sizeof head;
        const uint8_t *expected = data + blocks * type->block_bytes;
        float *out = malloc(weights * sizeof *out);
        assert_non_null(out);
        type->dequantize(data, blocks, out);
        for (size_t i = 0; i < weights; i++) {
            if (memcmp(out + i, expected + i * sizeof *out, sizeof *out) != 0) {
                fail_msg("%s: weight %zu is %a", type->name, i, (double)out[i]);
            }
        }
        free(out);
        at += sizeof head + blocks * type->block_bytes + weights * sizeof *out;
        types++;
    }
    assert_int_equal(at, file.size);
    assert_int_equal(types, 26);
    free(file.data);
}

static void test_type_names(void **state)
{
    (void)state;
    assert_string_equal(el_ggml_type_name(EL_GGML_Q4_1), "Q4_1");
    assert_string_equal(el_ggml_type_name(12), "Q4_K");
    assert_string_equal(el_ggml_type_name(1000), "unknown");
    assert_null(el_ggml_type_of(9));
    assert_null(el_ggml_type_of(1000));
}

/* Opens a file of two tensors of type Q2_0, `cols` wide, the second at `second`, with `room` bytes
 * of data; the type that they have then. */
static edgellm_status open_q2_0(uint64_t cols, uint64_t second, size_t room, uint32_t *type)
{
    el_hand h = el_hand_start();
    el_gguf file;
    edgellm_error err = {0};
    static const uint8_t zeroes[2048];
    assert_true(room <= sizeof zeroes);
    el_hand_tensor(&h, "a", cols, EL_GGML_Q2_0, 0);
    el_hand_tensor(&h, "b", cols, EL_GGML_Q2_0, second);
    el_bytes_put(&h.data, zeroes, room);
    assert_true(el_hand_save(&h, PATH));
    edgellm_status status = el_gguf_open(&file, PATH, &err);
    if (status != EDGELLM_OK) {
        assert_contains(err.message, "tensor"); /* what was wrong with Q2_0 */
        return status;
    }
    assert_int_equal(file.tensors[0].type, file.tensors[1].type);
    *type = file.tensors[0].type;
    el_gguf_close(&file);
    return status;
}

/* 64 weights in a block, or as another project writes them, 128, which need less room. */
static void test_widths_of_q2_0(void **state)
{
    (void)state;
    uint32_t type = 0;
    assert_int_equal(open_q2_0(2048, 576, 1152, &type), EDGELLM_OK);
    assert_int_equal(type, EL_GGML_Q2_0);
    assert_int_equal(open_q2_0(2048, 544, 1088, &type), EDGELLM_OK);
    assert_int_equal(type, EL_GGML_PQ2_0);
    /* neither: a gap between them; columns that are no multiple of 128; too short */
    assert_int_equal(open_q2_0(2048, 608, 1152, &type), EDGELLM_ERR_FORMAT);
    assert_int_equal(open_q2_0(2112, 576, 1152, &type), EDGELLM_ERR_FORMAT);
    assert_int_equal(open_q2_0(2048, 544, 1087, &type), EDGELLM_ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_type_names),
        cmocka_unit_test(test_widths_of_q2_0),
    };
    return cmocka_run_group_tests_name("ggml", tests, NULL, NULL);
}
