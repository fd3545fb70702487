/*
 * hadamard.h: kernel/rotation.h for training, fast: each 64 neighbouring numbers get signs, then
 * a Hadamard transform that keeps lengths. A row of weights and a vector of inputs that are both
 * rotated have the same product as before, but no number stands out any more, and rounding loses
 * less (Ashkboos et al. 2024, QuaRot; Tseng et al. 2024, QuIP#).
 */
#ifndef EL_TRAIN_HADAMARD_H
#define EL_TRAIN_HADAMARD_H

#include <stddef.h>

#include "kernel/matrix.h"

/* Rotates x (blocks, 64) in place, and back. */
void el_hadamard(float *x, size_t blocks);
void el_hadamard_back(float *x, size_t blocks);

#endif
