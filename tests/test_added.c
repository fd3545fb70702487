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

#include "base/clock.h"
#include "support/words.h"
#include "token/chars.h"
#include "token/nfc.h"

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
    f->w->vocab.nfc = (uint8_t)take_number(r, 1);
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

/* ---- NFC ---- */

static void assert_nfc(const char *text, size_t len, const char *wanted)
{
    uint8_t *made;
    size_t made_len;
    assert_int_equal(el_nfc((const uint8_t *)text, len, &made, &made_len, NULL), EDGELLM_OK);
    if (made != NULL) {
        assert_int_equal(made_len, strlen(wanted));
        assert_memory_equal(made, wanted, made_len);
    } else {
        assert_string_equal(text, wanted);
    }
    free(made);
}

/* By the rules of Unicode's annex; what tokenizers make of all of it is in the vectors. */
static void texts_become_nfc(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"plain\n", "plain\n"},
        {"\xc3\xa9", "\xc3\xa9"},
        {"e\xcc\x81", "\xc3\xa9"},
        {"e\xcc\x81\xcc\xa3", "\xe1\xba\xb9\xcc\x81"},            /* the lower mark comes first */
        {"a\xcc\x95\xcc\x81", "\xc3\xa1\xcc\x95"},                /* sorted, it is */
        {"a\xcc\x85\xcc\x81", "a\xcc\x85\xcc\x81"},               /* one of its order is between */
        {"\xe2\x84\xab", "\xc3\x85"},                             /* the sign of Angstrom */
        {"\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc"},             /* stays apart */
        {"\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81"}, /* a syllable */
        {"\xea\xb0\x80\xe1\x86\xa7", "\xea\xb0\x80\xe1\x86\xa7"}, /* no tail */
        {"\xff\xcc\x81\xcc", "\xff\xcc\x81\xcc"},                 /* bytes that are none */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_nfc(cases[i][0], strlen(cases[i][0]), cases[i][1]);
}

/* Whatever comes, no character has more parts than there is room for (sanitizers see it), and what
 * is in the form stays. */
static void nfc_of_every_character(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint8_t text[5] = {0}, *made, *again;
        size_t len, again_len;
        if (code >= 0xD800 && code < 0xE000) continue;
        const size_t size = write_utf8(code, text);
        assert_int_equal(el_nfc(text, size, &made, &len, NULL), EDGELLM_OK);
        if (made == NULL) continue;
        assert_int_equal(el_nfc(made, len, &again, &again_len, NULL), EDGELLM_OK);
        if (again != NULL) {
            assert_int_equal(again_len, len);
            assert_memory_equal(again, made, len);
        }
        free(again);
        free(made);
    }
}

/* Sorting marks one by one would take hours. */
static void a_megabyte_of_marks_is_quick(void **state)
{
    (void)state;
    enum { MEGABYTE = 1 << 20 };
    static const char marks[][3] = {"\xcc\x81", "\xcc\xa3", "\xcc\xb4", "\xcd\x85"};
    uint8_t *text = malloc(MEGABYTE), *made;
    assert_non_null(text);
    uint64_t seed = 3;
    for (size_t i = 0; i < MEGABYTE; i += 2)
        memcpy(text + i, marks[next_random(&seed) % 4], 2);
    size_t len;
    const el_nanoseconds begin = el_clock_now();
    assert_int_equal(el_nfc(text, MEGABYTE, &made, &len, NULL), EDGELLM_OK);
    assert_true(el_clock_now() - begin < 20 * 1000000000ull);
    assert_int_equal(len, MEGABYTE);
    assert_memory_equal(made, "\xcc\xb4\xcc\xb4", 4);
    assert_memory_equal(made + len - 4, "\xcd\x85\xcd\x85", 4);
    free(made);
    free(text);
}

/* ---- conversations ---- */

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
        cmocka_unit_test(texts_become_nfc),
        cmocka_unit_test(nfc_of_every_character),
        cmocka_unit_test(a_megabyte_of_marks_is_quick),
        cmocka_unit_test(conversations),
    };
    return cmocka_run_group_tests_name("added", tests, NULL, NULL);
}
