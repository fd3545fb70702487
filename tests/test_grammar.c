/*
 * test_grammar.c: grammars against a slow matcher (support/naive_grammar.h): masks of random
 * grammars, that answers close within any budget, errors, bounds.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "grammar/matcher.h"
#include "support/naive_grammar.h"
#include "support/words.h"

/* ---- a vocabulary ------------------------------------------------------------------------------
 */

static const char *const tokens[] = {"ab",       "abc", "bb",           "]\"",    "\"\n", "\n\n",
                                     "aé",       "é€",  "\xc3",         "\xa9\"", "a\"",  "ccc",
                                     "€\"",      "c]",  "\xf0\x9f\x98", "\x80",   "aaaa", "b\n",
                                     "\xe2\x82", "zz",  "ab",           "é",      "abca"};

static struct world {
    machine machine;
    el_trie trie;
    el_arena arena;
    el_matcher matcher;
    uint32_t vocab, end;
} world;

static int set_up(void **state)
{
    edgellm_error err;
    words *w = new_words();
    world.end = add_word(w, EL_TOKEN_CONTROL, "<|im_end|>");
    for (unsigned b = 0; b < 256; b++) {
        const uint8_t byte = (uint8_t)b;
        add_token(w, EL_TOKEN_NORMAL, &byte, 1);
    }
    add_token(w, EL_TOKEN_NORMAL, "", 0);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        add_word(w, EL_TOKEN_NORMAL, tokens[i]);
    world.vocab = w->vocab.n_tokens + 5; /* a model may have more rows than its tokenizer tokens */
    world.machine = start(w, "gpt2");
    assert_int_equal(
        el_trie_open(&world.trie, world.machine.t, w->vocab.n_tokens, world.vocab, &err),
        EDGELLM_OK);
    el_arena measure = el_arena_measure();
    el_matcher_layout(&world.matcher, &world.trie, &measure);
    assert_int_equal(el_arena_reserve(&world.arena, measure.used, &err), EDGELLM_OK);
    el_matcher_layout(&world.matcher, &world.trie, &world.arena);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    el_arena_release(&world.arena);
    el_trie_close(&world.trie);
    finish(&world.machine);
    return 0;
}

static const uint8_t *text_of(uint32_t token, size_t *len)
{
    *len = 0;
    if (token >= world.vocab - 5 || token == world.end) return (const uint8_t *)"";
    return el_tokenizer_bytes(world.machine.t, token, len);
}

static bool in_mask(const el_mask *mask, uint32_t token)
{
    static float logits[400], out[400];
    memset(logits, 0, sizeof logits);
    el_mask_logits(mask, logits, world.vocab, out);
    return out[token] == 0;
}

static bool take_token(uint32_t token)
{
    size_t len;
    const uint8_t *bytes = text_of(token, &len);
    return el_matcher_take(&world.matcher, token, bytes, len);
}

static const el_mask *mask_now(uint32_t left)
{
    const el_mask *mask;
    edgellm_error err;
    assert_int_equal(el_matcher_mask(&world.matcher, left, &mask, &err), EDGELLM_OK);
    return mask;
}

static edgellm_status make(el_program *p, const char *text, edgellm_error *err)
{
    return el_program_make(p, text, strlen(text), &world.trie, err);
}

/* ---- the trie ----------------------------------------------------------------------------------
 */

/* Every token is where its bytes lead, and what is told of the nodes is so. */
static void test_trie(void **state)
{
    const el_trie *t = &world.trie;
    (void)state;
    assert_int_equal(t->n_ranks + t->n_others, world.vocab);
    assert_int_equal(t->n_ends, 1);
    for (uint32_t i = 0; i < t->n_nodes; i++) {
        const el_trie_node *node = &t->nodes[i];
        uint32_t deepest = node->depth;
        assert_true(node->skip > i && node->skip <= t->n_nodes && node->rank <= node[1].rank);
        for (uint32_t k = i + 1; k < node->skip; k++) {
            assert_true(t->nodes[k].depth > node->depth);
            if (t->nodes[k].depth > deepest) deepest = t->nodes[k].depth;
        }
        assert_true(node->skip == t->n_nodes || t->nodes[node->skip].depth <= node->depth);
        assert_int_equal(node->height, deepest - node->depth);
        for (uint32_t r = node->rank; r < node[1].rank; r++) {
            size_t len;
            const uint8_t *bytes = text_of(t->ids[r], &len);
            assert_int_equal(len, node->depth);
            assert_int_equal(bytes[len - 1], node->byte);
        }
    }
}

