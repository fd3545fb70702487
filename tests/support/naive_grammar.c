/* naive_grammar.c: see naive_grammar.h. */
#include "support/naive_grammar.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const naive_chars[NAIVE_CHARS] = {
    "a", "b", "c", "]", "\"", "\n", "é", "€", "\xf0\x9f\x98\x80"};

static const char *const in_literal[NAIVE_CHARS] = {"a",   "b", "\\x63",   "]",          "\\\"",
                                                    "\\n", "é", "\\u20AC", "\\U0001F600"};
static const char *const in_class[NAIVE_CHARS] = {
    "a", "b", "c", "\\]", "\"", "\\n", "é", "\\u20ac", "\xf0\x9f\x98\x80"};

/* ---- random grammars ---------------------------------------------------------------------------
 */

static uint32_t below(uint64_t *random, uint32_t n)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33) % n;
}

static int add(naive_grammar *g, naive_item item)
{
    g->items[g->n_items] = item;
    return g->n_items++;
}

static int random_item(naive_grammar *g, uint64_t *random, int depth)
{
    static const int mosts[] = {0, 1, 2, 3, -1};
    const uint32_t pick = depth > 0 && g->n_items < NAIVE_ITEMS - 80 ? below(random, 10) : 0;
    naive_item item = {.kind = NAIVE_CHAR, .chars = 1u << below(random, NAIVE_CHARS)};
    if (pick == 1 || pick == 2) item.chars |= 1u << below(random, NAIVE_CHARS);
    if (pick == 2) item.negated = below(random, 2);
    if (pick < 3) return add(g, item);
    if (pick == 3) return add(g, (naive_item){.kind = NAIVE_NOTHING});
    if (pick == 4)
        return add(g, (naive_item){.kind = NAIVE_RULE, .a = (int)below(random, NAIVE_RULES)});
    const int a = random_item(g, random, depth - 1);
    if (pick == 5 || pick == 6) {
        const int least = (int)below(random, 3), most = mosts[below(random, 5)];
        return add(g, (naive_item){.kind = NAIVE_REPEAT,
                                   .a = a,
                                   .least = least,
                                   .most = most < 0 ? -1 : least + most});
    }
    const int b = random_item(g, random, depth - 1);
    return add(g, (naive_item){.kind = pick < 8 ? NAIVE_EITHER : NAIVE_PAIR, .a = a, .b = b});
}

/* ---- as GBNF -----------------------------------------------------------------------------------
 */

static void print(naive_grammar *g, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g->len += (size_t)vsnprintf(g->text + g->len, sizeof g->text - g->len, format, arguments);
    va_end(arguments);
}

static void print_char(naive_grammar *g, const naive_item *i)
{
    const bool single = (i->chars & (i->chars - 1)) == 0 && !i->negated;
    print(g, single ? "\"" : i->negated ? "[^" : "[");
    for (int c = 0; c < NAIVE_CHARS; c++)
        if (i->chars >> c & 1) print(g, "%s", single ? in_literal[c] : in_class[c]);
    print(g, single ? "\"" : "]");
}

static void print_item(naive_grammar *g, int index)
{
    const naive_item *i = &g->items[index];
    static const char *const between[] = {[NAIVE_PAIR] = " ", [NAIVE_EITHER] = " | "};
    if (i->kind == NAIVE_CHAR) {
        print_char(g, i);
    } else if (i->kind == NAIVE_RULE) {
        print(g, i->a == 0 ? "root" : "r-%d", i->a);
    } else if (i->kind == NAIVE_NOTHING) {
        print(g, "()");
    } else {
        print(g, "( ");
        print_item(g, i->a);
        if (i->kind != NAIVE_REPEAT) {
            print(g, "%s", between[i->kind]);
            print_item(g, i->b);
        }
        print(g, " )");
        if (i->kind == NAIVE_REPEAT && i->most < 0)
            print(g, i->least == 0 ? "*" : i->least == 1 ? "+" : "{%d,}", i->least);
        else if (i->kind == NAIVE_REPEAT)
            print(g, i->least == 0 && i->most == 1 ? "?" : "{%d,%d}", i->least, i->most);
    }
}

void naive_random(naive_grammar *g, uint64_t *random)
{
    g->n_items = 0;
    g->len = 0;
    g->n_rules = NAIVE_RULES;
    for (int r = 0; r < NAIVE_RULES; r++)
        g->rules[r] = random_item(g, random, 3 + (r == 0));
    for (int r = NAIVE_RULES; r-- > 0;) {
        print(g, r == 0 ? "root ::= " : "r-%d ::= ", r);
        print_item(g, g->rules[r]);
        print(g, "  # rule\n");
    }
}

