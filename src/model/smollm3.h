/* smollm3.h: SmolLM3 (Bakouch et al. 2025): as Llama, but every fourth layer turns no positions. */
#ifndef EL_MODEL_SMOLLM3_H
#define EL_MODEL_SMOLLM3_H

#include "model/model.h"

extern const el_architecture el_smollm3;

#endif
