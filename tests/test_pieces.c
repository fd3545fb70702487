/*
 * test_pieces.c: vocabularies of pieces with scores. Expected ids come from the sentencepiece
 * package, conversations from jinja2; they lie in tests/data (tools/pieces_vectors.py tells their
 * form and makes them).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "support/words.h"
#include "token/chat.h"

#define MEGABYTE (1u << 20)

/* ---- vocabularies ---- */

typedef struct pieces {
    words *w;
    bool is_unigram;
    uint32_t ranks[MOST_TOKENS];
} pieces;

static machine start_pieces(pieces *p)
{
    p->w->vocab.ranks = p->ranks;
    return start(p->w, p->is_unigram ? "unigram" : "spm");
}

static void read_pieces(reader *r, pieces *p)
{
    p->w = new_words();
    const uint32_t n = take_number(r, 4);
    p->is_unigram = take_number(r, 1);
    p->w->vocab.space_first = (uint8_t)take_number(r, 1);
    const uint32_t unk = take_number(r, 2);
    p->w->vocab.unk = unk == 0xFFFF ? EL_TOKEN_NONE : unk;
    for (uint32_t i = 0; i < n; i++) {
        el_token_type type = (el_token_type)take_number(r, 1);
        size_t len;
        p->ranks[i] = take_number(r, 4);
        const char *bytes = take_string(r, &len);
        add_token(p->w, type, bytes, len);
    }
}

/* Those of the file: its first vocabulary, which is Gemma's kind. */
static void first_pieces(pieces *p)
{
    reader r = open_data("token_pieces.bin");
    assert_int_equal(take_number(&r, 4), 5);
    read_pieces(&r, p);
    el_mapfile_close(&r.map);
}

static void check_case(reader *r, const machine *m, uint32_t index)
{
    uint32_t wanted[1024], *ids;
    size_t len;
    const char *text = take_string(r, &len);
    assert_true(len < 1024);
    size_t n_wanted = take_ids(r, wanted);
    size_t n = encode(m, text, len, 0, &ids);
    if (n != n_wanted || memcmp(ids, wanted, n * sizeof *ids) != 0)
        fail_msg("text %u \"%.*s\"", index, (int)len, text);
    free(ids);
}

static void check_chat(reader *r, machine *m)
{
    char *template = take_copy(r);
    const bool open = take_number(r, 1);
    const size_t n = take_number(r, 2);
    edgellm_message messages[8];
    char *texts[16];
    uint32_t wanted[1024], ids[1024];
    size_t count = 0;
    edgellm_error err;
    assert_true(n <= 8);
    for (size_t i = 0; i < n; i++) {
        texts[2 * i] = take_copy(r);
        texts[2 * i + 1] = take_copy(r);
        messages[i] = (edgellm_message){texts[2 * i], texts[2 * i + 1]};
    }
    const size_t n_wanted = take_ids(r, wanted);
    m->w->vocab.chat_template = template;
    assert_int_equal(
        encode_chat(m, messages, n, open ? EDGELLM_CHAT_OPEN_ANSWER : 0, ids, 1024, &count, &err),
        EDGELLM_OK);
    assert_int_equal(count, n_wanted);
    assert_memory_equal(ids, wanted, count * sizeof *ids);
    m->w->vocab.chat_template = "";
    for (size_t i = 0; i < 2 * n; i++)
        free(texts[i]);
    free(template);
}

static void vectors_equal_the_reference(void **state)
{
    (void)state;
    reader r = open_data("token_pieces.bin");
    const uint32_t vocabularies = take_number(&r, 4);
    for (uint32_t v = 0; v < vocabularies; v++) {
        pieces p;
        read_pieces(&r, &p);
        machine m = start_pieces(&p);
        const uint32_t cases = take_number(&r, 4);
        assert_true(cases > 100);
        for (uint32_t i = 0; i < cases; i++)
            check_case(&r, &m, i);
        p.w->vocab.bos = take_number(&r, 2);
        p.w->vocab.eos = take_number(&r, 2);
        const uint32_t chats = take_number(&r, 4);
        assert_true(p.is_unigram || chats > 5);
        for (uint32_t i = 0; i < chats; i++)
            check_chat(&r, &m);
        finish(&m);
    }
    assert_int_equal(r.pos, r.map.size);
    el_mapfile_close(&r.map);
}

