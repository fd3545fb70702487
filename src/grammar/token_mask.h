/*
 * token_mask.h: a set of tokens, as bits by their ranks in a trie, and the tokens that end an
 * answer. What the sampler needs to know of a grammar.
 */
#ifndef EL_GRAMMAR_TOKEN_MASK_H
#define EL_GRAMMAR_TOKEN_MASK_H

#include "grammar/token_trie.h"

typedef struct el_mask {
    const el_trie *trie;
    uint64_t *words; /* (n_ranks + 63) / 64 */
    uint32_t count;  /* of the bits */
    bool ends;       /* an end token may follow too */
    bool bounded;    /* something was left out for the budget: not to be kept */
    uint16_t state;  /* 0: none */
    uint32_t most;   /* the largest cost of a state that a token leads to */
} el_mask;

/* Logits (vocab) of tokens that are in the mask go to `to`; the others become -INFINITY. */
void el_mask_logits(const el_mask *mask, const float *logits, uint32_t vocab, float *to);

/* Is a text's token in the mask? It has to be looked for: for errors. */
bool el_mask_has(const el_mask *mask, uint32_t token);

#endif
