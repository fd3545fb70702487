/*
 * pieces.h: work that is cut into numbered pieces, which the members of a crew take one by one. The
 * cut never depends on the number of members, so neither does any result.
 */
#ifndef EL_TRAIN_PIECES_H
#define EL_TRAIN_PIECES_H

#include "base/threads.h"

/* member: which memory of its own the piece may use. */
typedef void (*el_piece_fn)(void *context, uint32_t piece, unsigned member);

/* Runs pieces 0 .. n-1 and returns when all are done. */
void el_pieces_run(el_crew *crew, uint32_t n, el_piece_fn fn, void *context);

/* An order of the numbers 0 .. n-1 that depends on the seed alone. */
void el_shuffle(uint32_t *order, uint32_t n, uint32_t seed);

#endif