/* ---- by hand ---- */

enum { BOS, A, B, SPACE, AB, SPACE_A, BYTE_A, BYTE_C3, USER, TURN };

static void hand_pieces(pieces *p)
{
    *p = (pieces){.w = new_words()};
    add_word(p->w, EL_TOKEN_CONTROL, "<bos>");
    add_word(p->w, EL_TOKEN_NORMAL, "a");
    add_word(p->w, EL_TOKEN_NORMAL, "b");
    add_word(p->w, EL_TOKEN_NORMAL, " ");
    add_word(p->w, EL_TOKEN_NORMAL, "ab");
    add_word(p->w, EL_TOKEN_NORMAL, " a");
    add_word(p->w, EL_TOKEN_BYTE, "a");
    add_word(p->w, EL_TOKEN_BYTE, "\xc3");
    add_word(p->w, EL_TOKEN_USER, "<u>");
    add_word(p->w, EL_TOKEN_CONTROL, "<turn>");
    p->ranks[SPACE_A] = 1;
    p->ranks[AB] = 2;
}

static void spaces_and_bytes(void **state)
{
    (void)state;
    pieces p;
    hand_pieces(&p);
    machine m = start_pieces(&p);
    assert_ids(&m, "ab", 0, (uint32_t[]){AB}, 1);
    assert_ids(&m, "a", 0, (uint32_t[]){A}, 1); /* never the byte of that name */
    assert_ids(&m, " ab", 0, (uint32_t[]){SPACE_A, B}, 2);
    assert_ids(&m, "\xe2\x96\x81\x61", 0, (uint32_t[]){SPACE_A}, 1); /* U+2581 is a space */
    assert_ids(&m, "a<u>b", 0, (uint32_t[]){A, USER, B}, 3);
    assert_ids(&m, "<turn>ab", EDGELLM_TOKENIZE_SPECIAL, (uint32_t[]){TURN, AB}, 2);
    assert_ids(&m, "\xc3\xa9", 0, (uint32_t[]){BYTE_C3}, 1); /* the other byte has no token */
    assert_ids(&m, "\xc3\xa9", EDGELLM_TOKENIZE_KEEP_BYTES,
               (uint32_t[]){BYTE_C3, p.w->vocab.n_tokens + 0xa9}, 2);
    p.w->vocab.unk = BOS;
    assert_ids(&m, "\xc3\xa9\xa9", 0, (uint32_t[]){BYTE_C3, BOS}, 2); /* one for all of them */
    finish(&m);
}

/* Before the text, and after each special token; not before one. */
static void a_space_comes_first(void **state)
{
    (void)state;
    pieces p;
    hand_pieces(&p);
    p.w->vocab.space_first = 1;
    machine m = start_pieces(&p);
    const unsigned special = EDGELLM_TOKENIZE_SPECIAL;
    assert_ids(&m, "", 0, NULL, 0);
    assert_ids(&m, "a", 0, (uint32_t[]){SPACE_A}, 1);
    assert_ids(&m, " a", 0, (uint32_t[]){SPACE, SPACE_A}, 2);
    assert_ids(&m, "b", 0, (uint32_t[]){SPACE, B}, 2);
    assert_ids(&m, "<u>a", 0, (uint32_t[]){SPACE, USER, A}, 3);
    assert_ids(&m, "a<turn>a", special, (uint32_t[]){SPACE_A, TURN, SPACE_A}, 3);
    assert_ids(&m, "<turn>", special, (uint32_t[]){TURN}, 1);
    finish(&m);
}

