/*
 * decoder.h: what Llama and its kin share: layers of grouped-query attention with rotary positions
 * and of a gated feed-forward, each after an RMS norm. An architecture says what it has beside
 * that.
 */
#ifndef EL_MODEL_DECODER_H
#define EL_MODEL_DECODER_H

#include "model/model.h"

/* What a layer has more, a bit each: el_architecture.extra. */
typedef enum el_decoder_extra {
    EL_DECODER_BIASES = 1 << 0,     /* of queries, keys and values */
    EL_DECODER_NORMS = 1 << 1,      /* of each head's queries and keys */
    EL_DECODER_POST_NORMS = 1 << 2, /* of what attention and feed-forward give */
    EL_DECODER_SUB_NORMS = 1 << 3,  /* of what the last matrices of both meet */
} el_decoder_extra;

/* What a row of el_architecture needs. */
edgellm_status el_decoder_load(el_model *model, const el_tm2 *file, edgellm_error *err);
bool el_decoder_has(const el_architecture *a, const char *part);
void el_decoder_layers(el_forward *f, unsigned member, unsigned size);

#endif
