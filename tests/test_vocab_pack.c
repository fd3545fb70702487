/*
 * test_vocab_pack.c: a packed vocabulary comes back as it was, in as few bytes as its structure
 * allows; damaged bytes are refused or make a sound vocabulary, never more. What each error says:
 * test_tm2_bad.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/checks.h"
#include "format/vocab_pack.h"
#include "support/words.h"

/* In memory of exactly its size, so that sanitizers see what is read beyond it. */
static uint8_t *pack(const el_vocab *v, uint64_t *size)
{
    *size = el_vocab_pack(v, NULL);
    uint8_t *packed = malloc((size_t)*size);
    assert_non_null(packed);
    assert_int_equal(el_vocab_pack(v, packed), *size);
    return packed;
}

static edgellm_error last; /* what unpack() said */

static edgellm_status unpack(const el_vocab *v, const uint8_t *packed, uint64_t size, el_vocab *out,
                             el_arena *memory)
{
    *out = (el_vocab){.n_tokens = v->n_tokens,
                      .n_merges = v->n_merges,
                      .pretokenizer = v->pretokenizer,
                      .bos = EL_TOKEN_NONE,
                      .eos = EL_TOKEN_NONE,
                      .unk = EL_TOKEN_NONE,
                      .pad = EL_TOKEN_NONE};
    return el_vocab_unpack(out, true, el_vocab_flagged(v), v->starts[v->n_tokens], packed, size, 0,
                           memory, &last);
}

/* Returns the packed bytes. */
static uint64_t assert_comes_back(const el_vocab *v)
{
    uint64_t size;
    uint8_t *packed = pack(v, &size);
    el_vocab found;
    el_arena memory;
    assert_int_equal(unpack(v, packed, size, &found, &memory), EDGELLM_OK);
    assert_memory_equal(found.starts, v->starts, (v->n_tokens + 1) * sizeof *v->starts);
    assert_memory_equal(found.types, v->types, v->n_tokens);
    if (v->n_merges > 0)
        assert_memory_equal(found.merges, v->merges, v->n_merges * sizeof *v->merges);
    assert_true(!found.ranks == !v->ranks);
    if (v->ranks) assert_memory_equal(found.ranks, v->ranks, v->n_tokens * sizeof *v->ranks);
    assert_true(!found.flags == (el_vocab_flagged(v) == 0));
    if (found.flags) assert_memory_equal(found.flags, v->flags, v->n_tokens);
    if (v->starts[v->n_tokens] > 0)
        assert_memory_equal(found.bytes, v->bytes, v->starts[v->n_tokens]);
    el_arena_release(&memory);
    free(packed);
    return size;
}

/* Adds the token that the merge makes, and the merge. */
static void grow(words *w, uint32_t left, uint32_t right)
{
    uint8_t joined[1 << 12];
    const el_vocab *v = &w->vocab;
    const uint32_t n = v->starts[left + 1] - v->starts[left],
                   m = v->starts[right + 1] - v->starts[right];
    if (n + m > sizeof joined) abort();
    memcpy(joined, v->bytes + v->starts[left], n);
    memcpy(joined + n, v->bytes + v->starts[right], m);
    add_token(w, EL_TOKEN_NORMAL, joined, n + m);
    add_merge(w, left, right);
}

static void merges_in_order_cost_nothing_but_themselves(void **state)
{
    (void)state;
    words *w = new_words();
    add_word(w, EL_TOKEN_CONTROL, "<end>");
    add_word(w, EL_TOKEN_NORMAL, "a");
    add_word(w, EL_TOKEN_NORMAL, "b");
    const uint64_t letters = assert_comes_back(&w->vocab);
    for (uint32_t i = 0; i < 100; i++)
        grow(w, 1 + i % 2, i);
    assert_int_equal(assert_comes_back(&w->vocab), letters + 2 * 100 + 4); /* pairs; one run */
    free(w);
}

/* As in vocabularies whose tokens can be made in several ways. */
static void spare_merges_are_passed_over(void **state)
{
    (void)state;
    words *w = new_words();
    add_word(w, EL_TOKEN_NORMAL, "a");
    grow(w, 0, 0);
    for (uint32_t i = 0; i < 30; i++) {
        grow(w, i, i % 3);
        add_merge(w, i % 3, i);
    }
    const uint64_t size = assert_comes_back(&w->vocab);
    assert_true(size < 2 * w->vocab.n_merges + 4 * 31 + 10); /* no token but the first is spelled */
    free(w);
}

static void merges_that_make_nothing_are_kept(void **state)
{
    (void)state;
    words *w = new_words();
    add_word(w, EL_TOKEN_NORMAL, "a");
    for (uint32_t i = 0; i < 200; i++) /* farther than the packer looks */
        add_merge(w, 0, 0);
    grow(w, 0, 0);
    add_merge(w, 1, 1);
    assert_comes_back(&w->vocab);
    free(w);
}

static void the_smallest(void **state)
{
    (void)state;
    words *w = new_words();
    add_word(w, EL_TOKEN_NORMAL, "");
    assert_int_equal(assert_comes_back(&w->vocab), 5);
    add_merge(w, 0, 0);
    add_word(w, EL_TOKEN_UNUSED, "");
    assert_comes_back(&w->vocab);
    free(w);
}