/* ---- random grammars ---------------------------------------------------------------------------
 */

/* Each token by itself: may the text go on with it? */
static void check_mask(const naive_grammar *g, const el_mask *mask, const uint8_t *text, size_t len)
{
    static float logits[400], out[400];
    uint8_t longer[NAIVE_TEXT + 8];
    memcpy(longer, text, len);
    memset(logits, 0, sizeof logits);
    el_mask_logits(mask, logits, world.vocab, out);
    for (uint32_t token = 0; token < world.vocab; token++) {
        size_t n;
        const uint8_t *bytes = text_of(token, &n);
        memcpy(longer + len, bytes, n);
        const naive_answer a = naive_match(g, longer, len + n);
        const bool right = token == world.end ? a.whole : n > 0 && (a.whole || a.begins);
        if (right == (out[token] == 0)) continue;
        fail_msg("token %u (%.*s) after \"%.*s\" should be %d:\n%s", token, (int)n,
                 (const char *)bytes, (int)len, (const char *)text, right, g->text);
    }
}

/* A token of the mask, at random; world.end if there is no other. */
static uint32_t any_of(const el_mask *mask, uint64_t *random, bool prefer_text)
{
    uint32_t chosen = world.end, seen = 0;
    for (uint32_t token = 0; token < world.vocab; token++) {
        if (!in_mask(mask, token) || (token == world.end && prefer_text)) continue;
        if (next_random(random) % ++seen == 0) chosen = token;
    }
    return chosen;
}

static void walk_and_check(const naive_grammar *g, uint64_t *random)
{
    uint8_t text[NAIVE_TEXT + 8];
    size_t len = 0;
    for (int step = 0; step < 4 && len < 14; step++) {
        size_t n;
        const el_mask *mask = mask_now(1000000);
        check_mask(g, mask, text, len);
        const uint32_t token = any_of(mask, random, true);
        const uint8_t *bytes = text_of(token, &n);
        if (token == world.end) return;
        memcpy(text + len, bytes, n);
        len += n;
        assert_true(take_token(token));
    }
}

static void test_masks(void **state)
{
    static naive_grammar g;
    uint64_t random = 1;
    int used = 0;
    (void)state;
    for (int i = 0; i < 150; i++) {
        el_program p;
        edgellm_error err;
        naive_random(&g, &random);
        if (make(&p, g.text, &err) != EDGELLM_OK) {
            assert_true(strstr(err.message, "left recursion") || strstr(err.message, "never ends"));
            continue;
        }
        assert_int_equal(el_matcher_begin(&world.matcher, &p, &err), EDGELLM_OK);
        walk_and_check(&g, &random);
        el_program_release(&p);
        used++;
    }
    assert_true(used > 50);
}

/* With a budget that holds the shortest answer, every answer ends in time. */
static void test_budgets(void **state)
{
    static naive_grammar g;
    uint64_t random = 2;
    (void)state;
    for (int i = 0; i < 400; i++) {
        el_program p;
        edgellm_error err;
        naive_random(&g, &random);
        if (make(&p, g.text, &err) != EDGELLM_OK) continue;
        assert_int_equal(el_matcher_begin(&world.matcher, &p, &err), EDGELLM_OK);
        uint32_t left = el_matcher_needs(&world.matcher) + next_random(&random) % 6, token = 0;
        for (; left > 0 && token != world.end; left--) {
            token = any_of(mask_now(left), &random, true);
            assert_true(take_token(token));
        }
        assert_int_equal(token, world.end);
        el_program_release(&p);
    }
}

