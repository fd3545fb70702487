/*
 * candidates.h: the tokens that may still be drawn, and how some of them are chosen without
 * sorting them.
 *
 * Candidates lie in order of their ids. Every question asked of them is the same one: walking
 * from the best to the worst and adding up weights, at which candidate is a sum reached? With
 * weights of 1 that is top-k, with probabilities top-p or a draw; "best" is the largest logit, or
 * for typical sampling the one nearest to a centre. It is answered by a radix descent: weights
 * are summed by the leading bits of a sortable key, only the bucket that holds the answer is
 * looked into further, and what is worse than that bucket is dropped at once. Three descents of
 * 11, 11 and 10 bits, each one pass over what is left: linear in the number of candidates,
 * whatever their order and values.
 */
#ifndef EL_SAMPLE_CANDIDATES_H
#define EL_SAMPLE_CANDIDATES_H

#include <stdbool.h>

#include "base/arena.h"

typedef struct el_candidates {
    float *logit; /* (vocab); the first n count. Before el_candidates_gather(): by token id */
    uint32_t *id; /* (vocab), ascending. Before the gathering: scratch */
    double *mass; /* (EL_BUCKETS) scratch of the descent */
    uint32_t n;
} el_candidates;

/* How candidates are ordered (ties: the smaller id first) and what they weigh. */
typedef struct el_ranking {
    bool nearest; /* order: nearest to `centre` first; else largest logit first */
    bool counted; /* weight: 1; else exp((logit - largest) / temperature) */
    double centre;
    float largest, temperature;
} el_ranking;

/* When a walk ends: at the candidate whose weight makes the sum ... */
typedef enum el_until {
    EL_UNTIL_REACHED /* >= target */,
    EL_UNTIL_EXCEEDED /* > target */
} el_until;

void el_candidates_layout(el_candidates *c, uint32_t vocab, el_arena *arena);

/* The k >= 1 best of logit[0 .. vocab) become the candidates. Those of -INFINITY never do: there
 * may be fewer, or none. */
void el_candidates_gather(el_candidates *c, uint32_t vocab, uint32_t k);

/* Largest logit first, weighed as in the softmax at a temperature. n > 0. */
el_ranking el_ranking_softmax(const el_candidates *c, float temperature);

/* The exponent of a weight, at most 0. */
static inline float el_scaled(const el_ranking *r, float logit)
{
    return (logit - r->largest) / r->temperature;
}

float el_weight(const el_ranking *r, float logit);

/* Sums the weights from the best bucket to the worst; what a walk needs before it. */
double el_candidates_weigh(const el_candidates *c, const el_ranking *r);

/*
 * Walks, after el_candidates_weigh() with the same ranking and a target below that sum (or equal,
 * if reaching is enough), and returns the index of the candidate at which the walk ends. Some of
 * the candidates that are worse than that one are dropped.
 */
uint32_t el_candidates_walk(el_candidates *c, const el_ranking *r, double target, el_until until);

/* The same, and drops all that are worse; returns the logit at which it ended. */
float el_candidates_cut(el_candidates *c, const el_ranking *r, double target, el_until until);

/* Puts candidate `from` in the place `to` <= from: how the steps keep some and drop others. */
static inline void el_candidates_move(el_candidates *c, uint32_t to, uint32_t from)
{
    c->logit[to] = c->logit[from];
    c->id[to] = c->id[from];
}

/* The index of the largest logit. n > 0. */
uint32_t el_candidates_best(const el_candidates *c);

#endif
