/*
 * tune.h: trains all latents of a compressed model together, so that its predictions come near the
 * source's: knowledge distillation (Hinton et al. 2015) on the calibration text, with the loss
 * KL(source || ours) at every position. Activations of a layer are computed again on the way back,
 * so memory holds one layer's, and the inputs of all.
 */
#ifndef EL_TRAIN_TUNE_H
#define EL_TRAIN_TUNE_H

#include "train/pieces.h"
#include "train/student.h"

typedef struct el_tune {
    const el_source *source;
    const el_layer_shape *shape;
    el_student *student;
    el_crew *crew;
    unsigned members;
    uint32_t sequences, length, batch; /* batch: sequences of a step */
    const uint32_t *tokens;            /* (sequences, length) */
    const float *teacher;              /* (sequences * length, dim): what the source's head sees */
    uint32_t steps;
    float rate_u, rate_scale, rate_norm;

    /* memory */
    el_latent_moments *layer_moments; /* (layers, EL_PARTS) */
    el_latent_moments embedding_moments[EL_TABLE_PARTS];
    el_latent_moments head_moments[EL_TABLE_PARTS]; /* not used if tied */
    float *norm_m, *norm_v;
    el_span moments;         /* all of these */
    float *part[EL_PARTS];   /* weights of the layer at hand */
    float *dtable;           /* (vocab, dim) */
    float *inputs;           /* (layers + 1, batch * length, dim) */
    float *hidden, *dhidden; /* (batch * length, dim) after the last norm */
    float *logits[2];        /* (HEAD, vocab): ours, the source's */
    float *slice;            /* (members, SLICE, dim) rows of a head; or rows of logits */
    float *partial;          /* (slices, HEAD, dim); or (length, dim) */
    double *loss;            /* (HEAD) */
    el_layer_trace *traces;  /* (members) */
    el_layer_floats *grads;  /* (batch) */
} el_tune;

void el_tune_layout(el_tune *t, el_arena *arena);

/* Runs step `step` (0 .. steps-1) on sequences order[0 .. batch-1]; returns the mean KL, in nats,
 * of the model before it. */
double el_tune_step(el_tune *t, uint32_t step, const uint32_t *order);

#endif
