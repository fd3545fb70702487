/*
 * test_token.c: text to tokens. Expected ids come from the reference implementation and lie in
 * tests/data (tools/token_vectors.py tells their form and makes them).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "support/words.h"
#include "token/chars.h"
#include "token/chat.h"
#include "token/pretoken.h"

#define MEGABYTE (1u << 20)

/* ---- memory that runs out: the linker puts these before malloc and calloc ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

static long allocations_left = -1; /* the one after these fails; -1: none does */

static bool may_allocate(void)
{
    if (allocations_left < 0) return true;
    return allocations_left-- > 0;
}

void *__wrap_malloc(size_t size)
{
    return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return may_allocate() ? __real_calloc(count, size) : NULL;
}

/* ---- characters ---- */

static void every_code_point_decodes(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint8_t text[4];
        uint32_t code = 0;
        int size = (int)write_utf8(c, text);
        int want = c >= 0xD800 && c < 0xE000 ? 0 : size;
        assert_int_equal(el_chars_decode(text, (size_t)size, &code), want);
        if (want == 0) continue;
        assert_int_equal(code, c);
        for (int cut = 1; cut < size; cut++)
            assert_int_equal(el_chars_decode(text, (size_t)cut, &code), -1);
    }
}

static void broken_utf8_is_refused(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "\x80",         "\xBF",         "\xC0\x80",     "\xC1\xBF",     "\xC2\x41",
        "\xE0\x80",     "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE2\x82\x41", "\xF0\x8F\xBF",
        "\xF4\x90\x80", "\xF5\x80",     "\xFF",         "\xF1\x80\x80q"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        uint32_t code;
        const uint8_t *text = (const uint8_t *)broken[i];
        assert_int_equal(el_chars_decode(text, strlen(broken[i]), &code), 0);
        el_char c = el_chars_at(text, strlen(broken[i]));
        assert_int_equal(c.size, 1);
        assert_int_equal(c.kind, EL_CHAR_OTHER);
    }
}

static void classes_follow_unicode(void **state)
{
    (void)state;
    uint32_t counts[4] = {0}, later = 0;
    for (uint32_t code = 0; code < 0x110000; code++) {
        if (code >= 0xD800 && code < 0xE000) continue;
        uint8_t text[4];
        el_char c = el_chars_at(text, write_utf8(code, text));
        counts[c.kind]++;
        later += el_chars_is_numeric(c) && c.kind != EL_CHAR_NUMBER;
    }
    /* Unicode 16.0 has 141028 letters and 1911 numbers; 17.0 has 13 more numbers. */
    assert_int_equal(counts[EL_CHAR_LETTER], 141028);
    assert_int_equal(counts[EL_CHAR_NUMBER], 1911);
    assert_int_equal(counts[EL_CHAR_SPACE], 25);
    assert_int_equal(later, 13);
}

/* ---- encoding ---- */

static void assert_pieces(const char *pretokenizer, const char *text, size_t len,
                          const char *lengths, size_t n)
{
    el_cutter cutter =
        el_pretoken_start(el_pretoken_find(pretokenizer), (const uint8_t *)text, len);
    for (size_t i = 0; i < n; i++) {
        size_t piece;
        assert_non_null(el_pretoken_next(&cutter, &piece));
        if (piece != (uint8_t)lengths[i])
            fail_msg("%s cuts \"%.*s\" differently at piece %zu", pretokenizer, (int)len, text, i);
    }
    size_t rest;
    assert_null(el_pretoken_next(&cutter, &rest));
}

