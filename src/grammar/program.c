#include "grammar/program.h"

#include <stdlib.h>
#include <string.h>

/* ---- nodes ----------------------------------------------------------------------------------- */

edgellm_status el_builder_node(el_builder *b, el_node node, uint32_t *index, edgellm_error *err)
{
    node.rule = b->rule;
    return el_gbnf_append(&b->gbnf, &b->nodes, &node, sizeof node, 1, EL_PROGRAM_NODES_MAX, index,
                          err);
}

static edgellm_status build_item(el_builder *b, uint32_t item, uint32_t then, uint32_t *index,
                                 edgellm_error *err);

/* From the last byte to the first. */
static edgellm_status build_text(el_builder *b, const el_gbnf_item *item, uint32_t then,
                                 uint32_t *index, edgellm_error *err)
{
    const uint8_t *bytes = (const uint8_t *)b->gbnf.bytes.data;
    *index = then;
    for (uint32_t i = item->count; i-- > 0;) {
        const uint8_t byte = bytes[item->first + i];
        const el_edge edge = {byte, byte, *index};
        el_node node = {.kind = EL_NODE_BYTES, .count = 1};
        EL_TRY(el_gbnf_append(&b->gbnf, &b->edges, &edge, sizeof edge, 1, EL_PROGRAM_EDGES_MAX,
                              &node.first, err));
        EL_TRY(el_builder_node(b, node, index, err));
    }
    return EDGELLM_OK;
}

static edgellm_status build_sequence(el_builder *b, const el_gbnf_item *item, uint32_t then,
                                     uint32_t *index, edgellm_error *err)
{
    const el_gbnf *g = &b->gbnf;
    *index = then;
    for (uint32_t i = item->first; i != EL_GBNF_NONE; i = el_gbnf_item_at(g, i)->before)
        EL_TRY(build_item(b, i, *index, index, err));
    return EDGELLM_OK;
}

static edgellm_status build_choice(el_builder *b, const el_gbnf_item *item, uint32_t then,
                                   uint32_t *index, edgellm_error *err)
{
    el_node node = {.kind = EL_NODE_SPLIT, .count = item->count};
    if (item->count == 1) return build_item(b, item->first, then, index, err);
    uint32_t at = item->first;
    const el_edge none = {0, 0, 0};
    node.first = b->edges.n;
    for (uint32_t i = 0, place; i < item->count; i++)
        EL_TRY(el_gbnf_append(&b->gbnf, &b->edges, &none, sizeof none, 1, EL_PROGRAM_EDGES_MAX,
                              &place, err));
    for (uint32_t i = 0; i < item->count; i++, at = el_gbnf_item_at(&b->gbnf, at)->before) {
        uint32_t to;
        EL_TRY(build_item(b, at, then, &to, err));
        ((el_edge *)b->edges.data)[node.first + i].to = to;
    }
    return el_builder_node(b, node, index, err);
}

static edgellm_status build_repeat(el_builder *b, const el_gbnf_item *item, uint32_t then,
                                   uint32_t *index, edgellm_error *err)
{
    el_node node = {.kind = EL_NODE_REPEAT, .least = item->least, .most = item->most, .then = then};
    uint32_t end;
    EL_TRY(el_builder_node(b, (el_node){.kind = EL_NODE_END}, &end, err));
    EL_TRY(build_item(b, item->first, end, &node.first, err));
    return el_builder_node(b, node, index, err);
}

