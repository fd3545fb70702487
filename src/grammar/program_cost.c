/*
 * program_cost.c: how many tokens are always enough from a node to the END of its rule. A byte is a
 * token, where the vocabulary has that; along a text without choices a longer token is taken where
 * it fits. No bound from below, but one that can be kept: in a node of cost n there is always a
 * token that leads to one of n - 1.
 *
 * Nodes are settled from the cheapest on, each once, in whatever order rules stand: the work grows
 * as the grammar does (times a logarithm), also for a text that somebody made to be slow.
 */
#include <stdlib.h>

#include "grammar/program.h"

typedef struct work {
    el_program *p;
    const el_trie *trie;       /* NULL: no leaps */
    uint16_t bytes_below[257]; /* [b]: bytes less than b that may be taken */
    uint32_t *leaps;           /* (n_nodes) where the longest token of a node's text leads */
    uint32_t *starts;          /* (n_nodes + 2) of a node's users in `users` */
    uint32_t *users;           /* nodes whose cost this one is a part of */
    uint64_t *heap;            /* cost << 32 | node, the least first; old ones are skipped */
    uint32_t n_heap;
} work;

/* ---- leaps ----------------------------------------------------------------------------------- */

/* Has the node but one byte to go on by? */
static bool is_single(const el_program *p, uint32_t i)
{
    const el_node *node = &p->nodes[i];
    return node->kind == EL_NODE_BYTES && node->count == 1 &&
           p->edges[node->first].low == p->edges[node->first].high;
}

static uint32_t child_of(const el_trie *t, uint32_t parent, uint8_t byte)
{
    uint32_t c = parent + 1;
    while (c < t->nodes[parent].skip && t->nodes[c].byte != byte)
        c = t->nodes[c].skip;
    return c < t->nodes[parent].skip ? c : t->n_nodes;
}

/* Where the longest token leads that spells the text from node i on; the node itself if none. */
static uint32_t longest_leap(const el_program *p, const el_trie *t, uint32_t i)
{
    uint32_t leap = i, at = t->n_nodes;
    for (uint32_t n = 0, node = i; is_single(p, node); n++) {
        const el_edge *edge = &p->edges[p->nodes[node].first];
        at = n == 0 ? t->roots[edge->low] : child_of(t, at, edge->low);
        if (at == t->n_nodes) break;
        node = edge->to;
        if (t->nodes[at + 1].rank > t->nodes[at].rank) leap = node;
    }
    return leap;
}

/* ---- what costs are made of ------------------------------------------------------------------ */

static uint32_t count_parts(const work *w, uint32_t i)
{
    const el_node *node = &w->p->nodes[i];
    if (node->kind == EL_NODE_BYTES) return node->count + 1;
    if (node->kind == EL_NODE_SPLIT) return node->count;
    return node->kind == EL_NODE_END ? 0 : 2;
}

/* A node whose cost is a part of that of node i; EL_GBNF_NONE: that way cannot be taken. */
static uint32_t part_of(const work *w, uint32_t i, uint32_t k)
{
    const el_node *node = &w->p->nodes[i];
    if (node->kind == EL_NODE_CALL || node->kind == EL_NODE_REPEAT)
        return k == 0 ? node->first : node->then;
    if (k == node->count) return w->trie && w->leaps[i] != i ? w->leaps[i] : EL_GBNF_NONE;
    const el_edge *edge = &w->p->edges[node->first + k];
    const bool is_open =
        node->kind == EL_NODE_SPLIT || w->bytes_below[edge->high + 1] > w->bytes_below[edge->low];
    return is_open ? edge->to : EL_GBNF_NONE;
}

/* Of node i, when `part` is settled. */
static uint32_t cost_by(const el_program *p, uint32_t i, uint32_t part)
{
    const el_node *node = &p->nodes[i];
    if (node->kind == EL_NODE_CALL)
        return el_cost_add(p->nodes[node->first].cost, p->nodes[node->then].cost);
    if (node->kind == EL_NODE_REPEAT) return el_cost_repeat(p, node, 0);
    return el_cost_add(p->nodes[part].cost, node->kind == EL_NODE_BYTES);
}

