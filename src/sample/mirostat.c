/*
 * mirostat.c: Basu et al. 2021: the surprise of what is drawn, -log2 p, is held near tau by
 * moving a bound mu on it. Version 1 estimates from the largest probabilities how many tokens
 * stay within the bound; version 2 drops those that do not.
 */
#include "base/detmath.h"
#include "sample/steps.h"

#define LN2 0x1.62e42fefa39efp-1

/* The n largest logits from the largest down; n is at most EL_MIROSTAT_BEST. */
static void sort_logits(float *logit, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        float moved = logit[i];
        uint32_t j = i;
        for (; j > 0 && logit[j - 1] < moved; j--)
            logit[j] = logit[j - 1];
        logit[j] = moved;
    }
}

/* Least squares: how fast probabilities fall with their rank, as in Zipf's law. */
static double zipf_exponent(const float *logit, uint32_t n, double temperature)
{
    double tb = 0, tt = 0;
    for (uint32_t i = 0; i + 1 < n; i++) {
        double t = el_log((double)(i + 2) / (double)(i + 1));
        double b = ((double)logit[i] - (double)logit[i + 1]) / temperature;
        tb += t * b;
        tt += t * t;
    }
    return n > 1 ? tb / tt : 0;
}

/* k = (e * 2^mu / (1 - vocab^-e))^(1/s), e = s - 1: in logarithms, so that nothing overflows. */
uint32_t el_mirostat_count(el_sampler *s)
{
    el_candidates *c = &s->candidates;
    sort_logits(c->logit, c->n);
    const double exponent = zipf_exponent(c->logit, c->n, (double)s->options.temperature);
    const double e = exponent - 1, log_vocab = el_log((double)s->vocab);
    const double scale = e > 1e-9 || e < -1e-9 ? e / (1 - el_exp(-e * log_vocab)) : 1 / log_vocab;
    const double log_k =
        (el_log(scale) + (double)s->mu * LN2) / (exponent > 1e-9 ? exponent : 1e-9);
    if (!(log_k > 0)) return 1;
    return log_k < log_vocab ? (uint32_t)el_exp(log_k) : s->vocab;
}

void el_mirostat_cut(el_sampler *s)
{
    el_candidates *c = &s->candidates;
    const el_ranking r = el_ranking_softmax(c, s->options.temperature);
    const uint32_t best = el_candidates_best(c);
    const double least = el_log(el_candidates_weigh(c, &r)) - (double)s->mu * LN2;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if ((double)el_scaled(&r, c->logit[i]) < least && i != best) continue;
        el_candidates_move(c, kept++, i);
    }
    c->n = kept;
}

void el_mirostat_learn(el_sampler *s, double log_p)
{
    double surprise = -log_p / LN2;
    s->mu = (float)((double)s->mu -
                    (double)s->options.mirostat_eta * (surprise - (double)s->options.mirostat_tau));
}
