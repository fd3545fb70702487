/*
 * gptq.h: rounding that makes up for its own errors (Frantar et al. 2023, arXiv 2210.17323). With
 * H = E[x x'] of the inputs x, weights are rounded column by column, and each column's error is
 * spread over the columns to come by the upper Cholesky factor of the inverse of H. Scales are
 * fitted group by group on the weights as corrected so far.
 */
#ifndef EL_TRAIN_GPTQ_H
#define EL_TRAIN_GPTQ_H

#include "train/latent.h"

typedef struct el_gptq {
    uint32_t cols;
    const float *factor;     /* (cols, cols), upper triangle: U with U' U = (H + damping)^-1 */
    const float *importance; /* (cols): diagonal of H, at least a little */
} el_gptq;

#define EL_GPTQ_BAND 32 /* rows that are best rounded together */

/*
 * Prepares from h (cols, cols; symmetric), for latents that are rotated or not. damping: added to
 * the diagonal, relative to its mean; raised tenfold at a time while H has no factor (channels that
 * are always 0, or too few samples). importance (cols) and factor (cols, cols) receive the result.
 * Errors: FORMAT (not finite, or no factor even so), MEMORY.
 */
edgellm_status el_gptq_prepare(const float *h, uint32_t cols, bool rotated, float damping,
                               float *factor, float *importance, el_gptq *gptq, edgellm_error *err);

/* Rounds rows first .. first + count - 1 of the latent; w (count, cols) are their weights and is
 * used up; errors: room for (count, group) floats. Of a kept latent each weight is rounded by
 * itself: a group that has the source's levels would leave them for nothing. */
void el_gptq_rows(const el_gptq *gptq, el_latent *l, uint32_t first, uint32_t count, float *w,
                  float *errors);

/*
 * The change of weights that brings outputs on inputs x nearest to targets: solves
 * D (H + damping) = T for D (rows, cols); T (rows, cols), t is overwritten with D.
 * Errors: FORMAT, MEMORY.
 */
edgellm_status el_gptq_correct(const float *h, uint32_t cols, float damping, float *t,
                               uint32_t rows, edgellm_error *err);

#endif
