/*
 * program_cost.c: how many tokens are always enough from a node to the END of its rule. A byte is a
 * token, where the vocabulary has that; along a text without choices a longer token is taken where
 * it fits. No bound from below, but one that can be kept: in a node of cost n there is always a
 * token that leads to one of n - 1.
 */
#include <stdlib.h>
#include <string.h>

#include "grammar/program.h"

static bool has_token(const el_trie *trie, const el_edge *edge)
{
    if (!trie) return true;
    for (uint32_t b = edge->low; b <= edge->high; b++)
        if (trie->alone[b]) return true;
    return false;
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

/* ---- from the ends to the front -------------------------------------------------------------- */

/* Costs are final in ascending order, as in Dijkstra's search: no node costs less than what comes
 * after it. So each way is looked at once, however the rules call each other. */
typedef struct offer {
    uint32_t cost, node;
} offer;

typedef struct search {
    el_program *p;
    const el_trie *trie;
    uint32_t *leaps;  /* (n_nodes); NULL without a trie */
    uint32_t *starts; /* (n_nodes + 1) of a node's users */
    uint32_t *users;  /* nodes that are cheaper if this one is */
    offer *heap;      /* the cheapest first */
    uint32_t n;       /* of the heap */
} search;

typedef void (*visit_way)(search *s, uint32_t user, uint32_t to);

/* All nodes that the cost of a node comes from. */
static void each_way(search *s, uint32_t i, visit_way visit)
{
    const el_node *node = &s->p->nodes[i];
    if (s->leaps && s->leaps[i] != i) visit(s, i, s->leaps[i]);
    if (node->kind == EL_NODE_CALL || node->kind == EL_NODE_REPEAT) {
        visit(s, i, node->first);
        visit(s, i, node->then);
    } else if (node->kind != EL_NODE_END) {
        for (uint32_t e = node->first; e < node->first + node->count; e++)
            if (node->kind == EL_NODE_SPLIT || has_token(s->trie, &s->p->edges[e]))
                visit(s, i, s->p->edges[e].to);
    }
}

static void count_user(search *s, uint32_t user, uint32_t to)
{
    (void)user;
    s->starts[to + 1]++;
}

/* Fills from the end of each node's room to its beginning. */
static void put_user(search *s, uint32_t user, uint32_t to)
{
    s->users[--s->starts[to + 1]] = user;
}

static void push(search *s, uint32_t node, uint32_t cost)
{
    uint32_t at = s->n++;
    for (; at > 0 && s->heap[(at - 1) / 2].cost > cost; at = (at - 1) / 2)
        s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = (offer){cost, node};
}

static offer pop(search *s)
{
    const offer top = s->heap[0], last = s->heap[--s->n];
    uint32_t at = 0;
    for (uint32_t child = 1; child < s->n; child = 2 * at + 1) {
        if (child + 1 < s->n && s->heap[child + 1].cost < s->heap[child].cost) child++;
        if (s->heap[child].cost >= last.cost) break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
    return top;
}

/* What a node costs if it goes on by `to`, whose cost is final. */
static uint32_t cost_by(const search *s, uint32_t i, uint32_t to)
{
    const el_node *node = &s->p->nodes[i];
    if (node->kind == EL_NODE_CALL)
        return el_cost_add(s->p->nodes[node->first].cost, s->p->nodes[node->then].cost);
    if (node->kind == EL_NODE_REPEAT) return el_cost_repeat(s->p, node, 0);
    return el_cost_add(s->p->nodes[to].cost, node->kind == EL_NODE_BYTES);
}

static void run(search *s)
{
    el_node *nodes = s->p->nodes;
    for (uint32_t i = 0; i < s->p->n_nodes; i++)
        if (nodes[i].kind == EL_NODE_END) push(s, i, 0);
    while (s->n > 0) {
        const offer o = pop(s);
        if (nodes[o.node].cost <= o.cost) continue; /* it is final */
        nodes[o.node].cost = o.cost;
        for (uint32_t u = s->starts[o.node]; u < s->starts[o.node + 1]; u++) {
            const uint32_t cost = cost_by(s, s->users[u], o.node);
            if (cost < nodes[s->users[u]].cost) push(s, s->users[u], cost);
        }
    }
}

/* starts[i + 1] is a count first, then where the room of node i ends, at last where it begins. */
static edgellm_status list_users(search *s, edgellm_error *err)
{
    const uint32_t n = s->p->n_nodes;
    uint32_t all = 0;
    for (uint32_t i = 0; i < n; i++)
        each_way(s, i, count_user);
    for (uint32_t i = 1; i <= n; i++)
        all = s->starts[i] += all;
    s->users = calloc(all + 1, sizeof *s->users);
    s->heap = calloc((size_t)all + n + 1, sizeof *s->heap);
    if (!s->users || !s->heap) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for the grammar");
    for (uint32_t i = 0; i < n; i++)
        each_way(s, i, put_user);
    memmove(s->starts, s->starts + 1, n * sizeof *s->starts);
    s->starts[n] = all;
    return EDGELLM_OK;
}

static edgellm_status start(search *s, edgellm_error *err)
{
    const uint32_t n = s->p->n_nodes;
    s->starts = calloc((size_t)n + 1, sizeof *s->starts);
    s->leaps = s->trie ? calloc(n, sizeof *s->leaps) : NULL;
    if (!s->starts || (s->trie && !s->leaps))
        return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for the grammar");
    for (uint32_t i = 0; i < n; i++) {
        s->p->nodes[i].cost = EL_COST_NONE;
        if (s->leaps) s->leaps[i] = longest_leap(s->p, s->trie, i);
    }
    return list_users(s, err);
}

edgellm_status el_program_costs(el_program *p, const el_trie *trie, edgellm_error *err)
{
    search s = {.p = p, .trie = trie};
    const edgellm_status status = start(&s, err);
    if (status == EDGELLM_OK) run(&s);
    free(s.leaps);
    free(s.starts);
    free(s.users);
    free(s.heap);
    return status;
}
