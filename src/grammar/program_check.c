/* program_check.c: rules that would call themselves forever, and rules that never end. */
#include <stdlib.h>

#include "grammar/program.h"

static edgellm_status fail_at_rule(const el_gbnf *g, uint32_t rule, const char *what,
                                   edgellm_error *err)
{
    const el_gbnf_rule *r = el_gbnf_rule_at(g, rule);
    const int shown = r->name_bytes < EL_GBNF_NAME_SHOWN ? (int)r->name_bytes : EL_GBNF_NAME_SHOWN;
    return el_gbnf_fail(g, r->name, err, "rule %.*s %s", shown, g->text + r->name, what);
}

/* ---- left recursion -------------------------------------------------------------------------- */

/* The nodes that node i goes to by nothing, calls included: the k-th; false: there are no more. */
static bool goes_to(const el_program *p, uint32_t i, uint32_t k, uint32_t *to)
{
    const el_node *node = &p->nodes[i];
    const bool calls = node->kind == EL_NODE_CALL || node->kind == EL_NODE_REPEAT;
    if (node->kind == EL_NODE_SPLIT && k < node->count) {
        *to = p->edges[node->first + k].to;
        return true;
    }
    if (!calls || k > 1) return false;
    *to = k == 0 ? node->first : node->then;
    const bool passes =
        p->nodes[node->first].nullable || (node->kind == EL_NODE_REPEAT && node->least == 0);
    return k == 0 || passes;
}

enum { NEW, OPEN, DONE };

typedef struct visit {
    uint32_t node, next; /* the way on that comes next */
} visit;

/* Walks all ways by nothing; one that comes back to itself would never end. */
static edgellm_status walk_from(const el_program *p, const el_gbnf *g, uint32_t start,
                                uint8_t *state, visit *way, edgellm_error *err)
{
    uint32_t n = 0, to;
    if (state[start] != NEW) return EDGELLM_OK;
    way[n++] = (visit){start, 0};
    state[start] = OPEN;
    while (n > 0) {
        visit *top = &way[n - 1];
        if (!goes_to(p, top->node, top->next++, &to)) {
            state[top->node] = DONE;
            n--;
        } else if (state[to] == OPEN) {
            return fail_at_rule(g, p->nodes[to].rule,
                                "calls itself before it has a character (left recursion): write "
                                "the repetition with * or +, or put the call last",
                                err);
        } else if (state[to] == NEW) {
            state[to] = OPEN;
            way[n++] = (visit){to, 0};
        }
    }
    return EDGELLM_OK;
}

static edgellm_status check_circles(const el_program *p, const el_gbnf *g, edgellm_error *err)
{
    uint8_t *state = calloc(p->n_nodes + 1u, sizeof *state);
    visit *way = calloc(p->n_nodes + 1u, sizeof *way);
    edgellm_status status = EDGELLM_OK;
    if (!state || !way) status = el_fail(err, EDGELLM_ERR_MEMORY, "no memory for the grammar");
    for (uint32_t i = 0; i < p->n_nodes && status == EDGELLM_OK; i++)
        status = walk_from(p, g, i, state, way, err);
    free(state);
    free(way);
    return status;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static edgellm_status check_ends(const el_program *p, const el_gbnf *g, edgellm_error *err)
{
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        if (p->nodes[i].kind != EL_NODE_CALL || p->nodes[p->nodes[i].first].cost < EL_COST_NONE)
            continue;
        return fail_at_rule(g, p->nodes[p->nodes[i].first].rule,
                            "never ends: every way through it needs it again; add one that does "
                            "not",
                            err);
    }
    if (p->nodes[p->root].cost == EL_COST_NONE)
        return fail_at_rule(g, g->root, "never ends: add a way out of it", err);
    if (p->nodes[p->root].cost < EL_COST_MOST) return EDGELLM_OK;
    return fail_at_rule(g, g->root,
                        "takes more than 1000000000 bytes at least, by its counts: make them "
                        "smaller",
                        err);
}

edgellm_status el_program_check(el_program *p, const el_gbnf *gbnf, edgellm_error *err)
{
    EL_TRY(el_program_costs(p, NULL, err));
    for (uint32_t i = 0; i < p->n_nodes; i++)
        p->nodes[i].nullable = p->nodes[i].cost == 0; /* a byte would cost one */
    EL_TRY(check_circles(p, gbnf, err));
    return check_ends(p, gbnf, err);
}
