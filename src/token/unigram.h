/*
 * unigram.h: SentencePiece's unigram model (Kudo 2018): of all ways to cut a text into tokens, the
 * one whose scores have the greatest sum, found by going through the text once (Viterbi). A
 * character that no token is has a score below all others; it becomes bytes. Sums are floats, as in
 * the sentencepiece package, so that near ties fall as they do there.
 */
#ifndef EL_TOKEN_UNIGRAM_H
#define EL_TOKEN_UNIGRAM_H

#include "base/arena.h"
#include "token/bpe.h"
#include "token/names.h"

typedef struct el_unigram {
    el_names names;      /* normal tokens */
    uint32_t first[257]; /* places in names.ids: those of byte b are first[b] to first[b + 1] - 1 */
    float unknown;       /* the score of a character that no token is */
} el_unigram;

/* Takes the tables from `arena` and, unless it measures, fills them in. */
void el_unigram_build(el_unigram *unigram, const el_vocab *vocab, el_arena *arena);

/*
 * Cuts a text of len < 2^31 bytes. The pieces are then found by el_unigram_next(). Takes a step for
 * each byte of each token that is in the text: at most len times the longest token. Errors: MEMORY.
 */
edgellm_status el_unigram_cut(const el_unigram *unigram, el_bpe_work *work, const uint8_t *text,
                              size_t len, edgellm_error *err);

/* As el_spm_next(). */
uint32_t el_unigram_next(const el_bpe_work *work, size_t *at, size_t *size);

#endif
