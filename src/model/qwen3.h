/* qwen3.h: Qwen3 (Yang et al. 2025), without experts: each head's queries and keys are normed. */
#ifndef EL_MODEL_QWEN3_H
#define EL_MODEL_QWEN3_H

#include "model/model.h"

extern const el_architecture el_qwen3;

#endif
