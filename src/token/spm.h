/*
 * spm.h: BPE as SentencePiece has it (Kudo 2018). A text starts as its characters; then, again and
 * again, the neighbours that join to the token of the best rank (of several, the leftmost) become
 * one. Any two may join, so there is no list of merges. What is no token in the end becomes bytes.
 * Candidates wait in a heap, as in bpe.h.
 */
#ifndef EL_TOKEN_SPM_H
#define EL_TOKEN_SPM_H

#include "base/arena.h"
#include "token/bpe.h"

typedef struct el_spm {
    el_lookup lookup; /* of normal tokens */
    uint32_t longest; /* bytes of those */
} el_spm;

/* Takes the tables from `arena` and, unless it measures, fills them in. */
void el_spm_build(el_spm *spm, const el_vocab *vocab, el_arena *arena);

/*
 * Merges a text of len < 2^31 bytes. The pieces are then found by el_spm_next(). Errors: MEMORY.
 */
edgellm_status el_spm_merge(const el_spm *spm, el_bpe_work *work, const uint8_t *text, size_t len,
                            edgellm_error *err);

/* The piece at *at, a place in the text, which is moved past it: its token, EL_TOKEN_NONE if it is
 * none, and its bytes, *size of them. At most len times: until *at is len. */
uint32_t el_spm_next(const el_spm *spm, const el_bpe_work *work, const uint8_t *text, size_t *at,
                     size_t *size);

#endif
