/* qwen2.h: Qwen2 and Qwen2.5 (Yang et al. 2024): queries, keys and values have biases. */
#ifndef EL_MODEL_QWEN2_H
#define EL_MODEL_QWEN2_H

#include "model/model.h"

extern const el_architecture el_qwen2;

#endif
