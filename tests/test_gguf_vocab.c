/*
 * test_gguf_vocab.c: vocabularies of GGUF files that are told apart by more than their model: of
 * SentencePiece's unigram kind, and of a pre-tokenizer that the file does not name.
 */
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "format/gguf.h"
#include "format/gguf_value.h"
#include "support/hand_gguf.h"
#include "support/test_help.h"

#define PATH EL_TEST_OUT "/test.gguf"

/* A file with seven pieces; `score` is of the last but two. */
static void add_pieces(el_hand *h, float score)
{
    static const char *const tokens[] = {"<bos>",
                                         "<0xC3>",
                                         "\xe2\x96\x81",
                                         "a",
                                         "\xe2\x96\x81\x61",
                                         "<u>",
                                         "\xe2\x96\x81\xe2\x96\x81"};
    static const uint32_t types[] = {3, 6, 1, 1, 1, 4, 4};
    const float scores[] = {0, 0, -3, -1, score, 0, 0};
    el_hand_pieces(h, "t5", 7, tokens, types, scores);
    el_hand_u32(h, "tokenizer.ggml.bos_token_id", 0);
}

static edgellm_status read_vocab(el_hand *h, el_gguf *file, el_vocab *v, edgellm_error *err)
{
    assert_true(el_hand_save(h, PATH));
    assert_int_equal(el_gguf_open(file, PATH, err), EDGELLM_OK);
    return el_gguf_vocab(file, v, err);
}

/* Scores stay as they are, to the bit. */
static void test_unigram(void **state)
{
    (void)state;
    edgellm_error err;
    el_gguf file;
    el_vocab v;
    el_hand h = el_hand_start();
    add_pieces(&h, -1.5f);
    assert_ok(read_vocab(&h, &file, &v, &err));
    assert_string_equal(v.pretokenizer, "unigram");
    assert_int_equal(v.starts[2] - v.starts[1], 1);
    assert_int_equal(v.bytes[v.starts[1]], 0xc3);
    assert_memory_equal(v.bytes + v.starts[4], " a<u>  ", 7);
    assert_true(v.ranks[2] == el_bits_of_float(-3) && v.ranks[4] == el_bits_of_float(-1.5f));
    assert_true(!v.add_bos && v.space_first && v.n_merges == 0); /* unless the file says */
    el_gguf_close(&file);
}

static void test_bad_scores(void **state)
{
    (void)state;
    const float scores[] = {__builtin_nanf(""), __builtin_inff(), -__builtin_inff(), -1e30f};
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
        edgellm_error err;
        el_gguf file;
        el_vocab v;
        el_hand h = el_hand_start();
        add_pieces(&h, scores[i]);
        assert_int_equal(read_vocab(&h, &file, &v, &err), EDGELLM_ERR_FORMAT);
        assert_non_null(strstr(err.message, "the score of token 4 is "));
        el_gguf_close(&file);
    }
}

/* Text is taken as it is. */
static void test_normalizing(void **state)
{
    (void)state;
    edgellm_error err;
    el_gguf file;
    el_vocab v;
    el_hand h = el_hand_start();
    add_pieces(&h, 0);
    el_hand_array(&h, "tokenizer.ggml.precompiled_charsmap", 0, 1);
    el_bytes_put(&h.values, "x", 1);
    assert_int_equal(read_vocab(&h, &file, &v, &err), EDGELLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "precompiled_charsmap"));
    el_gguf_close(&file);
}

/* Old converters did not name it: of BitNet, whose vocabulary is Llama 3's. `pre` NULL: as they. */
static void test_pretokenizers(void **state)
{
    (void)state;
    static const struct {
        const char *token, *pre, *found;
    } rows[] = {{"<|start_header_id|>", NULL, "llama3"},
                {"<|start_header_id|>", "default", "gpt2"},
                {"b", NULL, "gpt2"},
                {"b", "deepseek-r1-qwen", "qwen2"},
                {"b", "falcon3", "falcon3"}}; /* a name that the tokenizer knows */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const tokens[] = {"a", rows[i].token};
        edgellm_error err;
        el_gguf file;
        el_vocab v;
        el_hand h = el_hand_start();
        el_hand_text(&h, "tokenizer.ggml.model", "gpt2");
        el_hand_texts(&h, "tokenizer.ggml.tokens", 2, tokens);
        if (rows[i].pre != NULL) el_hand_text(&h, "tokenizer.ggml.pre", rows[i].pre);
        assert_ok(read_vocab(&h, &file, &v, &err));
        assert_string_equal(v.pretokenizer, rows[i].found);
        el_gguf_close(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unigram),
        cmocka_unit_test(test_bad_scores),
        cmocka_unit_test(test_normalizing),
        cmocka_unit_test(test_pretokenizers),
    };
    return cmocka_run_group_tests_name("gguf_vocab", tests, NULL, NULL);
}
