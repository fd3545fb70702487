/*
 * takeover.h: ggml blocks into TM2 tensors without changing a weight: Q4_0 -> z4, Q4_1 -> o4,
 * Q8_0 -> i8, with the scales' own bits (fp16, groups of 32); TQ1_0 -> t1 and TQ2_0 -> t2, whose
 * blocks of 256 are two groups with the same scale.
 */
#ifndef EL_QUANT_TAKEOVER_H
#define EL_QUANT_TAKEOVER_H

#include "base/error.h"
#include "format/gguf.h"
#include "kernel/matrix.h"

/* The codec that holds a ggml type as it is; EL_CODEC_F32 if none does. */
el_codec el_takeover_codec(uint32_t ggml_type);

/* Weights that share a scale there. */
uint32_t el_takeover_group(uint32_t ggml_type);

/*
 * Packs a matrix of such a type into `data`: el_matrix_measure(rows, cols, codec, EL_SCALE_F16,
 * el_takeover_group()).bytes bytes, zeroed. Errors: FORMAT (a scale that is not finite, a code of
 * -128, of TQ2_0 3), naming tensor, row and block; INTERNAL (a type that cannot be taken over).
 */
edgellm_status el_takeover(const el_gguf_tensor *tensor, uint8_t *data, edgellm_error *err);

#endif
