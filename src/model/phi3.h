/*
 * phi3.h: Phi-3, Phi-3.5 and Phi-4-mini (Abdin et al. 2024): as Llama; their files have projections
 * together, which are taken apart when they are converted.
 */
#ifndef EL_MODEL_PHI3_H
#define EL_MODEL_PHI3_H

#include "model/model.h"

extern const el_architecture el_phi3;

#endif
