/*
 * gemma3.h: Gemma 3 (Gemma Team 2025), text alone: as Gemma 2, with norms of each head's queries
 * and keys instead of caps, and five layers of six that attend to a window and turn positions
 * faster.
 */
#ifndef EL_MODEL_GEMMA3_H
#define EL_MODEL_GEMMA3_H

#include "model/model.h"

extern const el_architecture el_gemma3;

#endif
