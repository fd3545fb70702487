#include "grammar/token_trie.h"

#include <stdlib.h>
#include <string.h>

/* ---- bytes --------------------------------------------------------------------------------- */

/* Each text is a group; what is in none is in the last. */
static const char *const groups[] = {"\n",
                                     "\t\r",
                                     " ",
                                     "\"",
                                     "'",
                                     "\\",
                                     "0123456789",
                                     "abcdef",
                                     "ghijklmnopqrstuvwxyz",
                                     "ABCDEF",
                                     "GHIJKLMNOPQRSTUVWXYZ",
                                     "_",
                                     "-",
                                     ".",
                                     ",",
                                     ":",
                                     ";",
                                     "{",
                                     "}",
                                     "[",
                                     "]",
                                     "(",
                                     ")",
                                     "<>",
                                     "/",
                                     "*",
                                     "=+"};

enum { GROUPS = sizeof groups / sizeof groups[0], CONTROLS = GROUPS, REST = GROUPS + 1 };

_Static_assert(REST < 30, "groups are bits, of which two are taken");

uint32_t el_trie_group(uint8_t byte)
{
    for (uint32_t g = 0; g < GROUPS; g++)
        if (byte != 0 && strchr(groups[g], byte)) return 1u << g;
    return 1u << (byte < ' ' || byte == 127 ? CONTROLS : REST);
}

/* How characters begin: by their first byte the number of bytes that follow and the range of the
 * next (no overlong forms, no surrogates, nothing above U+10FFFF). */
static const struct start {
    uint8_t first, last;
    el_utf8 then;
} starts[] = {
    {0x00, 0x7f, {0, 0, 0}},       {0xc2, 0xdf, {1, 0x80, 0xbf}}, {0xe0, 0xe0, {2, 0xa0, 0xbf}},
    {0xe1, 0xec, {2, 0x80, 0xbf}}, {0xed, 0xed, {2, 0x80, 0x9f}}, {0xee, 0xef, {2, 0x80, 0xbf}},
    {0xf0, 0xf0, {3, 0x90, 0xbf}}, {0xf1, 0xf3, {3, 0x80, 0xbf}}, {0xf4, 0xf4, {3, 0x80, 0x8f}}};

bool el_utf8_next(el_utf8 *at, uint8_t byte)
{
    if (at->left > 0) {
        if (byte < at->low || byte > at->high) return false;
        *at = (el_utf8){at->left - 1, 0x80, 0xbf};
        return true;
    }
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        if (byte < starts[i].first || byte > starts[i].last) continue;
        *at = starts[i].then;
        return true;
    }
    return false;
}

/* ---- the tokens in order --------------------------------------------------------------------- */

typedef struct word {
    const uint8_t *bytes;
    uint32_t len, id;
} word;

static int by_bytes(const void *a, const void *b)
{
    const word *x = a, *y = b;
    const int order = memcmp(x->bytes, y->bytes, x->len < y->len ? x->len : y->len);
    if (order != 0) return order;
    if (x->len != y->len) return x->len < y->len ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

typedef struct source {
    const el_tokenizer *tokenizer;
    uint32_t n_tokens, vocab;
} source;

static bool is_text(const source *from, uint32_t id)
{
    size_t len = 0;
    if (id >= from->n_tokens) return false;
    el_tokenizer_bytes(from->tokenizer, id, &len);
    return len > 0 && !el_tokenizer_is_special(from->tokenizer, id) &&
           !el_tokenizer_is_end(from->tokenizer, id);
}

/* Lists the words, sorted, and counts all. */
static void list_words(const source *from, word *words, el_trie *trie)
{
    for (uint32_t id = 0; id < from->vocab; id++) {
        size_t len;
        if (is_text(from, id)) {
            const uint8_t *bytes = el_tokenizer_bytes(from->tokenizer, id, &len);
            words[trie->n_ranks++] = (word){bytes, (uint32_t)len, id};
        } else {
            trie->n_others++;
            trie->n_ends += el_tokenizer_is_end(from->tokenizer, id);
        }
    }
    if (trie->n_ranks > 0) qsort(words, trie->n_ranks, sizeof *words, by_bytes);
}

static void list_others(const source *from, el_trie *trie)
{
    uint32_t n = 0, n_ends = 0;
    for (uint32_t id = 0; id < from->vocab; id++) {
        if (is_text(from, id)) continue;
        trie->others[n++] = id;
        if (el_tokenizer_is_end(from->tokenizer, id)) trie->ends[n_ends++] = id;
    }
}

/* Bytes that a word has in common with the one before it. */
static uint32_t shared(const word *words, uint32_t i)
{
    uint32_t n = 0;
    if (i == 0) return 0;
    const word *a = &words[i - 1], *b = &words[i];
    while (n < a->len && n < b->len && a->bytes[n] == b->bytes[n])
        n++;
    return n;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void layout(el_trie *t, el_arena *arena)
{
    t->nodes = el_arena_take(arena, t->n_nodes + 1, sizeof *t->nodes);
    t->ids = el_arena_take(arena, t->n_ranks, sizeof *t->ids);
    t->others = el_arena_take(arena, t->n_others, sizeof *t->others);
    t->ends = el_arena_take(arena, t->n_ends, sizeof *t->ends);
}

static void fill_nodes(el_trie *t, const word *words)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_ranks; i++) {
        const word *w = &words[i];
        for (uint32_t d = shared(words, i); d < w->len; d++)
            t->nodes[n++] =
                (el_trie_node){.rank = i, .depth = (uint16_t)(d + 1), .byte = w->bytes[d]};
        t->ids[i] = w->id;
        if (w->len > t->depth) t->depth = w->len;
        if (w->len == 1) t->alone[w->bytes[0]] = true;
    }
    t->nodes[n] = (el_trie_node){.rank = t->n_ranks, .skip = n};
}