/* ---- errors ------------------------------------------------------------------------------------
 */

static void test_errors(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "line 1, column 1: there is no rule root"},
        {"root ::= \"a", "line 1, column 10: \" ends nowhere"},
        {"# é\nroot ::= \"é\" [a", "line 2, column 14: [ ends nowhere"},
        {"root ::= \"a\"\nx = \"b\"", "line 2, column 3: expected ::="},
        {"root ::= (\"a\" | \"b\"\n\n", "line 3, column 1: expected )"},
        {"root ::= \"a\")", "line 1, column 13: ')' is no part"},
        {"root ::= \"\\q\"", "line 1, column 11: unknown escape"},
        {"root ::= \"\\x4\"", "column 11: expected 2 hexadecimal digits after \\x"},
        {"root ::= \"\\U00110000\"", "characters end at"},
        {"root ::= \"\\uD83D\"", "U+D83D is half a character"},
        {"root ::= []", "a class of no characters"},
        {"root ::= [b-a]", "the range ends (U+0061) before it begins (U+0062)"},
        {"root ::= \"a\"{2,1}", "the second number is smaller"},
        {"root ::= \"a\"{", "expected a number"},
        {"root ::= \"a\"{1,x}", "expected a number"},
        {"root ::= \"a\"{1", "expected }"},
        {"root ::= \"a\"{1000001}", "counted up to 1000000"},
        {"root ::= \"a\"+?", "column 14: two repetitions"},
        {"root ::= a b\na ::= \"x\"", "line 1, column 12: there is no rule b"},
        {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: a second rule of the name root"},
        {"root ::= <think>", "tokens by name"},
        {"root ::= \"a\" b ::= \"c\"", "a rule begins in a line of its own"},
        {"root ::= x\nx ::= x \"a\" | \"b\"", "line 2, column 1: rule x calls itself"},
        {"root ::= y\ny ::= \"a\"? z\nz ::= y", "left recursion"},
        {"root ::= (\"a\"* root)?", "left recursion"},
        {"root ::= \"a\" z\nz ::= \"b\" z", "line 2, column 1: rule z never ends"},
        {"root ::= x{1000000}\nx ::= \"a\"{1000000}",
         "line 1, column 1: rule root takes more than"},
        {"root ::= (\"a\"{40000} z){40000} | z\nz ::= \"b\" z", "line 2, column 1: rule z never"},
        {"root ::= \"\xff\"", "line 1, column 11: byte ff is not UTF-8"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        el_program p;
        edgellm_error err = {0};
        assert_int_equal(make(&p, cases[i].text, &err), EDGELLM_ERR_FORMAT);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].text, err.message, cases[i].message);
    }
}

/* ---- bounds ------------------------------------------------------------------------------------
 */

static void repeat_text(char *to, const char *text, size_t times)
{
    *to = '\0';
    for (const size_t len = strlen(text); times-- > 0; to += len)
        memcpy(to, text, len + 1);
}

static void test_bounds(void **state)
{
    static char text[3 << 20];
    const size_t room = strlen("root ::= ");
    el_program p;
    edgellm_error err;
    (void)state;
    strcpy(text, "root ::= ");
    repeat_text(text + room, "(", 65);
    assert_int_equal(make(&p, text, &err), EDGELLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "column 74: more than 64 groups"));
    repeat_text(text + room, "\"a\" ", (1 << 20) / 4);
    assert_int_equal(make(&p, text, &err), EDGELLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "more than 1048576"));
    char *at = text;
    for (int i = 0; i < 4097; i++)
        at += sprintf(at, "r%d ::= \"a\"\n", i);
    assert_int_equal(make(&p, text, &err), EDGELLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "line 4097, column 1: more than 4096 rules"));
}

