/*
 * sampler.h: logits to a token, with llama.cpp's steps in the order of its default chain
 * (docs/SAMPLING.md). Candidates have a total order (logit, then smaller id) and sums a fixed
 * order, so every machine draws the same token. Nothing is allocated after layout.
 *
 *   options.c     defaults, ranges, the copy that a sampler keeps
 *   sampler.c     the order of the steps, the draw
 *   candidates.c  the best k, top-p and draws without a sort
 *   penalties.c   bias, repeat, presence and frequency penalties
 *   dry.c         repetitions
 *   cuts.c        typical, top-p, min-p, XTC
 *   mirostat.c    the two versions of mirostat
 *   saved.c       a sampler as bytes
 */
#ifndef EL_SAMPLE_SAMPLER_H
#define EL_SAMPLE_SAMPLER_H

#include "grammar/token_mask.h"
#include "sample/candidates.h"

#define EL_LOOK_BACK_MAX (1u << 20) /* longest window of penalties and DRY */

/* The bytes of all tokens, joined: what breakers are looked for in. */
typedef struct el_token_texts {
    const uint8_t *bytes;
    const uint32_t *starts; /* (count + 1) offsets into bytes */
    uint32_t count;         /* tokens from here on have no text */
} el_token_texts;

typedef struct el_sampler {
    edgellm_sampler_options options; /* points into this sampler's own memory */
    uint64_t random;                 /* state of the generator */
    float mu;                        /* state of mirostat: bits of surprise allowed */
    uint32_t vocab, context;
    el_token_texts texts;
    el_candidates candidates;
    const el_mask *mask;        /* the only tokens that may be drawn; NULL: all */
    uint32_t *repeats;          /* (context) scratch of DRY */
    edgellm_logit_bias *biases; /* (EDGELLM_LOGIT_BIAS_MAX) */
    const char **breakers;      /* (EDGELLM_DRY_BREAKERS_MAX) into breaker_text */
    char *breaker_text;         /* (EDGELLM_DRY_BREAKERS_MAX, EDGELLM_DRY_BREAKER_BYTES + 1) */
} el_sampler;

/* Takes the sampler's memory and sets the defaults. `texts` must outlive it; context: the most
 * tokens that will be looked back on. */
void el_sampler_layout(el_sampler *sampler, uint32_t vocab, uint32_t context, el_token_texts texts,
                       el_arena *arena);

/* Checks and sets options, restarts the generator from the seed. Errors: USAGE; the sampler is
 * then as it was. */
edgellm_status el_sampler_set(el_sampler *sampler, const edgellm_sampler_options *options,
                              edgellm_error *err);

/*
 * logits: (vocab), no NaN; -INFINITY is a token that cannot be drawn. tokens: what was seen so
 * far, for penalties and DRY. If all are -INFINITY the answer is 0.
 */
uint32_t el_sampler_sample(el_sampler *sampler, const float *logits, const uint32_t *tokens,
                           uint32_t n_tokens);

/*
 * All but the draw, for proofs too: leaves in sampler->candidates what the draw chooses from, by
 * their softmax at the temperature; with temperature 0 just one. XTC takes its chance from the
 * generator.
 */
void el_sampler_prepare(el_sampler *sampler, const float *logits, const uint32_t *tokens,
                        uint32_t n_tokens);

/* Options and state as bytes (saved.c). Returns their number, at most EL_SAMPLER_SAVED_MAX; bytes:
 * room for them, or NULL to count only. */
#define EL_SAMPLER_SAVED_MAX 16384
size_t el_sampler_save(const el_sampler *s, uint8_t *bytes);

/* The reverse: the draws go on as they would have on the sampler that was saved. The bytes may be
 * anything; after an error the sampler is as it was. Errors: FORMAT. */
edgellm_status el_sampler_restore(el_sampler *s, const uint8_t *bytes, size_t size,
                                  edgellm_error *err);

#endif
