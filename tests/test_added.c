/*
 * test_added.c: tokens that are matched whole, and their flags. Expected ids come from Hugging
 * Face's tokenizers; they lie in tests/data (tools/added_vectors.py tells their form and makes
 * them).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/words.h"
#include "token/chars.h"

typedef struct flagged {
    words *w;
    uint8_t flags[MOST_TOKENS];
    uint32_t ranks[MOST_TOKENS];
} flagged;

static void read_flagged(reader *r, flagged *f, char **pretokenizer)
{
    f->w = new_words();
    *pretokenizer = take_copy(r);
    f->w->vocab.space_first = (uint8_t)take_number(r, 1);
    const uint32_t n = take_number(r, 4), merges = take_number(r, 4);
    assert_true(n <= MOST_TOKENS);
    for (uint32_t i = 0; i < n; i++) {
        const el_token_type type = (el_token_type)take_number(r, 1);
        size_t len;
        f->flags[i] = (uint8_t)take_number(r, 1);
        f->ranks[i] = take_number(r, 4);
        const char *bytes = take_string(r, &len);
        add_token(f->w, type, bytes, len);
    }
    for (uint32_t i = 0; i < merges; i++) {
        const uint32_t left = take_number(r, 2);
        add_merge(f->w, left, take_number(r, 2));
    }
    f->w->vocab.flags = f->flags;
    if (strcmp(*pretokenizer, "spm") == 0) f->w->vocab.ranks = f->ranks;
}

static void check_text(reader *r, const machine *m, const char *vocabulary)
{
    size_t len;
    const char *text = take_string(r, &len);
    for (unsigned flags = 0; flags <= EDGELLM_TOKENIZE_SPECIAL; flags += EDGELLM_TOKENIZE_SPECIAL) {
        uint32_t wanted[1024], *ids;
        const size_t n_wanted = take_ids(r, wanted);
        const size_t n = encode(m, text, len, flags, &ids);
        if (n != n_wanted || memcmp(ids, wanted, n * sizeof *ids) != 0)
            fail_msg("%s, space %u: \"%.*s\", flags %u", vocabulary, m->w->vocab.space_first,
                     (int)len, text, flags);
        free(ids);
    }
}

static void vectors_equal_the_reference(void **state)
{
    (void)state;
    reader r = open_data("token_added.bin");
    const uint32_t vocabularies = take_number(&r, 4);
    assert_true(vocabularies > 5);
    for (uint32_t v = 0; v < vocabularies; v++) {
        flagged f;
        char *pretokenizer;
        read_flagged(&r, &f, &pretokenizer);
        machine m = start(f.w, pretokenizer);
        const uint32_t texts = take_number(&r, 4);
        assert_true(texts > 100);
        for (uint32_t i = 0; i < texts; i++)
            check_text(&r, &m, pretokenizer);
        finish(&m);
        free(pretokenizer);
    }
    assert_int_equal(r.pos, r.map.size);
    el_mapfile_close(&r.map);
}

/* What tokenizers 0.23 counts as such, of all code points. */
static void characters_of_words(void **state)
{
    (void)state;
    uint32_t in_words = 0;
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint8_t text[5] = {' '};
        if (code >= 0xD800 && code < 0xE000) continue;
        const size_t size = write_utf8(code, text + 1);
        const el_char c = el_chars_at(text + 1, size);
        in_words += el_chars_is_word(c);
        const el_char before = el_chars_before(text, 0, size + 1);
        assert_true(before.code == code && before.size == size && before.kind == c.kind);
    }
    assert_int_equal(in_words, 144667);
    assert_false(el_chars_is_word(el_chars_at((const uint8_t *)"\xff", 1)));
    assert_int_equal(el_chars_before((const uint8_t *)"a", 0, 0).kind, EL_CHAR_END);
    assert_int_equal(el_chars_before((const uint8_t *)"\xc3\xa9", 1, 2).size, 1);
    assert_int_equal(el_chars_before((const uint8_t *)"\xc3\xa9", 1, 2).code, EL_CHAR_INVALID);
}

/* A token takes in white space of what stands beside it in a conversation too. */
static void conversations(void **state)
{
    (void)state;
    words *w = new_words();
    static const char template[] = "<|im_start|> <|im_end|>";
    for (const char *c = "abcdefghijklmnopqrstuvwxyz \n"; *c != '\0'; c++)
        add_token(w, EL_TOKEN_NORMAL, c, 1);
    const uint32_t begin = add_word(w, EL_TOKEN_CONTROL, "<|im_start|>");
    const uint32_t end = add_word(w, EL_TOKEN_CONTROL, "<|im_end|>");
    uint8_t flags[30] = {0};
    w->vocab.flags = flags;
    machine m = start(w, "gpt2");
    w->vocab.chat_template = template;
    const edgellm_message message = {"user", " a \n "};
    const struct {
        uint8_t begin, end;
        const char *text; /* between the two, and behind them */
    } cases[] = {{0, 0, "[user\n a \n ]\n"},
                 {0, EL_TOKEN_RSTRIP, "[user\n a \n ]"},
                 {0, EL_TOKEN_LSTRIP, "[user\n a]\n"},
                 {EL_TOKEN_RSTRIP, EL_TOKEN_LSTRIP | EL_TOKEN_RSTRIP, "[user\n a]"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t ids[64];
        size_t n = 0;
        edgellm_error err;
        flags[begin] = cases[i].begin;
        flags[end] = cases[i].end;
        assert_int_equal(encode_chat(&m, &message, 1, 0, ids, 64, &n, &err), EDGELLM_OK);
        assert_int_equal(n, strlen(cases[i].text));
        for (size_t k = 0; k < n; k++) {
            const char c = cases[i].text[k];
            if (c == '[')
                assert_int_equal(ids[k], begin);
            else if (c == ']')
                assert_int_equal(ids[k], end);
            else
                assert_int_equal(w->bytes[w->starts[ids[k]]], c);
        }
    }
    finish(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_equal_the_reference),
        cmocka_unit_test(characters_of_words),
        cmocka_unit_test(conversations),
    };
    return cmocka_run_group_tests_name("added", tests, NULL, NULL);
}
