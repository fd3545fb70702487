/*
 * logprob.h: how probable tokens were: the log-softmax of the logits as the model computed them,
 * before bias, penalties, cuts and temperature. The same bits on every machine.
 */
#ifndef EL_SAMPLE_LOGPROB_H
#define EL_SAMPLE_LOGPROB_H

#include "edgellm.h"

/* What all of them have in common. */
typedef struct el_softmax {
    float best;     /* the largest logit */
    double log_sum; /* of the exponentials of the others' distances to it */
} el_softmax;

/* logits: (vocab), finite or -INFINITY, not all of them; the sum is taken in their order. */
el_softmax el_softmax_of(const float *logits, uint32_t vocab);

/* Of a token by its logit. */
float el_logprob(el_softmax softmax, float logit);

/* The k most probable, the largest logit first, of equal ones the smaller id. Their number: k, or
 * vocab if that is less. At most k comparisons a token, usually one. */
uint32_t el_logprob_top(el_softmax softmax, const float *logits, uint32_t vocab, uint32_t k,
                        edgellm_logprob *top);

#endif
