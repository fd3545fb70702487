/*
 * layer_shape.h: with what the layers of a source compute, its rotary angles among it: those that
 * the engine has in a session of as many positions.
 */
#ifndef EL_TRAIN_LAYER_SHAPE_H
#define EL_TRAIN_LAYER_SHAPE_H

#include "train/source.h"

/* Takes the memory of the angles; on a measuring arena only counts. */
el_layer_shape el_layer_shape_of(const el_source *source, uint32_t positions, el_arena *arena);

#endif
