#include "sample/sampler.h"

#include <string.h>

#include "base/detmath.h"
#include "sample/random.h"
#include "sample/steps.h"

#define MIROSTAT_BEST 100 /* what version 1 looks at, as in the paper's code and llama.cpp */

/* Is it the largest logit, whatever the cuts are? */
static bool is_greedy(const edgellm_sampler_options *o)
{
    return o->temperature == 0 &&
           (o->mirostat != 0 || (o->typical_p == 1 && o->xtc_probability == 0));
}

static void keep_best(el_candidates *c)
{
    if (c->n < 2) return;
    el_candidates_move(c, 0, el_candidates_best(c));
    c->n = 1;
}

/* Logits by token id, with what changes them. Mirostat knows no penalties, as in llama.cpp. */
static void load_logits(el_sampler *s, const float *logits, const uint32_t *tokens, uint32_t n)
{
    if (s->mask)
        el_mask_logits(s->mask, logits, s->vocab, s->candidates.logit);
    else
        memcpy(s->candidates.logit, logits, s->vocab * sizeof *logits);
    el_bias_logits(s);
    if (s->options.mirostat != 0) return;
    el_penalize(s, tokens, n);
    el_dry(s, tokens, n);
}

static void prepare_cuts(el_sampler *s)
{
    const edgellm_sampler_options *o = &s->options;
    el_candidates *c = &s->candidates;
    el_candidates_gather(c, s->vocab, o->top_k > 0 && o->top_k < s->vocab ? o->top_k : s->vocab);
    el_cut_typical(c, o->typical_p);
    el_cut_top_p(c, o->top_p);
    el_cut_min_p(c, o->min_p);
    el_cut_xtc(c, o->xtc_probability, o->xtc_threshold, &s->random);
}

/* Version 1 reads the logits twice: the best few for the estimate, then as many as it says. */
static void prepare_mirostat(el_sampler *s, const float *logits)
{
    el_candidates *c = &s->candidates;
    uint32_t k = s->vocab;
    if (s->options.mirostat == 1) {
        el_candidates_gather(c, s->vocab, MIROSTAT_BEST < s->vocab ? MIROSTAT_BEST : s->vocab);
        if (c->n > 0) k = el_mirostat_count(s);
        load_logits(s, logits, NULL, 0);
    }
    el_candidates_gather(c, s->vocab, k);
    if (s->options.mirostat == 2 && c->n > 0) el_mirostat_cut(s);
}

void el_sampler_prepare(el_sampler *sampler, const float *logits, const uint32_t *tokens,
                        uint32_t n_tokens)
{
    load_logits(sampler, logits, tokens, n_tokens);
    if (is_greedy(&sampler->options))
        el_candidates_gather(&sampler->candidates, sampler->vocab, 1);
    else if (sampler->options.mirostat != 0)
        prepare_mirostat(sampler, logits);
    else
        prepare_cuts(sampler);
    if (sampler->options.temperature == 0) keep_best(&sampler->candidates);
}

uint32_t el_sampler_sample(el_sampler *sampler, const float *logits, const uint32_t *tokens,
                           uint32_t n_tokens)
{
    const edgellm_sampler_options *o = &sampler->options;
    el_candidates *c = &sampler->candidates;
    el_sampler_prepare(sampler, logits, tokens, n_tokens);
    if (c->n == 0) return 0;
    if (o->temperature == 0) return c->id[0];
    const el_ranking r = el_ranking_softmax(c, o->temperature);
    const double total = el_candidates_weigh(c, &r);
    const double target = (double)el_random_uniform(&sampler->random) * total;
    const uint32_t drawn = el_candidates_walk(c, &r, target, EL_UNTIL_EXCEEDED);
    if (o->mirostat != 0)
        el_mirostat_learn(sampler, (double)el_scaled(&r, c->logit[drawn]) - el_log(total));
    return c->id[drawn];
}