static uint32_t count_all(work *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->p->n_nodes; i++)
        n += count_parts(w, i);
    return n;
}

/* Users of a node stand together. */
static void list_users(work *w)
{
    const uint32_t n = w->p->n_nodes;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0, part; k < count_parts(w, i); k++)
            if ((part = part_of(w, i, k)) != EL_GBNF_NONE) w->starts[part + 2]++;
    for (uint32_t i = 0; i < n; i++)
        w->starts[i + 2] += w->starts[i + 1];
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0, part; k < count_parts(w, i); k++)
            if ((part = part_of(w, i, k)) != EL_GBNF_NONE) w->users[w->starts[part + 1]++] = i;
}

/* ---- the least first ------------------------------------------------------------------------- */

static void push(work *w, uint32_t cost, uint32_t node)
{
    const uint64_t entry = (uint64_t)cost << 32 | node;
    uint32_t at = w->n_heap++;
    for (; at > 0 && w->heap[(at - 1) / 2] > entry; at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = entry;
}

static uint64_t pop(work *w)
{
    const uint64_t least = w->heap[0], last = w->heap[--w->n_heap];
    uint32_t at = 0;
    for (uint32_t child = 1; child < w->n_heap; at = child, child = 2 * at + 1) {
        if (child + 1 < w->n_heap && w->heap[child + 1] < w->heap[child]) child++;
        if (w->heap[child] >= last) break;
        w->heap[at] = w->heap[child];
    }
    w->heap[at] = last;
    return least;
}

static void settle(work *w, uint32_t i, uint32_t cost)
{
    el_program *p = w->p;
    p->nodes[i].cost = cost;
    for (uint32_t u = w->starts[i]; u < w->starts[i + 1]; u++) {
        const uint32_t user = w->users[u], by = cost_by(p, user, i);
        if (p->nodes[user].cost == EL_COST_NONE && by < EL_COST_NONE) push(w, by, user);
    }
}

static void settle_all(work *w)
{
    for (uint32_t i = 0; i < w->p->n_nodes; i++) {
        w->p->nodes[i].cost = EL_COST_NONE;
        if (w->p->nodes[i].kind == EL_NODE_END) push(w, 0, i);
    }
    while (w->n_heap > 0) {
        const uint64_t least = pop(w);
        const uint32_t i = (uint32_t)least;
        if (w->p->nodes[i].cost == EL_COST_NONE) settle(w, i, (uint32_t)(least >> 32));
    }
}

/* ---- runs ------------------------------------------------------------------------------------ */

static edgellm_status run(work *w, edgellm_error *err)
{
    const uint32_t n = w->p->n_nodes, parts = count_all(w);
    edgellm_status status = EDGELLM_OK;
    w->leaps = calloc(n, sizeof *w->leaps);
    w->starts = calloc((size_t)n + 2, sizeof *w->starts);
    w->users = calloc((size_t)parts + 1, sizeof *w->users);
    w->heap = calloc((size_t)parts + n, sizeof *w->heap);
    if (w->leaps && w->starts && w->users && w->heap) {
        for (uint32_t i = 0; w->trie && i < n; i++)
            w->leaps[i] = longest_leap(w->p, w->trie, i);
        list_users(w);
        settle_all(w);
    } else {
        status = el_fail(err, EDGELLM_ERR_MEMORY, "no memory for the grammar");
    }
    free(w->leaps);
    free(w->starts);
    free(w->users);
    free(w->heap);
    return status;
}

edgellm_status el_program_nullable(el_program *p, edgellm_error *err)
{
    work w = {.p = p}; /* no byte may be taken */
    EL_TRY(run(&w, err));
    for (uint32_t i = 0; i < p->n_nodes; i++)
        p->nodes[i].nullable = p->nodes[i].cost < EL_COST_NONE;
    return EDGELLM_OK;
}

edgellm_status el_program_costs(el_program *p, const el_trie *trie, edgellm_error *err)
{
    work w = {.p = p, .trie = trie};
    for (uint32_t b = 0; b < 256; b++)
        w.bytes_below[b + 1] = (uint16_t)(w.bytes_below[b] + (!trie || trie->alone[b]));
    return run(&w, err);
}
