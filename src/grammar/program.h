/*
 * program.h: a grammar as a pushdown automaton over bytes. Its nodes:
 *
 *   BYTES   goes to the end of an edge by a byte in its range
 *   SPLIT   goes to the ends of all its edges, by nothing
 *   CALL    puts itself on the stack, and goes to where a rule starts
 *   REPEAT  puts itself on the stack with a count, and goes to its body; or goes on
 *   END     takes the top off the stack and goes on behind it; with an empty stack the text is
 * whole
 *
 * Immutable after el_program_make(), so that any number of matchers may use it.
 *
 *   program.c         items to nodes
 *   program_chars.c   classes to edges of bytes
 *   program_check.c   what can never end, and what would call itself forever
 *   program_cost.c    tokens to the end
 */
#ifndef EL_GRAMMAR_PROGRAM_H
#define EL_GRAMMAR_PROGRAM_H

#include "grammar/gbnf.h"
#include "grammar/token_trie.h"

#define EL_PROGRAM_NODES_MAX (1u << 17)
#define EL_PROGRAM_EDGES_MAX (1u << 18)
#define EL_COST_NONE         0x3fffffffu /* there is no way to the end */
#define EL_COST_MOST         0x3ffffffeu /* so many tokens, or more: none has that much time */

typedef enum el_node_kind {
    EL_NODE_BYTES,
    EL_NODE_SPLIT,
    EL_NODE_CALL,
    EL_NODE_REPEAT,
    EL_NODE_END
} el_node_kind;

typedef struct el_node {
    el_node_kind kind;
    uint32_t first; /* BYTES, SPLIT: edges [first, first + count); CALL: where the rule starts;
                       REPEAT: its body */
    uint32_t count;
    uint32_t then;        /* CALL, REPEAT: what comes after it */
    uint32_t least, most; /* REPEAT; EL_GBNF_NO_LIMIT */
    bool nullable;        /* can get to the END of its rule, or body, by nothing */
    uint32_t cost;        /* tokens that are always enough to get there */
    uint32_t rule;        /* that it is in */
} el_node;

typedef struct el_edge {
    uint8_t low, high;
    uint32_t to;
} el_edge;

typedef struct el_program {
    el_node *nodes;
    el_edge *edges;
    uint32_t n_nodes, n_edges;
    uint32_t root; /* where an answer starts */
    uint32_t n_classes;
    uint8_t class_of[256]; /* bytes that no edge tells apart */
    uint8_t byte_of[256];  /* (n_classes) one of each */
    const el_trie *trie;   /* of the tokens that costs are told in */
} el_program;

/* Compiles a text. The trie must outlive *program; release it only after success. Errors: FORMAT
 * (with line and column), MEMORY, UNSUPPORTED (the vocabulary lacks a byte that is needed). */
edgellm_status el_program_make(el_program *program, const char *text, size_t len,
                               const el_trie *trie, edgellm_error *err);
void el_program_release(el_program *program);

static inline uint32_t el_cost_add(uint32_t a, uint32_t b)
{
    if (a == EL_COST_NONE || b == EL_COST_NONE) return EL_COST_NONE;
    return a + b < EL_COST_MOST ? a + b : EL_COST_MOST;
}

/* Tokens for the rest of a repetition, when `count` of it are done. */
static inline uint32_t el_cost_repeat(const el_program *p, const el_node *repeat, uint32_t count)
{
    const uint64_t missing = count < repeat->least ? repeat->least - count : 0;
    const uint32_t body = p->nodes[repeat->first].cost, then = p->nodes[repeat->then].cost;
    const uint64_t all = missing * body + then;
    if ((missing > 0 && body == EL_COST_NONE) || then == EL_COST_NONE) return EL_COST_NONE;
    return all < EL_COST_MOST ? (uint32_t)all : EL_COST_MOST;
}

/* ---- between the files of a program ---- */

typedef struct el_builder {
    el_gbnf gbnf;
    el_gbnf_list nodes, edges;
    uint32_t rule; /* that is being built */
} el_builder;

edgellm_status el_builder_node(el_builder *b, el_node node, uint32_t *index, edgellm_error *err);
/* One character of ranges, then `then`. */
edgellm_status el_builder_class(el_builder *b, const el_gbnf_range *ranges, uint32_t n,
                                uint32_t then, uint32_t *index, edgellm_error *err);

/* Fills in `nullable`. Errors: FORMAT, MEMORY. */
edgellm_status el_program_check(el_program *p, const el_gbnf *gbnf, edgellm_error *err);
/* Fills in `cost`, in tokens of the trie; trie NULL: as if each byte were one. Errors: MEMORY. */
edgellm_status el_program_costs(el_program *p, const el_trie *trie, edgellm_error *err);

#endif
