/*
 * program_chars.c: a class of characters as edges of bytes. A range of code points is cut until
 * each part is a product of ranges of bytes; such as U+0800 .. U+FFFF without surrogates:
 *
 *   e0 a0-bf 80-bf | e1-ec 80-bf 80-bf | ed 80-9f 80-bf | ee-ef 80-bf 80-bf
 */
#include "grammar/program.h"

enum { CUTS_MAX = 64 };

/* The node by node chain behind a first byte that ends in 80-bf, 80-bf ...: shared by a class. */
typedef struct class_build {
    el_builder *b;
    uint32_t then;
    uint32_t tails[3]; /* [n]: any n bytes that follow, then `then`; [0] is that */
    el_edge edges[512];
    uint32_t n_edges;
} class_build;

static uint32_t bytes_of(uint32_t code)
{
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

/* Byte i of n of a code point. */
static uint8_t byte_at(uint32_t code, uint32_t i, uint32_t n)
{
    static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    const uint32_t bits = code >> 6 * (n - 1 - i);
    return (uint8_t)(i == 0 ? marks[n == 1 ? 0 : n] | bits : 0x80 | (bits & 0x3f));
}

static edgellm_status node_of(class_build *c, const el_edge *edges, uint32_t n, uint32_t *index,
                              edgellm_error *err)
{
    el_node node = {.kind = EL_NODE_BYTES, .count = n};
    EL_TRY(el_gbnf_append(&c->b->gbnf, &c->b->edges, edges, sizeof *edges, n, EL_PROGRAM_EDGES_MAX,
                          &node.first, err));
    return el_builder_node(c->b, node, index, err);
}

/* The chain of any n bytes that follow. */
static edgellm_status tail_of(class_build *c, uint32_t n, uint32_t *index, edgellm_error *err)
{
    *index = c->then;
    for (uint32_t i = 1; i <= n; i++) {
        if (c->tails[i - 1] == EL_GBNF_NONE) {
            const el_edge any = {0x80, 0xbf, *index};
            EL_TRY(node_of(c, &any, 1, &c->tails[i - 1], err));
        }
        *index = c->tails[i - 1];
    }
    return EDGELLM_OK;
}

/* Low and high have n bytes, and differ so that every byte has a range of its own. */
static edgellm_status add_product(class_build *c, uint32_t low, uint32_t high, edgellm_error *err)
{
    const uint32_t n = bytes_of(low);
    uint32_t to = c->then, i = n - 1, whole = 0;
    while (i > 0 && byte_at(low, i, n) == 0x80 && byte_at(high, i, n) == 0xbf)
        i--, whole++;
    EL_TRY(tail_of(c, whole, &to, err));
    for (; i > 0; i--) {
        const el_edge edge = {byte_at(low, i, n), byte_at(high, i, n), to};
        EL_TRY(node_of(c, &edge, 1, &to, err));
    }
    const el_edge first = {byte_at(low, 0, n), byte_at(high, 0, n), to};
    if (c->n_edges == sizeof c->edges / sizeof c->edges[0])
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "a class of more than %u ranges of bytes: split it in two",
                       (uint32_t)(sizeof c->edges / sizeof c->edges[0]));
    c->edges[c->n_edges++] = first;
    return EDGELLM_OK;
}

/* Where must a range be cut? *at: the first code point behind the cut; false: nowhere. */
static bool find_cut(uint32_t low, uint32_t high, uint32_t *at)
{
    static const uint32_t borders[] = {0x80, 0x800, 0xd800, 0xe000, 0x10000};
    for (size_t i = 0; i < sizeof borders / sizeof borders[0]; i++) {
        *at = borders[i];
        if (low < borders[i] && borders[i] <= high) return true;
    }
    for (uint32_t i = 1; i < bytes_of(low); i++) {
        const uint32_t mask = (1u << 6 * i) - 1;
        if ((low & ~mask) == (high & ~mask)) continue;
        *at = (low | mask) + 1;
        if ((low & mask) != 0) return true;
        *at = high & ~mask;
        if ((high & mask) != mask) return true;
    }
    return false;
}

static edgellm_status add_range(class_build *c, el_gbnf_range range, edgellm_error *err)
{
    el_gbnf_range open[CUTS_MAX] = {range};
    for (uint32_t n = 1; n > 0;) {
        const el_gbnf_range r = open[--n];
        uint32_t at;
        if (find_cut(r.low, r.high, &at) && n + 2 <= CUTS_MAX) {
            open[n++] = (el_gbnf_range){at, r.high};
            open[n++] = (el_gbnf_range){r.low, at - 1};
        } else if (r.low < 0xd800 || r.low > 0xdfff) {
            EL_TRY(add_product(c, r.low, r.high, err));
        }
    }
    return EDGELLM_OK;
}

edgellm_status el_builder_class(el_builder *b, const el_gbnf_range *ranges, uint32_t n,
                                uint32_t then, uint32_t *index, edgellm_error *err)
{
    class_build c = {.b = b, .then = then, .tails = {EL_GBNF_NONE, EL_GBNF_NONE, EL_GBNF_NONE}};
    for (uint32_t i = 0; i < n; i++)
        EL_TRY(add_range(&c, ranges[i], err));
    return node_of(&c, c.edges, c.n_edges, index, err);
}
