/*
 * rotation.h: the rotation R of a matrix' inputs, of EL_ROTATION_WIDTH inputs at a time. A matrix W
 * is stored as M = W R', which is rounded with less loss than W, and y = M (R x).
 *
 *     x[i] *= s[i]; s[i] is -1/8 where bit i of the fraction of pi is set, else 1/8
 *     for h = 1, 2, 4, 8, 16, 32 and every i with bit h clear:
 *         (x[i], x[i + h]) = (x[i] + x[i + h], x[i] - x[i + h]), each rounded to float32
 *
 * R is orthonormal, so R' undoes it: the same steps, then the signs. Slow and plain: kernels do the
 * first (el_rotate_fn in kernels.h) and are held to the same bits.
 */
#ifndef EL_KERNEL_ROTATION_H
#define EL_KERNEL_ROTATION_H

#include "kernel/matrix.h"

extern const float el_rotation_signs[EL_ROTATION_WIDTH];

/* x = R x, in place; n is a multiple of EL_ROTATION_WIDTH. A row of W becomes one of M. */
void el_rotate_row(float *x, uint32_t n);

/* x = R' x: a row of M becomes one of W. */
void el_rotate_back(float *x, uint32_t n);

#endif
