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

/* Pieces of Phi-3, told by the architecture or by the model's name, take in the white space behind
 * those that were added. */
static void test_phi3(void **state)
{
    (void)state;
    static const struct {
        const char *architecture, *name;
        bool is;
    } rows[] = {{"phi3", "x", true},
                {"llama", "My Phi-3 mini", true},
                {"llama", "PHI3", true},
                {"llama", "phi-2", false},
                {"phi30", "", false}};
    static const char *const tokens[] = {"<s>", "<unk>", "a", "<|end|>", "</s>", "<|endoftext|>"};
    static const uint32_t types[] = {3, 2, 1, 3, 4, 3};
    static const float scores[6] = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        edgellm_error err;
        el_gguf file;
        el_vocab v;
        el_hand h = el_hand_start();
        el_hand_text(&h, "general.architecture", rows[i].architecture);
        el_hand_text(&h, "general.name", rows[i].name);
        el_hand_pieces(&h, "llama", 6, tokens, types, scores);
        assert_ok(read_vocab(&h, &file, &v, &err));
        assert_true((v.flags != NULL) == rows[i].is);
        for (uint32_t id = 0; rows[i].is && id < 6; id++)
            assert_int_equal(v.flags[id], id == 3 || id == 4 ? EL_TOKEN_RSTRIP : 0);
        el_gguf_close(&file);
    }
}

/* What an importer says, Phi-3 or not. */
static void test_flags(void **state)
{
    (void)state;
    static const struct {
        uint32_t type, count;
        uint8_t flag;
        const char *message; /* NULL: it is taken */
    } rows[] = {{EL_GGUF_U8, 2, 9, NULL},
                {EL_GGUF_U8, 2, 0, NULL},
                {EL_GGUF_U8, 2, 16, "the flags of token 1 are 16"},
                {EL_GGUF_U8, 1, 9, "not one byte for each of 2"},
                {EL_GGUF_I8, 2, 9, "not one byte for each of 2"}};
    static const char *const tokens[] = {"a", "<|end|>"};
    static const uint32_t types[] = {1, 3};
    static const float scores[2] = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        edgellm_error err;
        el_gguf file;
        el_vocab v;
        el_hand h = el_hand_start();
        el_hand_text(&h, "general.architecture", "phi3");
        el_hand_pieces(&h, "llama", 2, tokens, types, scores);
        el_hand_array(&h, EL_GGUF_TOKEN_FLAGS, rows[i].type, rows[i].count);
        const uint8_t flags[2] = {0, rows[i].flag};
        el_bytes_put(&h.values, flags, rows[i].count);
        const edgellm_status status = read_vocab(&h, &file, &v, &err);
        assert_int_equal(status, rows[i].message ? EDGELLM_ERR_FORMAT : EDGELLM_OK);
        if (rows[i].message) assert_non_null(strstr(err.message, rows[i].message));
        if (!rows[i].message) assert_int_equal(el_vocab_flags(&v, 1), rows[i].flag);
        el_gguf_close(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unigram),     cmocka_unit_test(test_bad_scores),
        cmocka_unit_test(test_normalizing), cmocka_unit_test(test_pretokenizers),
        cmocka_unit_test(test_phi3),        cmocka_unit_test(test_flags),
    };
    return cmocka_run_group_tests_name("gguf_vocab", tests, NULL, NULL);
}
