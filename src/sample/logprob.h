/*
 * logprob.h: how probable a token was: the log-softmax of the logits as the model computed them,
 * before bias, penalties, cuts and temperature. The same bits on every machine.
 */
#ifndef EL_SAMPLE_LOGPROB_H
#define EL_SAMPLE_LOGPROB_H

#include <stdint.h>

/* logits: (vocab), finite or -INFINITY, not all of them; the sum is taken in their order. */
float el_logprob(const float *logits, uint32_t vocab, uint32_t token);

#endif