/* Stacks that grow without end are held at their bound, and the answer still closes. */
/* Each rule is known only once the next is: looked through rule by rule, that would take seconds.
 */
static void test_a_chain_of_rules(void **state)
{
    enum { RULES = 4000, LEN = 29 };
    static char text[RULES * 50];
    el_program p;
    edgellm_error err;
    size_t at = (size_t)sprintf(text, "root ::= r0\n");
    for (int i = 0; i < RULES; i++)
        at += (size_t)sprintf(text + at, "r%d ::= \"%.*s\" r%d\n", i, LEN,
                              "zyzyzyzyzyzyzyzyzyzyzyzyzyzyz", i + 1);
    sprintf(text + at, "r%d ::= \"z\"?\n", RULES);
    (void)state;
    const clock_t start = clock();
    assert_int_equal(make(&p, text, &err), EDGELLM_OK);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 1);
    assert_int_equal(p.nodes[p.root].cost, RULES * LEN);
    el_program_release(&p);
}

static void test_deep_stacks(void **state)
{
    el_program p;
    edgellm_error err;
    (void)state;
    assert_int_equal(make(&p, "root ::= \"a\" root \"b\" | \"c\"", &err), EDGELLM_OK);
    assert_int_equal(el_matcher_begin(&world.matcher, &p, &err), EDGELLM_OK);
    uint32_t depth = 0;
    while (in_mask(mask_now(1000000), 1 + 'a')) {
        assert_true(take_token(1 + 'a'));
        depth++;
    }
    assert_true(depth >= 990 && depth <= EL_STACK_MAX);
    assert_true(take_token(1 + 'c'));
    for (; depth > 0; depth--)
        assert_true(take_token(1 + 'b'));
    assert_true(take_token(world.end));
    el_program_release(&p);
}

/* More ways at once than there is room for: said, not grown. */
static void test_too_many_ways(void **state)
{
    static char text[1 << 16];
    el_program p;
    edgellm_error err;
    char *at = text + sprintf(text, "root ::= \"a\" (");
    (void)state;
    for (int i = 0; i < 600; i++)
        at += sprintf(at, "%s\"b\" \"%d\"", i > 0 ? " | " : "", i);
    strcpy(at, ")");
    assert_int_equal(make(&p, text, &err), EDGELLM_OK);
    assert_int_equal(el_matcher_begin(&world.matcher, &p, &err), EDGELLM_OK);
    const el_mask *mask;
    assert_false(take_token(1 + 'a'));
    assert_int_equal(el_matcher_mask(&world.matcher, 1000, &mask, &err), EDGELLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "more than 512 ways"));
    el_program_release(&p);
}

/* As many in a row that may be left out as an object of a schema may have. */
static void test_a_wide_row(void **state)
{
    enum { MEMBERS = 256 };
    static char text[MEMBERS * 20];
    el_program p;
    edgellm_error err;
    char *at = text + sprintf(text, "root ::= \"{\"");
    (void)state;
    for (int i = 0; i < MEMBERS; i++)
        at += sprintf(at, " (\"p%03d\")?", i);
    strcpy(at, " \"}\"");
    assert_int_equal(make(&p, text, &err), EDGELLM_OK);
    assert_int_equal(el_matcher_begin(&world.matcher, &p, &err), EDGELLM_OK);
    assert_true(take_token(1 + '{'));
    for (int i = 0; i < MEMBERS; i += 5) {
        const char least = (char)('0' + (i > 4 ? i - 4 : 0) / 100);
        const char digits[] = {(char)('0' + i / 100), (char)('0' + i / 10 % 10),
                               (char)('0' + i % 10)};
        assert_true(in_mask(mask_now(100000), 1 + '}'));
        assert_true(take_token(1 + 'p'));
        for (int d = 0; d < 3; d++) { /* nothing that was passed over comes later */
            const el_mask *mask = mask_now(100000);
            for (char c = '0'; d == 0 && c < least; c++)
                assert_false(in_mask(mask, 1 + (uint32_t)c));
            assert_true(in_mask(mask, 1 + (uint32_t)digits[d]));
            assert_true(take_token(1 + (uint32_t)digits[d]));
        }
    }
    assert_false(in_mask(mask_now(100000), 1 + 'p'));
    assert_true(take_token(1 + '}'));
    assert_true(take_token(world.end));
    el_program_release(&p);
}

