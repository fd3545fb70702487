/*
 * sampler.h: logits to a token, in llama.cpp's order: repeat penalty, top-k, top-p, min-p,
 * temperature, draw. Candidates are ordered by (logit, then smaller id), a total order, so every
 * machine draws the same token. Nothing is allocated after layout.
 */
#ifndef EL_SAMPLE_SAMPLER_H
#define EL_SAMPLE_SAMPLER_H

#include "base/arena.h"

#define EL_REPEAT_LAST_MAX 256

typedef struct el_candidate {
    float logit;
    uint32_t id;
} el_candidate;

typedef struct el_sampler {
    edgellm_sampler_options options;
    uint64_t random; /* state of the generator */
    uint32_t vocab;
    float *work;              /* (vocab) logits after penalties */
    el_candidate *candidates; /* (vocab), the best first */
} el_sampler;

/* Takes the sampler's memory and sets the defaults. */
void el_sampler_layout(el_sampler *sampler, uint32_t vocab, el_arena *arena);

/* Checks and sets options, restarts the generator from the seed. Errors: USAGE. */
edgellm_status el_sampler_set(el_sampler *sampler, const edgellm_sampler_options *options,
                              edgellm_error *err);

/* logits: (vocab); tokens: what was seen so far, for the repeat penalty. */
uint32_t el_sampler_sample(el_sampler *sampler, const float *logits, const uint32_t *tokens,
                           uint32_t n_tokens);

/* Options and state as bytes (saved.c). Returns their number; bytes: room for them, or NULL to
 * count only. */
size_t el_sampler_save(const el_sampler *s, uint8_t *bytes);

/* The reverse: the draws go on as they would have on the sampler that was saved. The bytes may be
 * anything; after an error the sampler is as it was. Errors: FORMAT. */
edgellm_status el_sampler_restore(el_sampler *s, const uint8_t *bytes, size_t size,
                                  edgellm_error *err);

#endif
