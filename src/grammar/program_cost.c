/*
 * program_cost.c: how many tokens are always enough from a node to the END of its rule. A byte is a
 * token, where the vocabulary has that; along a text without choices a longer token is taken where
 * it fits. No bound from below, but one that can be kept: in a node of cost n there is always a
 * token that leads to one of n - 1.
 */
#include <stdlib.h>

#include "grammar/program.h"

static bool has_token(const el_trie *trie, const el_edge *edge)
{
    if (!trie) return true;
    for (uint32_t b = edge->low; b <= edge->high; b++)
        if (trie->alone[b]) return true;
    return false;
}

static uint32_t cheapest_edge(const el_program *p, const el_trie *trie, const el_node *node)
{
    const uint32_t each = node->kind == EL_NODE_BYTES; /* tokens */
    uint32_t least = EL_COST_NONE;
    for (uint32_t e = node->first; e < node->first + node->count; e++) {
        const uint32_t cost = el_cost_add(p->nodes[p->edges[e].to].cost, each);
        if (cost < least && (!each || has_token(trie, &p->edges[e]))) least = cost;
    }
    return least;
}

static uint32_t cost_of(const el_program *p, const el_trie *trie, const el_node *node)
{
    switch (node->kind) {
    case EL_NODE_CALL:
        return el_cost_add(p->nodes[node->first].cost, p->nodes[node->then].cost);
    case EL_NODE_REPEAT:
        return el_cost_repeat(p, node, 0);
    case EL_NODE_END:
        return 0;
    case EL_NODE_BYTES:
    case EL_NODE_SPLIT:
    default:
        return cheapest_edge(p, trie, node);
    }
}

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

/* Costs fall until none does: to the front, where what comes after a node is built before it. */
static void lower(el_program *p, const el_trie *trie, const uint32_t *leaps)
{
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < p->n_nodes; i++) {
            uint32_t cost = cost_of(p, trie, &p->nodes[i]);
            const uint32_t leap =
                leaps && leaps[i] != i ? el_cost_add(p->nodes[leaps[i]].cost, 1) : EL_COST_NONE;
            if (leap < cost) cost = leap;
            if (cost >= p->nodes[i].cost) continue;
            p->nodes[i].cost = cost;
            more = true;
        }
    }
}

edgellm_status el_program_costs(el_program *p, const el_trie *trie, edgellm_error *err)
{
    uint32_t *leaps = trie ? calloc(p->n_nodes, sizeof *leaps) : NULL;
    if (trie && !leaps) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for the grammar");
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        p->nodes[i].cost = EL_COST_NONE;
        if (leaps) leaps[i] = longest_leap(p, trie, i);
    }
    lower(p, trie, leaps);
    free(leaps);
    return EDGELLM_OK;
}