/* Names by which files call them: of models that have the same expression. */
static void rows_have_other_names(void **state)
{
    static const char *const rows[][2] = {
        {"falcon3", "llama3"}, {"falcon_e", "llama3"}, {"llama-bpe", "llama3"}, {"olmo", "gpt2"},
        {"gpt-neox", "gpt2"},  {"stablelm2", "qwen2"}, {"starcoder", "smollm"}, {"gpt2", "gpt2"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(el_pretoken_find(rows[i][0])->name, rows[i][1]);
    assert_null(el_pretoken_find("falcon"));
}

static void vectors_equal_the_reference(void **state)
{
    (void)state;
    reader r = open_data("token_vectors.bin");
    uint32_t n_cases = take_number(&r, 4), n_rows = take_number(&r, 4);
    assert_true(n_cases > 300);
    machine machines[8];
    assert_true(n_rows <= 8 && el_pretoken_row(n_rows - 1) != NULL);
    assert_null(el_pretoken_row(n_rows)); /* a new row needs vectors too */
    for (uint32_t i = 0; i < n_rows; i++) {
        char *name = take_copy(&r);
        assert_non_null(el_pretoken_find(name));
        machines[i] = start(read_words(), el_pretoken_find(name)->name);
        free(name);
    }
    for (uint32_t k = 0; k < n_cases; k++) {
        unsigned flags = take_number(&r, 1);
        size_t len;
        const char *text = take_string(&r, &len);
        for (uint32_t i = 0; i < n_rows; i++) {
            uint32_t wanted[1024], *ids;
            assert_true(len <= 1024);
            size_t n_wanted = take_ids(&r, wanted);
            size_t n = encode(&machines[i], text, len, flags, &ids);
            if (n != n_wanted || memcmp(ids, wanted, n * sizeof *ids) != 0)
                fail_msg("text %u \"%.*s\", pre-tokenizer %u", k, (int)len, text, i);
            free(ids);
            size_t n_pieces;
            const char *lengths = take_string(&r, &n_pieces);
            assert_pieces(machines[i].w->vocab.pretokenizer, text, len, lengths, n_pieces);
        }
    }
    assert_int_equal(r.pos, r.map.size);
    for (uint32_t i = 0; i < n_rows; i++)
        finish(&machines[i]);
    el_mapfile_close(&r.map);
}

/* The definition, without a heap: again and again the best rank, the leftmost of equals. */
static size_t merge_naively(const words *w, uint32_t *ids, size_t n)
{
    for (;;) {
        uint32_t best = w->vocab.n_merges;
        size_t place = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            for (uint32_t rank = 0; rank < best; rank++) {
                el_merge m = w->merges[rank];
                if (m.left != ids[i] || m.right != ids[i + 1]) continue;
                best = rank;
                place = i;
            }
        }
        if (best == w->vocab.n_merges) return n;
        ids[place] = 3 + best; /* see abc_words() */
        memmove(ids + place + 1, ids + place + 2, (n - place - 2) * sizeof *ids);
        n--;
    }
}

/* Tokens a, b, c, and one for each of some random merges of tokens before it. */
static words *abc_words(uint64_t *seed)
{
    words *w = new_words();
    add_word(w, EL_TOKEN_NORMAL, "a");
    add_word(w, EL_TOKEN_NORMAL, "b");
    add_word(w, EL_TOKEN_NORMAL, "c");
    while (w->vocab.n_tokens < 30) {
        uint32_t left = next_random(seed) % w->vocab.n_tokens;
        uint32_t right = next_random(seed) % w->vocab.n_tokens;
        char joined[256];
        size_t left_len = w->starts[left + 1] - w->starts[left];
        size_t right_len = w->starts[right + 1] - w->starts[right];
        size_t len = left_len + right_len;
        if (len > 20) continue;
        memcpy(joined, w->bytes + w->starts[left], left_len);
        memcpy(joined + left_len, w->bytes + w->starts[right], right_len);
        bool known = false;
        for (uint32_t i = 0; i < w->vocab.n_tokens; i++)
            known |= w->starts[i + 1] - w->starts[i] == len &&
                     memcmp(w->bytes + w->starts[i], joined, len) == 0;
        if (known) continue;
        add_token(w, EL_TOKEN_NORMAL, joined, len);
        add_merge(w, left, right);
    }
    return w;
}

static void merging_equals_the_definition(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 40; round++) {
        machine m = start(abc_words(&seed), "gpt2");
        for (int i = 0; i < 40; i++) {
            char text[120];
            uint32_t wanted[120];
            size_t len = 1 + next_random(&seed) % 119;
            for (size_t k = 0; k < len; k++) {
                wanted[k] = next_random(&seed) % (i % 2 ? 2 : 3);
                text[k] = (char)('a' + wanted[k]);
            }
            text[len] = '\0';
            assert_ids(&m, text, 0, wanted, merge_naively(m.w, wanted, len));
        }
        finish(&m);
    }
}

static void kept_bytes_come_back(void **state)
{
    (void)state;
    static const uint8_t pool[] = "\0\4\xC0\xE2\x82\xAC\xF0\x9F\x98\x80\xED\xA0 a1'\r\n";
    uint64_t seed = 1;
    for (size_t row = 0; el_pretoken_row(row) != NULL; row++) {
        machine m = start(read_words(), el_pretoken_row(row)->name);
        for (int i = 0; i < 300; i++) {
            uint8_t text[200];
            size_t len = next_random(&seed) % sizeof text;
            for (size_t k = 0; k < len; k++)
                text[k] = (uint8_t)(i % 2 ? next_random(&seed)
                                          : pool[next_random(&seed) % (sizeof pool - 1)]);
            uint32_t *ids;
            size_t n = encode(&m, text, len, EDGELLM_TOKENIZE_KEEP_BYTES, &ids);
            assert_decodes(&m, ids, n, text, len);
            free(ids);
        }
        finish(&m);
    }
}

