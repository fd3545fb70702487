/*
 * bpe.h: byte-pair merges. A piece starts as the tokens of its bytes; then, again and again, the
 * neighbours with the best-ranked merge (of several, the leftmost) become one token. Candidates
 * wait in a heap and are looked at again when they come up, so n bytes take O(n log n).
 */
#ifndef EL_TOKEN_BPE_H
#define EL_TOKEN_BPE_H

#include "base/arena.h"
#include "token/lookup.h"

typedef struct el_bpe {
    const el_vocab *vocab;
    uint32_t *slots;  /* (mask + 1) merge index + 1, by its pair; 0: free */
    uint32_t *merged; /* (n_merges) the token that each merge makes */
    uint32_t mask;
    uint32_t byte_ids[256]; /* the token of each byte, or EL_TOKEN_NONE */
} el_bpe;

/*
 * Takes the tables from `arena` and, unless it measures, fills them in with the help of `lookup`
 * (not kept). A byte or merge that makes a special token is left out: text alone must not become
 * one.
 * Errors: FORMAT (a merge of unknown tokens, or one that joins to no token).
 */
edgellm_status el_bpe_build(el_bpe *bpe, const el_vocab *vocab, const el_lookup *lookup,
                            el_arena *arena, edgellm_error *err);

typedef struct el_symbol {
    uint32_t id;         /* EL_TOKEN_NONE: merged into the one before */
    uint32_t prev, next; /* neighbours by index, EL_TOKEN_NONE at the ends */
} el_symbol;

/* Working memory of one encoding; start with {0}, release at the end. Grows with the pieces. */
typedef struct el_bpe_work {
    el_symbol *symbols; /* (capacity) */
    uint64_t *heap;     /* (2 * capacity) rank << 32 | index of the left symbol */
    size_t capacity;
    uint32_t n_symbols, n_heap;
} el_bpe_work;

void el_bpe_work_release(el_bpe_work *work);

/* Room for a piece of n bytes, a symbol each. What was there is lost. Errors: MEMORY. */
edgellm_status el_bpe_work_room(el_bpe_work *work, size_t n, edgellm_error *err);

/* The heap, smallest entry first. Nobody pushes beyond 2 * capacity, nor pops from an empty one. */
void el_bpe_work_push(el_bpe_work *work, uint64_t entry);
uint64_t el_bpe_work_pop(el_bpe_work *work);

/*
 * Merges one piece. The tokens are then work->symbols[0], and on by `next` (none if n_symbols is
 * 0). Bytes without a token are dropped before merging, or become n_tokens + byte if `keep`.
 * len < 2^31. Errors: MEMORY.
 */
edgellm_status el_bpe_merge(const el_bpe *bpe, el_bpe_work *work, const uint8_t *piece, size_t len,
                            bool keep, edgellm_error *err);

#endif