static void of_the_test_data(void **state)
{
    (void)state;
    words *w = read_words();
    const el_vocab *v = &w->vocab;
    const uint64_t size = assert_comes_back(v);
    assert_true(size < (v->n_tokens * 5 + v->n_merges * 8 + v->starts[v->n_tokens]) / 2);
    free(w);
}

static void add_random(words *w, uint64_t *state)
{
    static const el_token_type types[] = {EL_TOKEN_NORMAL, EL_TOKEN_NORMAL, EL_TOKEN_CONTROL,
                                          EL_TOKEN_USER,   EL_TOKEN_UNUSED, EL_TOKEN_BYTE};
    const uint32_t n = w->vocab.n_tokens;
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)next_random(state);
    const uint32_t left = next_random(state) % n, right = next_random(state) % n;
    const uint32_t length = w->vocab.starts[left + 1] + w->vocab.starts[right + 1] -
                            w->vocab.starts[left] - w->vocab.starts[right];
    switch (next_random(state) % 4) {
    case 0:
        add_token(w, types[next_random(state) % 6], bytes, next_random(state) % 9);
        break;
    case 1:
        add_merge(w, left, right);
        break;
    default:
        if (length < 200) grow(w, left, right);
    }
}

static words *random_words(uint64_t *state)
{
    words *w = new_words();
    add_word(w, EL_TOKEN_NORMAL, "x");
    for (uint32_t i = next_random(state) % 300; i > 0; i--)
        add_random(w, state);
    return w;
}

static void random_ones(void **unused)
{
    uint64_t state = 1;
    (void)unused;
    for (int i = 0; i < 300; i++) {
        words *w = random_words(&state);
        assert_comes_back(&w->vocab);
        free(w);
    }
}

static void damaged_ones(void **unused)
{
    uint64_t state = 2;
    int accepted = 0, refused = 0;
    (void)unused;
    for (int i = 0; i < 2000; i++) {
        words *w = random_words(&state);
        uint64_t size;
        uint8_t *packed = pack(&w->vocab, &size);
        packed[next_random(&state) % size] ^= (uint8_t)(1u << next_random(&state) % 8);
        el_vocab found;
        el_arena memory = {0};
        if (unpack(&w->vocab, packed, size, &found, &memory) == EDGELLM_OK) {
            const uint32_t bytes = w->vocab.starts[w->vocab.n_tokens];
            assert_int_equal(found.starts[found.n_tokens], bytes);
            /* Unpacking does not look at the ids of merges that make no token. */
            if (el_vocab_check(&found, bytes, "packed", NULL) == EDGELLM_OK) {
                assert_comes_back(&found);
                accepted++;
            }
        } else {
            assert_null(memory.base);
            refused++;
        }
        el_arena_release(&memory);
        free(packed);
        free(w);
    }
    assert_true(accepted > 100 && refused > 100);
}

/* No length is a whole vocabulary but the whole one. */
static void cut_off(void **unused)
{
    uint64_t state = 3;
    (void)unused;
    words *w = random_words(&state);
    uint64_t size;
    uint8_t *packed = pack(&w->vocab, &size);
    for (uint64_t n = 0; n < size; n++) {
        uint8_t *part = malloc((size_t)n + 1);
        el_vocab found;
        el_arena memory = {0};
        assert_non_null(part);
        memcpy(part, packed, (size_t)n);
        assert_int_equal(unpack(&w->vocab, part, n, &found, &memory), EDGELLM_ERR_FORMAT);
        assert_null(memory.base);
        free(part);
    }
    free(packed);
    free(w);
}

/* Ranks in order cost a few bytes for all; any others come back too. */
static void ranks_come_back(void **state)
{
    (void)state;
    uint32_t ranks[200];
    words *w = new_words();
    for (uint32_t i = 0; i < 200; i++) {
        add_token(w, EL_TOKEN_NORMAL, &(uint8_t){(uint8_t)i}, 1);
        ranks[i] = i + 5;
    }
    const uint64_t without = assert_comes_back(&w->vocab);
    w->vocab.pretokenizer = "spm";
    w->vocab.ranks = ranks;
    assert_int_equal(assert_comes_back(&w->vocab), without + 1 + 2);
    for (uint32_t i = 0; i < 200; i++)
        ranks[i] = i * 2654435761u;
    ranks[3] = ranks[77] = UINT32_MAX;
    ranks[4] = 0; /* what UINT32_MAX would grow to */
    assert_comes_back(&w->vocab);
    free(w);
}

/* What stands behind a section that is right, and what is said of it. */
typedef struct ending {
    uint8_t bytes[8];
    uint64_t size;
    const char *message;
} ending;

static void assert_refused(const el_vocab *vocab, const uint8_t *packed, uint64_t size,
                           const ending *e)
{
    el_vocab found;
    el_arena memory;
    uint8_t longer[256];
    assert_true(size + sizeof e->bytes <= sizeof longer);
    memcpy(longer, packed, size);
    memcpy(longer + size, e->bytes, sizeof e->bytes);
    assert_int_equal(unpack(vocab, longer, size + e->size, &found, &memory), EDGELLM_ERR_FORMAT);
    if (e->message) assert_non_null(strstr(last.message, e->message));
}