/* What an item is, and then `then`: the index of where it starts. */
static edgellm_status build_item(el_builder *b, uint32_t index_of_item, uint32_t then,
                                 uint32_t *index, edgellm_error *err)
{
    const el_gbnf *g = &b->gbnf;
    const el_gbnf_item *item = el_gbnf_item_at(g, index_of_item);
    const el_node call = {.kind = EL_NODE_CALL, .first = item->first, .then = then};
    switch (item->kind) {
    case EL_GBNF_TEXT:
        return build_text(b, item, then, index, err);
    case EL_GBNF_CLASS:
        return el_builder_class(b, (const el_gbnf_range *)g->ranges.data + item->first, item->count,
                                then, index, err);
    case EL_GBNF_RULE:
        return el_builder_node(b, call, index, err);
    case EL_GBNF_SEQUENCE:
        return build_sequence(b, item, then, index, err);
    case EL_GBNF_CHOICE:
        return build_choice(b, item, then, index, err);
    case EL_GBNF_REPEAT:
    default:
        return build_repeat(b, item, then, index, err);
    }
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* Calls have the number of their rule until all rules are there. */
static edgellm_status build_rules(el_builder *b, uint32_t *starts, edgellm_error *err)
{
    for (b->rule = 0; b->rule < b->gbnf.rules.n; b->rule++) {
        uint32_t end;
        b->gbnf.at = el_gbnf_rule_at(&b->gbnf, b->rule)->name; /* for errors */
        EL_TRY(el_builder_node(b, (el_node){.kind = EL_NODE_END}, &end, err));
        EL_TRY(build_item(b, el_gbnf_rule_at(&b->gbnf, b->rule)->item, end, &starts[b->rule], err));
    }
    el_node *nodes = b->nodes.data;
    for (uint32_t i = 0; i < b->nodes.n; i++)
        if (nodes[i].kind == EL_NODE_CALL) nodes[i].first = starts[nodes[i].first];
    return EDGELLM_OK;
}

/* Bytes that lie between the same ends of ranges are one class. */
static void classify_bytes(el_program *p)
{
    bool starts[257] = {true};
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        const el_node *node = &p->nodes[i];
        if (node->kind != EL_NODE_BYTES) continue;
        for (uint32_t e = node->first; e < node->first + node->count; e++)
            starts[p->edges[e].low] = starts[p->edges[e].high + 1] = true;
    }
    for (uint32_t b = 0; b < 256; b++) {
        if (starts[b]) p->byte_of[p->n_classes++] = (uint8_t)b;
        p->class_of[b] = (uint8_t)(p->n_classes - 1);
    }
}

static edgellm_status check_vocabulary(const el_program *p, edgellm_error *err)
{
    if (p->trie->n_ends == 0)
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "this model has no token that ends an answer: no grammar can be kept to");
    if (p->nodes[p->root].cost < EL_COST_NONE) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                   "every answer of this grammar has a character whose bytes are no tokens of this "
                   "model: allow others");
}

static edgellm_status build(el_builder *b, el_program *p, edgellm_error *err)
{
    uint32_t *starts = calloc(b->gbnf.rules.n, sizeof *starts);
    if (!starts) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for the grammar");
    edgellm_status status = build_rules(b, starts, err);
    const uint32_t root = starts[b->gbnf.root];
    free(starts);
    EL_TRY(status);
    p->nodes = b->nodes.data;
    p->n_nodes = b->nodes.n;
    p->edges = b->edges.data;
    p->n_edges = b->edges.n;
    p->root = root;
    classify_bytes(p);
    EL_TRY(el_program_check(p, &b->gbnf, err));
    EL_TRY(el_program_costs(p, p->trie, err));
    return check_vocabulary(p, err);
}

edgellm_status el_program_make(el_program *program, const char *text, size_t len,
                               const el_trie *trie, edgellm_error *err)
{
    el_builder b;
    el_program p = {.trie = trie};
    memset(&b, 0, sizeof b);
    edgellm_status status = el_gbnf_parse(&b.gbnf, text, len, err);
    if (status == EDGELLM_OK) status = build(&b, &p, err);
    el_gbnf_release(&b.gbnf);
    if (status == EDGELLM_OK) {
        *program = p;
        return status;
    }
    free(b.nodes.data);
    free(b.edges.data);
    return status;
}

void el_program_release(el_program *program)
{
    free(program->nodes);
    free(program->edges);
    memset(program, 0, sizeof *program);
}