static void bytes_without_a_token_are_dropped(void **state)
{
    (void)state;
    machine m = start(read_words(), "smollm");
    uint32_t *plain, *kept;
    assert_int_equal(encode(&m, "\0\4\xC0", 3, 0, &plain), 0);
    assert_int_equal(encode(&m, "\0\4\xC0", 3, EDGELLM_TOKENIZE_KEEP_BYTES, &kept), 3);
    assert_int_equal(kept[0], m.w->vocab.n_tokens + 0);
    assert_int_equal(kept[1], m.w->vocab.n_tokens + 4);
    assert_int_equal(kept[2], m.w->vocab.n_tokens + 0xC0);
    free(plain);
    free(kept);
    finish(&m);
}

static void a_small_capacity_is_respected(void **state)
{
    (void)state;
    machine m = start(read_words(), "smollm");
    const char *text = "<|im_start|>user\n12345<|im_end|>";
    uint32_t *ids, few[4] = {0, 0, 0, 77};
    size_t n = encode(&m, text, strlen(text), EDGELLM_TOKENIZE_SPECIAL, &ids), count = 0;
    assert_true(n > 4);
    assert_int_equal(el_tokenizer_encode(m.t, text, strlen(text), EDGELLM_TOKENIZE_SPECIAL, few, 3,
                                         &count, NULL),
                     EDGELLM_OK);
    assert_int_equal(count, n);
    assert_memory_equal(few, ids, 3 * sizeof *ids);
    assert_int_equal(few[3], 77);
    assert_int_equal(el_tokenizer_encode(m.t, "", 0, 0, NULL, 0, &count, NULL), EDGELLM_OK);
    assert_int_equal(count, 0);
    free(ids);
    finish(&m);
}

static void too_long_a_text_is_refused(void **state)
{
    (void)state;
    machine m = start(read_words(), "smollm");
    size_t count = 5;
    edgellm_error err;
    assert_int_equal(el_tokenizer_encode(m.t, "", 0x80000000u, 0, NULL, 0, &count, &err),
                     EDGELLM_ERR_MEMORY);
    assert_int_equal(err.status, EDGELLM_ERR_MEMORY);
    assert_int_equal(count, 5);
    finish(&m);
}

static void memory_may_run_out_at_any_point(void **state)
{
    (void)state;
    machine m = start(read_words(), "smollm");
    m.w->vocab.chat_template = "<|im_start|> <|im_end|>";
    m.w->vocab.nfc = 1;
    edgellm_message message = {"user", "hello"};
    static char text[5000];
    memset(text, 'e', sizeof text);
    memcpy(text, "some w\xcc\x81rds, ", 13);
    edgellm_status encoded = EDGELLM_ERR_MEMORY, asked = EDGELLM_ERR_MEMORY;
    long n;
    for (n = 0; encoded != EDGELLM_OK || asked != EDGELLM_OK; n++) {
        edgellm_error err = {EDGELLM_OK, ""};
        size_t count = 77, ids = 77;
        allocations_left = n;
        encoded = el_tokenizer_encode(m.t, text, sizeof text, 0, NULL, 0, &count, &err);
        allocations_left = n;
        asked = encode_chat(&m, &message, 1, EDGELLM_CHAT_OPEN_ANSWER, NULL, 0, &ids, &err);
        allocations_left = -1;
        assert_true(encoded == EDGELLM_OK || encoded == EDGELLM_ERR_MEMORY);
        assert_true(asked == EDGELLM_OK || asked == EDGELLM_ERR_MEMORY);
        assert_int_equal(count != 77, encoded == EDGELLM_OK);
        assert_int_equal(ids != 77, asked == EDGELLM_OK);
    }
    assert_true(n > 4); /* small pieces first, then a larger one: two allocations each */
    finish(&m);
}

