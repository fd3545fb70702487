/*
 * moments.h: the calibration text on its way through the source's layers, and the second moments
 * E[x x'] of what enters each of a layer's matrices.
 */
#ifndef EL_TRAIN_MOMENTS_H
#define EL_TRAIN_MOMENTS_H

#include "train/float_layer.h"
#include "train/pieces.h"

/* Parts with the same input: q k v, o, gate up, down. */
enum { EL_STAGES = 4 };
int el_stage_of(int part);
uint32_t el_stage_cols(const el_layer_shape *s, int stage);

typedef struct el_moments {
    const el_layer_shape *shape;
    el_crew *crew;
    unsigned members;
    uint32_t sequences, length;
    float *stream;            /* (sequences, length, dim): what enters the next layer */
    float *of[EL_STAGES];     /* (cols, cols) */
    el_layer_trace *traces;   /* (members), `length` tokens */
    float *inputs[EL_STAGES]; /* (a batch of sequences, length, cols) */
} el_moments;

void el_moments_layout(el_moments *m, el_arena *arena);

/*
 * Moves the stream through a layer and sets m->of to the moments inside it. What is added to the
 * stream (o, down) counts relative to the stream's size at that token: else the few tokens that
 * attention uses as sinks, a thousand times larger, would decide alone. What is normed before it is
 * added counts relative to its own size too.
 */
void el_moments_layer(el_moments *m, const el_layer_weights *w);

/* m->of[0] becomes the moments of the stream after a last norm: of what the head sees. */
void el_moments_last(el_moments *m, const float *norm);

#endif
