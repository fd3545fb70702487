/*
 * gemma2.h: Gemma 2 (Gemma Team 2024): blocks are normed before and after, scores and logits
 * capped, and every second layer attends to a window.
 */
#ifndef EL_MODEL_GEMMA2_H
#define EL_MODEL_GEMMA2_H

#include "model/model.h"

extern const el_architecture el_gemma2;

#endif
