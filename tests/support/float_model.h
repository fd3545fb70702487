/*
 * float_model.h: the whole of a source model in float32, by src/train: embedding, layers, last
 * norm, head; and how near its predictions are to the engine's. Without cmocka: a program uses it
 * too.
 */
#ifndef EL_TEST_FLOAT_MODEL_H
#define EL_TEST_FLOAT_MODEL_H

#include "train/source.h"

typedef struct float_model {
    const el_source *source;
    uint32_t length;      /* of a sequence */
    el_layer_shape shape; /* with the angles of `length` positions */
    el_arena arena;
    el_layer_floats layer;
    el_layer_trace trace;
    float *rows; /* a slice of the head */
} float_model;

/* `source` must outlive it. Errors: MEMORY. */
edgellm_status float_model_open(float_model *m, const el_source *source, uint32_t length,
                                edgellm_error *err);
void float_model_close(float_model *m);

/* x (length, dim): the embedding of tokens (length). */
void float_model_embed(const float_model *m, const uint32_t *tokens, float *x);

/* hidden (length, dim): what the head sees. Errors: FORMAT. */
edgellm_status float_model_hidden(const float_model *m, const uint32_t *tokens, float *hidden,
                                  edgellm_error *err);

/* logits (length, vocab). */
void float_model_logits(const float_model *m, const float *hidden, float *logits);

/* KL(engine || ours) in nats, per position. */
typedef struct float_distance {
    double sum, largest;
    uint32_t positions;
} float_distance;

/* Adds one sequence of tokens (length): the engine in exact mode, and the model. */
edgellm_status float_model_compare(const float_model *m, const edgellm_engine *engine,
                                   const uint32_t *tokens, float_distance *distance,
                                   edgellm_error *err);

#endif