/* ---- counts that are enough --------------------------------------------------------------------
 */

typedef struct counts {
    int least, most;
} counts;

/* Bits: how many letters so many repetitions of something can have, of which `inner` says the same.
 */
static uint64_t repeated(uint64_t inner, counts c)
{
    uint64_t reached = 1, all = c.least == 0;
    for (int done = 1; done <= c.most; done++) {
        uint64_t next = 0;
        for (int n = 0; n < 40; n++)
            if (inner >> n & 1) next |= reached << n;
        reached = next & (((uint64_t)1 << 60) - 1);
        if (done >= c.least) all |= reached;
    }
    return all;
}

/* "!" may follow n letters if a sum says so, and one more letter if a longer sum does. */
static void check_lengths(uint64_t lengths)
{
    for (int n = 0; n < 40; n++) {
        const el_mask *mask = mask_now(100000);
        assert_int_equal(in_mask(mask, 1 + '!'), lengths >> n & 1);
        assert_int_equal(in_mask(mask, 1 + 'x'), lengths >> (n + 1) != 0);
        if (lengths >> (n + 1) == 0) return;
        assert_true(take_token(1 + 'x'));
    }
}

/* All that three repetitions in each other can be, with few counts. */
static void test_nested_counts(void **state)
{
    static const counts of[] = {{0, 1}, {0, 3}, {1, 1}, {1, 3}, {2, 3}, {3, 3}};
    enum { KINDS = sizeof of / sizeof *of };
    (void)state;
    for (int i = 0; i < KINDS * KINDS * KINDS; i++) {
        const counts a = of[i % KINDS], b = of[i / KINDS % KINDS], c = of[i / KINDS / KINDS];
        char text[100];
        el_program p;
        edgellm_error err;
        snprintf(text, sizeof text, "root ::= ((\"x\"{%d,%d}){%d,%d}){%d,%d} \"!\"", a.least,
                 a.most, b.least, b.most, c.least, c.most);
        assert_int_equal(make(&p, text, &err), EDGELLM_OK);
        assert_int_equal(el_matcher_begin(&world.matcher, &p, &err), EDGELLM_OK);
        check_lengths(repeated(repeated(repeated(2, a), b), c));
        el_program_release(&p);
    }
}

/* Parts that can be told apart in many ways: what counts more than it needs is no way of its own.
 */
static void test_counts_are_few_ways(void **state)
{
    el_program p;
    edgellm_error err;
    (void)state;
    assert_int_equal(make(&p, "root ::= ([a-z]{1,3}){1,400} \"!\"", &err), EDGELLM_OK);
    assert_int_equal(el_matcher_begin(&world.matcher, &p, &err), EDGELLM_OK);
    for (int i = 0; i < 1200; i++) {
        assert_true(in_mask(mask_now(100000), 1 + 'x'));
        assert_true(take_token(1 + 'x'));
        assert_true(world.matcher.states[world.matcher.current].n <= 6);
    }
    const el_mask *mask = mask_now(100000);
    assert_true(in_mask(mask, 1 + '!') && !in_mask(mask, 1 + 'x'));
    el_program_release(&p);
}

/* ---- work --------------------------------------------------------------------------------------
 */

/* The text of palindromes, of which every token leads to a state of its own. */
static void write_palindromes(char *at)
{
    at += sprintf(at, "root ::= \"-\"");
    for (int c = 'a'; c <= 'z'; c++)
        at += sprintf(at, " | \"%c\" root \"%c\"", c, c);
}

