/* llama.h: Llama (Touvron et al. 2023) and those like it: SmolLM, TinyLlama, Llama 3. */
#ifndef EL_MODEL_LLAMA_H
#define EL_MODEL_LLAMA_H

#include "model/model.h"

extern const el_architecture el_llama;

#endif