static void a_tokenizer_needs_little_memory_to_start(void **state)
{
    (void)state;
    words *w = read_words();
    machine m = {.w = w};
    edgellm_error err;
    el_arena measure = el_arena_measure();
    assert_int_equal(el_tokenizer_init(&m.t, &w->vocab, &measure, &err), EDGELLM_OK);
    assert_true(measure.used < 64 * 1024);
    assert_int_equal(el_arena_reserve(&m.arena, measure.used, &err), EDGELLM_OK);
    allocations_left = 0;
    edgellm_status status = el_tokenizer_init(&m.t, &w->vocab, &m.arena, &err);
    allocations_left = -1;
    assert_int_equal(status, EDGELLM_ERR_MEMORY);
    assert_null(m.t);
    finish(&m);
}

static void a_megabyte_without_a_space_is_quick(void **state)
{
    (void)state;
    static const struct {
        const char *pretokenizer, *alphabet;
    } cases[] = {{"smollm", "etaoin"}, {"smollm", "e"},   {"smollm", "1"}, {"gpt2", " "},
                 {"gpt2", "\x80"},     {"llama3", "\n "}, {"llama3", "0"}, {"qwen2", "<|"}};
    uint8_t *text = malloc(MEGABYTE);
    assert_non_null(text);
    uint64_t seed = 3;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        machine m = start(read_words(), cases[i].pretokenizer);
        const char *alphabet = cases[i].alphabet;
        for (size_t k = 0; k < MEGABYTE; k++)
            text[k] = (uint8_t)alphabet[next_random(&seed) % strlen(alphabet)];
        uint32_t *ids;
        el_nanoseconds begin = el_clock_now();
        size_t n = encode(&m, text, MEGABYTE, EDGELLM_TOKENIZE_KEEP_BYTES, &ids);
        /* About a tenth of a second; n * n steps would be many minutes. */
        assert_true(el_clock_now() - begin < 20 * 1000000000ull);
        assert_decodes(&m, ids, n, text, MEGABYTE);
        free(ids);
        finish(&m);
    }
    free(text);
}

/* ---- tokens with names ---- */

static void names_match_leftmost_and_longest(void **state)
{
    (void)state;
    words *w = new_words();
    for (const char *c = "abcdefghijklmnopqrstuvwxyz"; *c != '\0'; c++)
        add_token(w, EL_TOKEN_NORMAL, c, 1);
    uint32_t ab = add_word(w, EL_TOKEN_CONTROL, "ab");
    uint32_t abcd = add_word(w, EL_TOKEN_CONTROL, "abcd");
    uint32_t bcde = add_word(w, EL_TOKEN_CONTROL, "bcde");
    uint32_t xy = add_word(w, EL_TOKEN_USER, "xy");
    for (int i = 0; i < 5; i++)
        add_word(w, EL_TOKEN_CONTROL, "ab"); /* the lowest id counts */
    add_word(w, EL_TOKEN_CONTROL, "");
    uint32_t unknown = add_word(w, EL_TOKEN_UNKNOWN, "xyz");
    machine m = start(w, "gpt2");
    const unsigned special = EDGELLM_TOKENIZE_SPECIAL;
    assert_ids(&m, "abcde", special, (uint32_t[]){abcd, 4}, 2);
    assert_ids(&m, "abcxe", special, (uint32_t[]){ab, 2, 23, 4}, 4);
    assert_ids(&m, "bcdeab", special, (uint32_t[]){bcde, ab}, 2);
    assert_ids(&m, "aabc", special, (uint32_t[]){0, ab, 2}, 3);
    assert_ids(&m, "bcd", special, (uint32_t[]){1, 2, 3}, 3);
    assert_ids(&m, "xyz", special, (uint32_t[]){unknown}, 1);
    assert_ids(&m, "xyzab", 0, (uint32_t[]){xy, 25, 0, 1}, 4);
    finish(&m);
}

static void text_never_merges_into_a_special_token(void **state)
{
    (void)state;
    words *w = new_words();
    uint32_t a = add_word(w, EL_TOKEN_NORMAL, "a"), b = add_word(w, EL_TOKEN_NORMAL, "b");
    add_word(w, EL_TOKEN_CONTROL, "ab");
    uint32_t ba = add_word(w, EL_TOKEN_NORMAL, "ba");
    add_word(w, EL_TOKEN_NORMAL, "ba"); /* the lowest id counts */
    add_merge(w, a, b);
    add_merge(w, b, a);
    for (int i = 0; i < 2; i++) { /* llama3 takes whole pieces from the vocabulary */
        machine m = start(w, i == 0 ? "gpt2" : "llama-bpe");
        assert_ids(&m, "ab", 0, (uint32_t[]){a, b}, 2);
        assert_ids(&m, "ba", 0, (uint32_t[]){ba}, 1);
        stop(&m);
    }
    free(w);
}

