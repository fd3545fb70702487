/*
 * bitnet.h: BitNet b1.58 (Ma et al. 2024), weights of three levels: as Llama, but what the last
 * matrices of attention and feed-forward meet is normed. Of two kinds: with SwiGLU ("bitnet"), and
 * that of 2025 with the square of ReLU ("bitnet-b1.58").
 */
#ifndef EL_MODEL_BITNET_H
#define EL_MODEL_BITNET_H

#include "model/model.h"

extern const el_architecture el_bitnet, el_bitnet_b158;

#endif