/* Unless there is one: before every part between tokens, or before what begins a text. */
static void a_space_comes_first_unless_there_is_one(void **state)
{
    (void)state;
    pieces p;
    hand_pieces(&p);
    p.w->vocab.space_first = EL_SPACE_UNLESS;
    machine m = start_pieces(&p);
    const unsigned special = EDGELLM_TOKENIZE_SPECIAL;
    assert_ids(&m, "", 0, NULL, 0);
    assert_ids(&m, "a", 0, (uint32_t[]){SPACE_A}, 1);
    assert_ids(&m, " a", 0, (uint32_t[]){SPACE_A}, 1);
    assert_ids(&m, "<u>a", 0, (uint32_t[]){USER, SPACE_A}, 2);
    assert_ids(&m, "a<u> a", 0, (uint32_t[]){SPACE_A, USER, SPACE_A}, 3);
    assert_ids(&m, "a<turn>a", special, (uint32_t[]){SPACE_A, TURN, SPACE_A}, 3);
    p.w->vocab.space_first = EL_SPACE_UNLESS_ONCE;
    assert_ids(&m, "a", 0, (uint32_t[]){SPACE_A}, 1);
    assert_ids(&m, " a", 0, (uint32_t[]){SPACE_A}, 1);
    assert_ids(&m, "a<turn>a", special, (uint32_t[]){SPACE_A, TURN, A}, 3);
    assert_ids(&m, "<turn>a", special, (uint32_t[]){TURN, A}, 2);
    assert_ids(&m, "<u>a", 0, (uint32_t[]){USER, A}, 2);
    finish(&m);
}

/* Of equal ranks the leftmost pair; of joined pairs the better rank, whatever came first. */
static void equal_ranks_go_from_the_left(void **state)
{
    (void)state;
    pieces p = {.w = new_words()};
    const uint32_t a = add_word(p.w, EL_TOKEN_NORMAL, "a");
    const uint32_t aa = add_word(p.w, EL_TOKEN_NORMAL, "aa");
    const uint32_t aaa = add_word(p.w, EL_TOKEN_NORMAL, "aaa");
    p.ranks[aa] = p.ranks[aaa] = 7;
    machine m = start_pieces(&p);
    assert_ids(&m, "aaa", 0, (uint32_t[]){aaa}, 1);
    assert_ids(&m, "aaaa", 0, (uint32_t[]){aaa, a}, 2);
    p.ranks[aaa] = 8;
    assert_ids(&m, "aaaa", 0, (uint32_t[]){aa, aa}, 2);
    assert_ids(&m, "aaaaa", 0, (uint32_t[]){aa, aaa}, 2);
    finish(&m);
}

/* The pieces of the file, cut by scores that are made of their ranks. */
static void first_unigram(pieces *p)
{
    first_pieces(p);
    p->is_unigram = true;
    for (uint32_t id = 0; id < p->w->vocab.n_tokens; id++)
        p->ranks[id] = el_bits_of_float(-3 - (float)p->ranks[id] / 128);
}

static void check_kept_bytes(const machine *m)
{
    static const uint8_t pool[] = "\0\4\xC0\xE2\x82\xAC\xF0\x9F\x98\x80\xED\xA0 a1'\r\n";
    uint64_t seed = 1;
    for (int i = 0; i < 300; i++) {
        uint8_t text[200];
        size_t len = next_random(&seed) % sizeof text;
        for (size_t k = 0; k < len; k++)
            text[k] = (uint8_t)(i % 2 ? next_random(&seed)
                                      : pool[next_random(&seed) % (sizeof pool - 1)]);
        uint32_t *ids;
        size_t n = encode(m, text, len, EDGELLM_TOKENIZE_KEEP_BYTES, &ids);
        assert_decodes(m, ids, n, text, len);
        free(ids);
    }
}