/* 26 letters, and 1500 texts of 30 letters. */
static machine many_tokens(uint32_t *vocab)
{
    uint64_t random = 3;
    words *w = new_words();
    add_word(w, EL_TOKEN_CONTROL, "<|im_end|>");
    add_word(w, EL_TOKEN_NORMAL, "-");
    for (int c = 'a'; c <= 'z'; c++)
        add_token(w, EL_TOKEN_NORMAL, &(char){(char)c}, 1);
    for (int i = 0; i < 1500; i++) {
        char text[30];
        for (size_t k = 0; k < sizeof text; k++)
            text[k] = (char)('a' + next_random(&random) % 26);
        add_token(w, EL_TOKEN_NORMAL, text, sizeof text);
    }
    *vocab = w->vocab.n_tokens;
    return start(w, "gpt2");
}

/* A mask that takes too much work is an error, whatever the matcher knew, and others go on. */
static void test_too_much_work(void **state)
{
    static char text[1000];
    el_trie trie;
    el_matcher m;
    el_arena measure = el_arena_measure(), arena;
    edgellm_error err;
    el_program hard, easy;
    const el_mask *mask;
    uint32_t vocab;
    machine own = many_tokens(&vocab);
    (void)state;
    assert_int_equal(el_trie_open(&trie, own.t, vocab, vocab, &err), EDGELLM_OK);
    el_matcher_layout(&m, &trie, &measure);
    assert_int_equal(el_arena_reserve(&arena, measure.used, &err), EDGELLM_OK);
    el_matcher_layout(&m, &trie, &arena);
    write_palindromes(text);
    assert_int_equal(el_program_make(&hard, text, strlen(text), &trie, &err), EDGELLM_OK);
    strcpy(text, "root ::= [a-z]{0,500} \"-\"");
    assert_int_equal(el_program_make(&easy, text, strlen(text), &trie, &err), EDGELLM_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(el_matcher_begin(&m, &hard, &err), EDGELLM_OK);
        for (int k = 0; k <= i; k++) {
            assert_int_equal(el_matcher_mask(&m, 1000, &mask, &err), EDGELLM_ERR_UNSUPPORTED);
            assert_non_null(strstr(err.message, "too long to find out"));
            assert_true(m.work <= 2 * EL_MASK_WORK);
        }
        assert_int_equal(el_matcher_begin(&m, &easy, &err), EDGELLM_OK);
        assert_int_equal(el_matcher_mask(&m, 1000, &mask, &err), EDGELLM_OK);
        assert_int_equal(mask->count, vocab - 1);
    }
    el_program_release(&hard);
    el_program_release(&easy);
    el_arena_release(&arena);
    el_trie_close(&trie);
    finish(&own);
}

/* When memory for states runs out all is found again: the same masks as on a fresh matcher. */
static void test_forgetting(void **state)
{
    el_program p;
    edgellm_error err;
    (void)state;
    assert_int_equal(make(&p, "root ::= ([ab]{0,9} \"c\"){1,900} \"]\"", &err), EDGELLM_OK);
    assert_int_equal(el_matcher_begin(&world.matcher, &p, &err), EDGELLM_OK);
    for (int i = 0; i < 600; i++) {
        const el_mask *mask = mask_now(1000000);
        assert_true(in_mask(mask, 1 + 'c') && in_mask(mask, 1 + 'a') == (i % 10 != 9));
        assert_true(in_mask(mask, 1 + ']') == (i % 10 == 0 && i > 0));
        assert_true(take_token(1 + (i % 10 == 9 ? 'c' : 'a')));
    }
    el_program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trie),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_a_chain_of_rules),
        cmocka_unit_test(test_deep_stacks),
        cmocka_unit_test(test_too_many_ways),
        cmocka_unit_test(test_a_wide_row),
        cmocka_unit_test(test_nested_counts),
        cmocka_unit_test(test_counts_are_few_ways),
        cmocka_unit_test(test_too_much_work),
        cmocka_unit_test(test_forgetting),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