/* ---- the slow way ------------------------------------------------------------------------------
 */

typedef struct
try {
    const naive_grammar *g;
    const uint8_t *text;
    size_t len;
    bool wants_more;                             /* some way took the whole text and would go on */
    uint64_t known[NAIVE_ITEMS][NAIVE_TEXT + 1]; /* answers found before, + 1; 0: none */
}
try;

static uint64_t ends_of(try *t, int item, size_t at);

static uint64_t ends_of_all(try *t, int item, uint64_t from)
{
    uint64_t ends = 0;
    for (size_t at = 0; at <= t->len; at++)
        if (from >> at & 1) ends |= ends_of(t, item, at);
    return ends;
}

static size_t encode(uint32_t code, uint8_t *out)
{
    const size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 63));
    out[0] = (uint8_t)(marks[n] | code);
    return n;
}

static bool in_item(const naive_item *i, const uint8_t *c, size_t n)
{
    for (int k = 0; k < NAIVE_CHARS; k++)
        if (strlen(naive_chars[k]) == n && memcmp(naive_chars[k], c, n) == 0)
            return (i->chars >> k & 1) != i->negated;
    return i->negated;
}

/* Is one character what is at `at`, or does it go on behind the end of the text? */
static uint64_t try_char(try *t, const naive_item *i, size_t at, const uint8_t *c, size_t n)
{
    const size_t left = t->len - at, same = n < left ? n : left;
    if (memcmp(c, t->text + at, same) != 0 || !in_item(i, c, n)) return 0;
    if (n > left) t->wants_more = true;
    return n > left ? 0 : (uint64_t)1 << (at + n);
}

/* Tries the characters of grammars, and some others that begin as the text does (there are always
 * more of those than grammars name). */
static uint64_t ends_of_char(try *t, const naive_item *i, size_t at)
{
    static const uint32_t sizes[] = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 2, 2, 3, 4};
    uint64_t ends = 0;
    if (at == t->len) {
        t->wants_more = true;
        return 0;
    }
    for (int k = 0; k < NAIVE_CHARS; k++)
        ends |= try_char(t, i, at, (const uint8_t *)naive_chars[k], strlen(naive_chars[k]));
    const uint8_t first = t->text[at];
    const uint32_t n = sizes[first >> 4];
    uint32_t code = n < 2 ? first : first & (0x7fu >> n);
    for (uint32_t b = 1; b < n; b++)
        code = code << 6 | (at + b < t->len ? t->text[at + b] & 0x3fu : 0);
    if (n == 3 && code < 0x800) code = 0x800;
    if (n == 4 && code < 0x10000) code = 0x10000;
    for (uint32_t tries = 0; n > 0 && tries < 64; tries++, code++) {
        uint8_t c[4];
        if (code >= 0x110000 || (code >= 0xd800 && code < 0xe000)) continue;
        ends |= try_char(t, i, at, c, encode(code, c));
    }
    return ends;
}

static uint64_t ends_of_repeat(try *t, const naive_item *i, size_t at)
{
    uint64_t now = (uint64_t)1 << at, ends = i->least == 0 ? now : 0;
    for (int done = 1; now != 0 && (i->most < 0 || done <= i->most); done++) {
        const uint64_t next = ends_of_all(t, i->a, now);
        /* with no limit, what was there before is no news once enough are done */
        now = i->most < 0 && done > i->least ? next & ~ends : next;
        if (done >= i->least) ends |= next;
    }
    return ends;
}

static uint64_t find_ends(try *t, int item, size_t at)
{
    const naive_item *i = &t->g->items[item];
    switch (i->kind) {
    case NAIVE_CHAR:
        return ends_of_char(t, i, at);
    case NAIVE_RULE:
        return ends_of(t, t->g->rules[i->a], at);
    case NAIVE_PAIR:
        return ends_of_all(t, i->b, ends_of(t, i->a, at));
    case NAIVE_EITHER:
        return ends_of(t, i->a, at) | ends_of(t, i->b, at);
    case NAIVE_REPEAT:
        return ends_of_repeat(t, i, at);
    case NAIVE_NOTHING:
    default:
        return (uint64_t)1 << at;
    }
}

static uint64_t ends_of(try *t, int item, size_t at)
{
    uint64_t *known = &t->known[item][at];
    if (*known == 0) *known = find_ends(t, item, at) + 1;
    return *known - 1;
}

naive_answer naive_match(const naive_grammar *g, const uint8_t *text, size_t len)
{
    static try t;
    memset(&t, 0, sizeof t);
    t.g = g;
    t.text = text;
    t.len = len;
    const uint64_t ends = ends_of(&t, g->rules[0], 0);
    return (naive_answer){ends >> len & 1, t.wants_more};
}