static void check_megabyte(const machine *m)
{
    static const char *const alphabets[] = {"etaoin ", "e", " ", "\x80"};
    uint8_t *text = malloc(MEGABYTE);
    assert_non_null(text);
    uint64_t seed = 3;
    for (size_t i = 0; i < sizeof alphabets / sizeof alphabets[0]; i++) {
        for (size_t k = 0; k < MEGABYTE; k++)
            text[k] = (uint8_t)alphabets[i][next_random(&seed) % strlen(alphabets[i])];
        uint32_t *ids;
        size_t n = encode(m, text, MEGABYTE, EDGELLM_TOKENIZE_KEEP_BYTES, &ids);
        assert_decodes(m, ids, n, text, MEGABYTE);
        free(ids);
    }
    free(text);
}

static void (*const kinds[])(pieces *) = {first_pieces, first_unigram};

static void kept_bytes_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        pieces p = {.w = NULL};
        kinds[i](&p);
        machine m = start_pieces(&p);
        check_kept_bytes(&m);
        finish(&m);
    }
}

/* Would take hours if each merge, or each place, cost a pass over the text. */
static void a_megabyte_is_quick(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        pieces p = {.w = NULL};
        kinds[i](&p);
        machine m = start_pieces(&p);
        check_megabyte(&m);
        finish(&m);
    }
}

/* The greatest sum counts, not the longest piece; of equal ones the first that is found. */
static void scores_are_summed(void **state)
{
    (void)state;
    pieces p = {.w = new_words(), .is_unigram = true};
    const uint32_t a = add_word(p.w, EL_TOKEN_NORMAL, "a"), b = add_word(p.w, EL_TOKEN_NORMAL, "b");
    const uint32_t ab = add_word(p.w, EL_TOKEN_NORMAL, "ab");
    const uint32_t aa = add_word(p.w, EL_TOKEN_NORMAL, "aa");
    const uint32_t unused = add_word(p.w, EL_TOKEN_UNUSED, "ba");
    const uint32_t user = add_word(p.w, EL_TOKEN_USER, "<u>");
    p.ranks[a] = p.ranks[b] = el_bits_of_float(-2);
    p.ranks[ab] = el_bits_of_float(-4.5f);
    p.ranks[aa] = el_bits_of_float(-3);
    p.ranks[unused] = el_bits_of_float(100);
    machine m = start_pieces(&p);
    assert_ids(&m, "ab", 0, (uint32_t[]){a, b}, 2);
    assert_ids(&m, "baa", 0, (uint32_t[]){b, aa}, 2);
    assert_ids(&m, "aaa", 0, (uint32_t[]){a, aa}, 2); /* not aa and a, which is as good */
    assert_ids(&m, "a<u>a", 0, (uint32_t[]){a, user, a}, 3);
    p.ranks[ab] = el_bits_of_float(-3.5f);
    assert_ids(&m, "aab", 0, (uint32_t[]){aa, b}, 2); /* -5, and a + ab is -5.5 */
    assert_ids(&m, "\xc3\xa9", EDGELLM_TOKENIZE_KEEP_BYTES,
               (uint32_t[]){p.w->vocab.n_tokens + 0xc3, p.w->vocab.n_tokens + 0xa9}, 2);
    p.w->vocab.unk = user;
    assert_ids(&m, "a\xc3\xa9\xc3\xa9\x62", 0, (uint32_t[]){a, user, b}, 3); /* one for both */
    finish(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_equal_the_reference),
        cmocka_unit_test(spaces_and_bytes),
        cmocka_unit_test(a_space_comes_first),
        cmocka_unit_test(a_space_comes_first_unless_there_is_one),
        cmocka_unit_test(equal_ranks_go_from_the_left),
        cmocka_unit_test(kept_bytes_come_back),
        cmocka_unit_test(a_megabyte_is_quick),
        cmocka_unit_test(scores_are_summed),
    };
    return cmocka_run_group_tests_name("pieces", tests, NULL, NULL);
}
