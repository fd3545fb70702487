/* cuts.c: the steps that drop candidates by their probability. Each leaves at least one. */
#include "base/detmath.h"
#include "sample/random.h"
#include "sample/steps.h"

/*
 * Meister et al. 2022. With x = log p up to a constant, the distance of a token's surprise from
 * the entropy, |-log p - H|, is |x - mean of x|: the constant falls out.
 */
void el_cut_typical(el_candidates *c, float typical_p)
{
    if (typical_p >= 1.0f || c->n < 2) return;
    el_ranking r = el_ranking_softmax(c, 1.0f);
    double sum = 0, weighted = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        double weight = (double)el_weight(&r, c->logit[i]);
        if (weight == 0) continue;
        sum += weight;
        weighted += weight * ((double)c->logit[i] - (double)r.largest);
    }
    r.nearest = true;
    r.centre = (double)r.largest + weighted / sum;
    double total = el_candidates_weigh(c, &r);
    el_candidates_cut(c, &r, (double)typical_p * total, EL_UNTIL_EXCEEDED);
}

/* Holtzman et al. 2020. */
void el_cut_top_p(el_candidates *c, float top_p)
{
    if (top_p >= 1.0f || c->n < 2) return;
    const el_ranking r = el_ranking_softmax(c, 1.0f);
    double total = el_candidates_weigh(c, &r);
    el_candidates_cut(c, &r, (double)top_p * total, EL_UNTIL_REACHED);
}

/* Keeps what is at least as large as `least`, and the candidate at `spared`. */
static void keep_from(el_candidates *c, double least, uint32_t spared)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if (!((double)c->logit[i] >= least) && i != spared) continue;
        el_candidates_move(c, kept++, i);
    }
    c->n = kept;
}

/* Nguyen et al. 2024: p >= min_p * the best p, in logarithms. */
void el_cut_min_p(el_candidates *c, float min_p)
{
    if (min_p <= 0.0f || c->n < 2) return;
    uint32_t best = el_candidates_best(c);
    keep_from(c, (double)c->logit[best] + el_log((double)min_p), best);
}

/* The last, in the order of the candidates, of those that weigh at least `least`; *count: how
 * many they are. */
static uint32_t last_above(const el_candidates *c, const el_ranking *r, double least,
                           uint32_t *count)
{
    uint32_t last = 0;
    *count = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if ((double)el_weight(r, c->logit[i]) < least) continue;
        if (*count == 0 || c->logit[i] <= c->logit[last]) last = i;
        ++*count;
    }
    return last;
}

/* p-e-w 2024: sometimes, of the candidates of p >= threshold only the least probable stays. */
void el_cut_xtc(el_candidates *c, float probability, float threshold, uint64_t *random)
{
    if (probability <= 0.0f || threshold > 0.5f || c->n < 2) return;
    if (!(el_random_uniform(random) < probability)) return;
    const el_ranking r = el_ranking_softmax(c, 1.0f);
    uint32_t count, kept = 0;
    const double least = (double)threshold * el_candidates_weigh(c, &r);
    const uint32_t last = last_above(c, &r, least, &count);
    if (count < 2) return;
    for (uint32_t i = 0; i < c->n; i++) {
        if ((double)el_weight(&r, c->logit[i]) >= least && i != last) continue;
        el_candidates_move(c, kept++, i);
    }
    c->n = kept;
}
