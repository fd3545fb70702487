/*
 * allocate.h: which form each matrix of a file takes, so that the file keeps within a number of
 * bytes and the damages add up to little. Pure: no clock, no chance, one order for all ties.
 */
#ifndef EL_TRAIN_ALLOCATE_H
#define EL_TRAIN_ALLOCATE_H

#include <stdint.h>

#include "base/error.h"

enum { EL_CANDIDATES_MAX = 16, EL_NOT_FIXED = -1 };

typedef struct el_candidate {
    uint64_t bytes;
    double damage; /* finite, >= 0 */
} el_candidate;

typedef struct el_allocation {
    const el_candidate *candidates; /* of this matrix */
    uint32_t count;                 /* 1 .. EL_CANDIDATES_MAX */
    int32_t fixed;                  /* the one that the user asks for, or EL_NOT_FIXED */
    uint32_t choice;                /* the result */
} el_allocation;

/*
 * Chooses for n matrices so that `base` (what else is in the file) and they are at most `budget`
 * bytes. First along each matrix's lower convex hull of (bytes, damage), the steepest gain per byte
 * first (Shoham & Gersho 1988), until steps no longer fit; then single changes use what is left,
 * the largest gain first. That is done for each candidate of the matrix with the largest step, and
 * the best kept. The sum is above the least possible by less than the gain of one step. Errors:
 * USAGE (the smallest file is larger; says how large), MEMORY.
 */
edgellm_status el_allocate(el_allocation *matrices, uint32_t n, uint64_t base, uint64_t budget,
                           edgellm_error *err);

#endif
