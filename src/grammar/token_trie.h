/*
 * token_trie.h: the tokens that are text, as a tree of their bytes, in the order in which a walk
 * meets it: a node, then all that is below it. Ranks count tokens in that order (by bytes, then by
 * id), so the tokens below a node are one range of ranks. Immutable after open.
 *
 *   i      i+1                     skip
 *   |node| |------ below it ------||next to it ...
 */
#ifndef EL_GRAMMAR_TOKEN_TRIE_H
#define EL_GRAMMAR_TOKEN_TRIE_H

#include "base/arena.h"
#include "token/tokenizer.h"

/* Bytes in groups, a bit each: what occurs below a node. Those of ASCII first. */
#define EL_TRIE_WHOLE_CHARS (1u << 30) /* bytes above ASCII that form characters from here on */
#define EL_TRIE_OTHER_BYTES (1u << 31) /* and such that don't */

typedef struct el_trie_node {
    uint32_t skip;   /* the next node that is not below this one */
    uint32_t rank;   /* of its first token; its own end at the rank of node i + 1 */
    uint32_t groups; /* of the bytes below */
    uint16_t depth;  /* bytes from the beginning of a token up to this one: 1 .. */
    uint8_t byte;
    uint8_t height; /* most bytes below it; 255: that or more */
} el_trie_node;

typedef struct el_trie {
    el_arena arena;
    el_trie_node *nodes; /* (n_nodes + 1); the last is behind the end */
    uint32_t *ids;       /* (n_ranks) */
    uint32_t *others;    /* (n_others) tokens that are no text, and so in no node ... */
    uint32_t *ends;      /* (n_ends) ... and those of them that end an answer */
    uint32_t n_nodes, n_ranks, n_others, n_ends;
    uint32_t depth;      /* bytes of the longest token */
    uint32_t roots[256]; /* the node of a token's first byte; n_nodes: there is none */
    bool alone[256];     /* the byte is a token by itself */
} el_trie;

/* The trie of a tokenizer's n_tokens; ids go up to vocab-1. Special tokens, empty ones, and ids
 * without a token are no text. Errors: MEMORY. */
edgellm_status el_trie_open(el_trie *trie, const el_tokenizer *tokenizer, uint32_t n_tokens,
                            uint32_t vocab, edgellm_error *err);
void el_trie_close(el_trie *trie);

/* The group of an ASCII byte, as a bit. */
uint32_t el_trie_group(uint8_t byte);

/* What may follow in a character of UTF-8. left: bytes that are missing; the next is in low ..
 * high. */
typedef struct el_utf8 {
    uint8_t left, low, high;
} el_utf8;

/* Goes on by a byte; false: it is not one that may follow. Start with {0}. */
bool el_utf8_next(el_utf8 *at, uint8_t byte);

#endif
