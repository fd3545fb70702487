/*
 * penalties.c: logit bias, and what a token pays for having occurred. The counts lie in the array
 * of ids, which is free before the gathering; only the entries of tokens in the window are used,
 * so the time depends on the window alone.
 */
#include <float.h>
#include <math.h> /* INFINITY */

#include "sample/steps.h"

float el_finite_logit(double logit)
{
    if (logit > (double)FLT_MAX) return FLT_MAX;
    return logit < -(double)FLT_MAX ? -FLT_MAX : (float)logit;
}

uint32_t el_look_back(const uint32_t **tokens, uint32_t n, uint32_t last)
{
    if (n <= last) return n;
    *tokens += n - last;
    return last;
}

void el_bias_logits(el_sampler *s)
{
    for (uint32_t i = 0; i < s->options.n_logit_bias; i++) {
        const edgellm_logit_bias *b = &s->options.logit_bias[i];
        float *logit = &s->candidates.logit[b->token];
        const bool banned = *logit == -INFINITY || b->bias == -INFINITY;
        *logit = banned ? -INFINITY : el_finite_logit((double)(*logit + b->bias));
    }
}

static float penalized(const edgellm_sampler_options *o, float logit, uint32_t count)
{
    if (logit == -INFINITY) return logit;
    logit = logit > 0.0f ? logit / o->repeat_penalty : logit * o->repeat_penalty;
    logit = el_finite_logit((double)logit);
    return el_finite_logit(
        (double)(logit - ((float)count * o->frequency_penalty + o->presence_penalty)));
}

void el_penalize(el_sampler *s, const uint32_t *tokens, uint32_t n)
{
    const edgellm_sampler_options *o = &s->options;
    uint32_t *count = s->candidates.id;
    if (o->repeat_penalty == 1 && o->presence_penalty == 0 && o->frequency_penalty == 0) return;
    n = el_look_back(&tokens, n, o->repeat_last);
    for (uint32_t i = 0; i < n; i++)
        count[tokens[i]] = 0;
    for (uint32_t i = 0; i < n; i++)
        count[tokens[i]]++;
    for (uint32_t i = 0; i < n; i++) {
        if (count[tokens[i]] == 0) continue; /* done: it occurred before */
        float *logit = &s->candidates.logit[tokens[i]];
        *logit = penalized(o, *logit, count[tokens[i]]);
        count[tokens[i]] = 0;
    }
}
