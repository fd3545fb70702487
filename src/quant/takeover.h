/*
 * takeover.h: a tensor of a GGUF file into one of TM2 without changing a weight.
 *
 *   Q4_0 -> z4, Q4_1 -> o4, Q8_0 -> i8, Q1_0 -> b1, TQ1_0 and PTQ1_0 -> t1, TQ2_0 -> t2: with the
 *   codes and the scales' own bits (fp16); a block of 256 weights is two groups with one scale
 *   Q2_0 and PQ2_0 -> t2, or where a weight is at the fourth level, o2
 *   any other type whose weights are -s, 0 and s, with one s that is an fp16 number for each group
 * of 32, 64, 128 or a whole row -> t1
 *   what would become t1 -> t2, if it is asked for
 */
#ifndef EL_QUANT_TAKEOVER_H
#define EL_QUANT_TAKEOVER_H

#include "base/error.h"
#include "format/gguf.h"
#include "kernel/matrix.h"

typedef struct el_taken {
    el_codec codec; /* EL_CODEC_F32: none holds the tensor as it is */
    uint32_t group; /* weights that share a scale; 0: a row */
    bool exact;     /* false: three levels, but a scale is no fp16 number and has to be rounded */
} el_taken;

/* How a matrix can be taken over; reads it, where its type alone does not say. two_bits: t2 rather
 * than t1. Errors: MEMORY. */
edgellm_status el_takeover_how(const el_gguf_tensor *tensor, bool two_bits, el_taken *how,
                               edgellm_error *err);

/*
 * Packs a matrix into `data`: el_matrix_measure(rows, cols, how->codec, EL_SCALE_F16,
 * how->group).bytes bytes, zeroed. `how` is what el_takeover_how() says of it, and exact. Errors:
 * FORMAT (a scale that is not finite, a code of -128, of TQ2_0 3), naming tensor, row and block;
 * INTERNAL (a tensor that cannot be taken over), MEMORY.
 */
edgellm_status el_takeover(const el_gguf_tensor *tensor, const el_taken *how, uint8_t *data,
                           edgellm_error *err);

#endif
