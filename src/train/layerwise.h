/*
 * layerwise.h: compresses one layer after the other. Two streams of the calibration text run side
 * by side: through the source's layers, and through ours as far as they are done. Each layer is
 * rounded matrix by matrix (gptq.h) towards what the source computes, then all its latents are
 * trained together until its output is as near to the source's as it gets.
 */
#ifndef EL_TRAIN_LAYERWISE_H
#define EL_TRAIN_LAYERWISE_H

#include "train/latent.h"
#include "train/pieces.h"
#include "train/source.h"

typedef struct el_recipe {
    float correction;         /* share of the input's error that the weights make up for */
    float residual;           /* share of the stream's error, likewise */
    float correction_damping; /* relative to the mean diagonal */
    float damping;
    uint32_t epochs;  /* of training; 0: none */
    uint32_t batch;   /* sequences of a step */
    float rate_u;     /* first step of latents, in codes */
    float rate_scale; /* of scales, relative */
} el_recipe;

typedef struct el_layerwise {
    const el_recipe *recipe;
    const el_layer_shape *shape;
    el_crew *crew;
    unsigned members;
    uint32_t sequences, length;
    float *source_in, *ours_in;   /* (tokens, dim) the streams that enter the layer */
    float *source_mid, *ours_mid; /* (tokens, wide) between its halves; the source's output */
    uint32_t wide;                /* dim or the width of q, the larger */

    el_layer_floats source;                   /* floats of the layer */
    el_layer_weights source_weights, weights; /* what they and our latents give */
    float *ours[EL_PARTS];                    /* (rows, cols) memory of `weights` */
    el_latent *latents;                       /* (EL_PARTS) of the layer being done */

    el_layer_trace *traces;          /* (members) */
    float **outputs;                 /* (members) (length, dim) */
    float *inputs[2];                /* (COLLECT * length, widest) of one stage: source's, ours */
    float *errors;                   /* (COLLECT * length, dim) of the residual stream */
    float *moments, *cross, *stream; /* (widest, widest) x 2, (dim, widest) */
    float *factor, *importance;
    float *target;           /* (widest rows, cols) */
    float *lost;             /* (members, EL_GPTQ_BAND, widest) what rounding a group lost */
    el_layer_floats *grads;  /* (batch) */
    el_latent_moments *adam; /* (EL_PARTS), memory of its own for each layer */
    double *losses;          /* (batch) */
} el_layerwise;

void el_layerwise_layout(el_layerwise *w, el_arena *arena);

/* Does one layer: w->source is loaded, w->latents are laid out. On return both streams have moved
 * on. report: error of the layer's output, the
 * mean of log(1 + relative squared error) over tokens, after rounding and after training. */
typedef struct el_layer_report {
    double rounded, trained;
} el_layer_report;
/* Moves both streams through a layer whose latents are known; w->source is loaded. */
void el_layerwise_pass(el_layerwise *w);

edgellm_status el_layerwise_run(el_layerwise *w, el_layer_report *report, edgellm_error *err);

#endif