/* Runs of ranks that do not fit, after ten tokens. */
static void bad_ranks_are_refused(void **state)
{
    (void)state;
    static const ending cases[] = {{{0, 9}, 2, NULL},     /* too few */
                                   {{0, 11}, 2, NULL},    /* too many */
                                   {{0, 0}, 2, NULL},     /* none */
                                   {{0, 9, 1}, 3, NULL},  /* without a length */
                                   {{0, 10, 0}, 3, NULL}, /* bytes after them */
                                   /* beyond 32 bits */
                                   {{0xff, 0xff, 0xff, 0xff, 0x0f, 10}, 6, NULL}};
    words *w = new_words();
    for (int i = 0; i < 10; i++)
        add_word(w, EL_TOKEN_NORMAL, "a");
    uint64_t size;
    uint8_t *packed = pack(&w->vocab, &size);
    w->vocab.pretokenizer = "spm";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(&w->vocab, packed, size, &cases[i]);
    free(packed);
    free(w);
}

/* Two bytes for each token that has any. */
static void flags_come_back(void **state)
{
    (void)state;
    uint8_t flags[200] = {0};
    words *w = new_words();
    for (uint32_t i = 0; i < 200; i++)
        add_word(w, EL_TOKEN_USER, "<u>");
    const uint64_t without = assert_comes_back(&w->vocab);
    w->vocab.flags = flags;
    assert_int_equal(assert_comes_back(&w->vocab), without); /* none has any */
    flags[0] = EL_TOKEN_RSTRIP;
    flags[1] = EL_TOKEN_FLAGS;
    flags[100] = EL_TOKEN_NORMALIZED;
    assert_int_equal(assert_comes_back(&w->vocab), without + 6);
    flags[199] = EL_TOKEN_SINGLE_WORD;
    assert_int_equal(assert_comes_back(&w->vocab), without + 8);
    free(w);
}

/* After ten tokens, two of which are said to have flags. */
static void bad_flags_are_refused(void **state)
{
    (void)state;
    static const ending cases[] = {{{0, 1, 0}, 3, "the section ends within them"},
                                   {{0, 1, 9, 1}, 4, "flags are of one that there is not"},
                                   {{10, 1, 0, 1}, 4, "flags are of one that there is not"},
                                   {{9, 1, 0, 1}, 4, "flags are of one that there is not"},
                                   {{0, 0, 0, 1}, 4, "the flags of one are not known"},
                                   {{0, 1, 0, 16}, 4, "the flags of one are not known"},
                                   {{0, 1, 0, 1, 0}, 5, "bytes follow the last one"}};
    const uint8_t flags[10] = {1, 1};
    words *w = new_words();
    for (int i = 0; i < 10; i++)
        add_word(w, EL_TOKEN_USER, "a");
    uint64_t size;
    uint8_t *packed = pack(&w->vocab, &size);
    w->vocab.flags = flags;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(&w->vocab, packed, size, &cases[i]);
    free(packed);
    free(w);
}

/* Of tokens that are not matched whole they would mean nothing. */
static void flags_of_other_types_are_refused(void **state)
{
    (void)state;
    words *w = new_words();
    uint8_t flags[6] = {0};
    w->vocab.flags = flags;
    for (uint32_t type = EL_TOKEN_NORMAL; type <= EL_TOKEN_BYTE; type++)
        add_word(w, (el_token_type)type, "a");
    for (uint32_t id = 0; id < 6; id++) {
        const bool whole = id + 1 >= EL_TOKEN_UNKNOWN && id + 1 <= EL_TOKEN_USER;
        memset(flags, 0, sizeof flags);
        flags[id] = EL_TOKEN_LSTRIP;
        assert_int_equal(el_vocab_check(&w->vocab, 6, "it", &last),
                         whole ? EDGELLM_OK : EDGELLM_ERR_FORMAT);
        if (!whole) assert_non_null(strstr(last.message, "is not matched whole"));
        flags[id] = 16;
        assert_int_equal(el_vocab_check(&w->vocab, 6, "it", &last), EDGELLM_ERR_FORMAT);
        assert_non_null(strstr(last.message, " are 16, not 0 to 15"));
    }
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_come_back),
        cmocka_unit_test(bad_ranks_are_refused),
        cmocka_unit_test(flags_come_back),
        cmocka_unit_test(bad_flags_are_refused),
        cmocka_unit_test(flags_of_other_types_are_refused),
        cmocka_unit_test(merges_in_order_cost_nothing_but_themselves),
        cmocka_unit_test(spare_merges_are_passed_over),
        cmocka_unit_test(merges_that_make_nothing_are_kept),
        cmocka_unit_test(the_smallest),
        cmocka_unit_test(of_the_test_data),
        cmocka_unit_test(random_ones),
        cmocka_unit_test(damaged_ones),
        cmocka_unit_test(cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