/* From the end: what is below each node, and where that ends. follows: (depth + 2) the last node
 * seen of each depth, that is the next one in the trie. */
static void link_nodes(el_trie *t, uint32_t *follows)
{
    for (uint32_t d = 0; d <= t->depth + 1; d++)
        follows[d] = t->n_nodes;
    for (uint32_t b = 0; b < 256; b++)
        t->roots[b] = t->n_nodes;
    for (uint32_t i = t->n_nodes; i-- > 0;) {
        el_trie_node *node = &t->nodes[i];
        uint32_t skip = t->n_nodes;
        for (uint32_t d = node->depth; d > 0; d--)
            if (follows[d] < skip) skip = follows[d];
        node->skip = skip;
        follows[node->depth] = i;
        if (node->depth == 1) t->roots[node->byte] = i;
    }
}

static void measure_heights(el_trie *t)
{
    for (uint32_t i = t->n_nodes; i-- > 0;) {
        uint32_t height = 0;
        for (uint32_t c = i + 1; c < t->nodes[i].skip; c = t->nodes[c].skip)
            if (t->nodes[c].height + 1u > height) height = t->nodes[c].height + 1u;
        t->nodes[i].height = height < 255 ? (uint8_t)height : 255;
    }
}

/* Are the bytes up to each node the beginning of whole characters? at: (depth + 1). */
static void group_bytes(el_trie *t, el_utf8 *at, bool *valid)
{
    valid[0] = true;
    at[0] = (el_utf8){0, 0, 0};
    for (uint32_t i = 0; i < t->n_nodes; i++) {
        el_trie_node *node = &t->nodes[i];
        const uint32_t d = node->depth;
        at[d] = at[d - 1];
        valid[d] = valid[d - 1] && el_utf8_next(&at[d], node->byte);
        node->groups = !valid[d]           ? EL_TRIE_OTHER_BYTES
                       : node->byte < 0x80 ? el_trie_group(node->byte)
                                           : EL_TRIE_WHOLE_CHARS;
    }
    /* until here those of its own byte; now of what is below */
    for (uint32_t i = t->n_nodes; i-- > 0;) {
        uint32_t below = 0, own = t->nodes[i].groups;
        for (uint32_t c = i + 1; c < t->nodes[i].skip; c = t->nodes[c].skip)
            below |= t->nodes[c].groups;
        t->nodes[i].groups = own | below;
    }
}

/* Takes each node's own byte out again: from the front, where a child still has both. */
static void leave_out_own(el_trie *t)
{
    for (uint32_t i = 0; i < t->n_nodes; i++) {
        uint32_t below = 0;
        for (uint32_t c = i + 1; c < t->nodes[i].skip; c = t->nodes[c].skip)
            below |= t->nodes[c].groups;
        t->nodes[i].groups = below;
    }
}

static edgellm_status build(el_trie *trie, const word *words, edgellm_error *err)
{
    el_arena measure = el_arena_measure();
    for (uint32_t i = 0; i < trie->n_ranks; i++)
        trie->n_nodes += words[i].len - shared(words, i);
    layout(trie, &measure);
    EL_TRY(el_arena_reserve(&trie->arena, measure.used, err));
    layout(trie, &trie->arena);
    fill_nodes(trie, words);
    const size_t depths = trie->depth + 2;
    uint32_t *follows = calloc(depths, sizeof *follows);
    el_utf8 *at = calloc(depths, sizeof *at);
    bool *valid = calloc(depths, sizeof *valid);
    if (follows && at && valid) {
        link_nodes(trie, follows);
        measure_heights(trie);
        group_bytes(trie, at, valid);
        leave_out_own(trie);
    }
    const bool all = follows && at && valid;
    free(follows);
    free(at);
    free(valid);
    if (all) return EDGELLM_OK;
    el_arena_release(&trie->arena);
    return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for the tokens in order");
}

edgellm_status el_trie_open(el_trie *trie, const el_tokenizer *tokenizer, uint32_t n_tokens,
                            uint32_t vocab, edgellm_error *err)
{
    const source from = {tokenizer, n_tokens, vocab};
    word *words = calloc(vocab, sizeof *words);
    if (!words) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for %u tokens", vocab);
    memset(trie, 0, sizeof *trie);
    list_words(&from, words, trie);
    edgellm_status status = build(trie, words, err);
    free(words);
    if (status == EDGELLM_OK) list_others(&from, trie);
    return status;
}

void el_trie_close(el_trie *trie)
{
    el_arena_release(&trie->arena);
    memset(trie, 0, sizeof *trie);
}
