/*
 * positions.h: how fast rotary positions turn (Su et al. 2021), in double, and how models that were
 * trained with short texts stretch them for long ones: linearly, by factors of their own for each
 * wave length (Llama 3, LongRoPE), or by YaRN.
 */
#ifndef EL_MODEL_POSITIONS_H
#define EL_MODEL_POSITIONS_H

#include "model/model.h"

/* Does a context of this length have the factors of long ones? */
bool el_positions_long(const el_model *model, uint32_t context);

/* Radians by which one position turns pair i of a head; in local layers, if the model has others
 * there. */
double el_positions_frequency(const el_model *model, uint32_t context, uint32_t i, bool local);

/* By which sines and cosines are multiplied. */
double el_positions_gain(const el_model *model, bool local);

#endif