static void kinds_of_tokens_are_known(void **state)
{
    (void)state;
    words *w = new_words();
    uint32_t text = add_word(w, EL_TOKEN_NORMAL, "</s>");
    uint32_t eos = add_word(w, EL_TOKEN_NORMAL, "x");
    uint32_t end = add_word(w, EL_TOKEN_CONTROL, "<|im_end|>");
    uint32_t begin = add_word(w, EL_TOKEN_CONTROL, "<|im_start|>");
    uint32_t user = add_word(w, EL_TOKEN_USER, "<tool>");
    w->vocab.eos = eos;
    machine m = start(w, "qwen2");
    assert_false(el_tokenizer_is_end(m.t, text));
    assert_true(el_tokenizer_is_end(m.t, eos));
    assert_true(el_tokenizer_is_end(m.t, end));
    assert_false(el_tokenizer_is_end(m.t, begin));
    assert_false(el_tokenizer_is_end(m.t, user));
    assert_false(el_tokenizer_is_end(m.t, EL_TOKEN_NONE));
    assert_false(el_tokenizer_is_special(m.t, text));
    assert_true(el_tokenizer_is_special(m.t, begin));
    assert_false(el_tokenizer_is_special(m.t, user));
    assert_false(el_tokenizer_is_special(m.t, 5 + 60));
    size_t len = 0;
    assert_memory_equal(el_tokenizer_bytes(m.t, begin, &len), "<|im_start|>", 12);
    assert_int_equal(len, 12);
    assert_int_equal(*el_tokenizer_bytes(m.t, 5 + 255, &len), 255);
    assert_int_equal(len, 1);
    assert_null(el_tokenizer_bytes(m.t, 5 + 256, &len));
    assert_null(el_tokenizer_bytes(m.t, EL_TOKEN_NONE, &len));
    finish(&m);
}

/* ---- refusals ---- */

static void assert_refused(words *w, edgellm_status wanted, const char *part)
{
    machine m;
    edgellm_error err;
    assert_int_equal(try_init(&m, w, &err), wanted);
    assert_int_equal(err.status, wanted);
    assert_non_null(strstr(err.message, part));
    if (m.arena.base != NULL) stop(&m);
    free(w);
}

static void bad_vocabularies_are_refused(void **state)
{
    (void)state;
    static char long_name[1100];
    memset(long_name, 'x', sizeof long_name - 1);
    words *w = read_words();
    w->vocab.pretokenizer = "no-such";
    assert_refused(w, EDGELLM_ERR_UNSUPPORTED, "\"no-such\"");
    assert_refused(new_words(), EDGELLM_ERR_FORMAT, "0 tokens");
    w = read_words();
    w->merges[5].right = w->vocab.n_tokens;
    assert_refused(w, EDGELLM_ERR_FORMAT, "merge 5");
    w = read_words();
    add_merge(w, w->vocab.n_tokens - 1, w->vocab.n_tokens - 1);
    assert_refused(w, EDGELLM_ERR_FORMAT, "no token");
    w = read_words();
    w->starts[9] = w->starts[10] + 1;
    assert_refused(w, EDGELLM_ERR_FORMAT, "token 9");
    w = read_words();
    add_word(w, EL_TOKEN_NORMAL, long_name);
    assert_refused(w, EDGELLM_ERR_FORMAT, "1099 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_decodes),
        cmocka_unit_test(broken_utf8_is_refused),
        cmocka_unit_test(classes_follow_unicode),
        cmocka_unit_test(rows_have_other_names),
        cmocka_unit_test(vectors_equal_the_reference),
        cmocka_unit_test(merging_equals_the_definition),
        cmocka_unit_test(kept_bytes_come_back),
        cmocka_unit_test(bytes_without_a_token_are_dropped),
        cmocka_unit_test(a_small_capacity_is_respected),
        cmocka_unit_test(too_long_a_text_is_refused),
        cmocka_unit_test(memory_may_run_out_at_any_point),
        cmocka_unit_test(a_tokenizer_needs_little_memory_to_start),
        cmocka_unit_test(a_megabyte_without_a_space_is_quick),
        cmocka_unit_test(names_match_leftmost_and_longest),
        cmocka_unit_test(text_never_merges_into_a_special_token),
        cmocka_unit_test(kinds_of_tokens_are_known),
        cmocka_unit_test(bad_vocabularies_are_refused),
    };
    return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
