#include "sample/candidates.h"

#include <math.h> /* INFINITY */
#include <string.h>

#include "base/detmath.h"
#include "base/half.h"

enum { BUCKETS = 2048, LEVELS = 3, LEAST_ROOM = 1024 };

/* Which bits of a key a level of the descent looks at: 11, 11 and 10. */
static const struct level {
    uint32_t shift, mask;
} levels[LEVELS] = {{21, 2047}, {10, 2047}, {0, 1023}};

void el_candidates_layout(el_candidates *c, uint32_t vocab, el_arena *arena)
{
    float *logit = el_arena_take(arena, vocab, sizeof(float));
    uint32_t *id = el_arena_take(arena, vocab, sizeof(uint32_t));
    double *mass = el_arena_take(arena, BUCKETS, sizeof(double));
    *c = (el_candidates){.logit = logit, .id = id, .mass = mass};
}

/* ---- order and weight ---------------------------------------------------------------------- */

/* Compares as the ranking does: larger is better. -0 and 0 are equals. */
static inline uint32_t key_of(const el_ranking *r, float logit)
{
    const uint32_t sign = 0x80000000u;
    if (r->nearest) {
        double distance = r->centre - (double)logit;
        return ~el_bits_of_float((float)(distance < 0 ? -distance : distance));
    }
    uint32_t bits = el_bits_of_float(logit + 0.0f);
    return (bits & sign) ? ~bits : bits | sign;
}

float el_weight(const el_ranking *r, float logit)
{
    return r->counted ? 1.0f : el_expf(el_scaled(r, logit));
}

/* Sixteen at a time, in four chains that need not wait for each other, and no branch depends on a
 * logit. Each lane keeps the first of its largest. */
typedef float four __attribute__((vector_size(16)));
typedef int32_t four_bits __attribute__((vector_size(16)));
enum { CHAINS = 4, LANES = 4, STEP = CHAINS * LANES };

typedef struct leaders {
    four logit[CHAINS];
    four_bits at[CHAINS];
} leaders;

static inline four_bits choose(four_bits mask, four_bits a, four_bits b)
{
    return (mask & a) | (~mask & b);
}

static inline void meet(leaders *l, const float *logit, int32_t i)
{
    for (int32_t j = 0; j < CHAINS; j++) {
        const int32_t first = i + j * LANES;
        four x;
        memcpy(&x, logit + first, sizeof x);
        const four_bits mask = x > l->logit[j], at = (four_bits){0, 1, 2, 3} + first;
        l->logit[j] = (four)choose(mask, (four_bits)x, (four_bits)l->logit[j]);
        l->at[j] = choose(mask, at, l->at[j]);
    }
}

static uint32_t best_of_leaders(const leaders *l)
{
    float logit[STEP];
    int32_t at[STEP], best = 0;
    memcpy(logit, l->logit, sizeof logit);
    memcpy(at, l->at, sizeof at);
    for (int32_t i = 1; i < STEP; i++) {
        const bool equal = logit[i] == logit[best];
        if (logit[i] > logit[best] || (equal && at[i] < at[best])) best = i;
    }
    return (uint32_t)at[best];
}

uint32_t el_candidates_best(const el_candidates *c)
{
    const four lowest = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    leaders l = {.logit = {lowest, lowest, lowest, lowest}};
    uint32_t i = 0;
    for (; i + STEP <= c->n; i += STEP)
        meet(&l, c->logit, (int32_t)i);
    uint32_t best = best_of_leaders(&l);
    for (; i < c->n; i++)
        if (c->logit[i] > c->logit[best]) best = i;
    return c->logit[best] > c->logit[0] ? best : 0; /* nothing is larger than a first NaN */
}

el_ranking el_ranking_softmax(const el_candidates *c, float temperature)
{
    return (el_ranking){.largest = c->logit[el_candidates_best(c)], .temperature = temperature};
}

/* ---- the descent --------------------------------------------------------------------------- */

/* Where a descent stands: the bucket it is in, by its leading bits, and what lies above it. */
typedef struct descent {
    uint32_t level, bucket;
    double above; /* weight of all that are better than the bucket's */
} descent;

static inline uint32_t bucket_of(uint32_t key, uint32_t level)
{
    return key >> levels[level].shift & levels[level].mask;
}

/* Of the candidates in the bucket of the level before, the weights by the bits of this one. */
static void weigh_level(const el_candidates *c, const el_ranking *r, const descent *d)
{
    const uint32_t level = d->level, before = level > 0 ? level - 1 : 0;
    memset(c->mass, 0, BUCKETS * sizeof *c->mass);
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t key = key_of(r, c->logit[i]);
        if (level > 0 && key >> levels[before].shift != d->bucket) continue;
        c->mass[bucket_of(key, level)] += (double)el_weight(r, c->logit[i]);
    }
}

double el_candidates_weigh(const el_candidates *c, const el_ranking *r)
{
    double total = 0;
    weigh_level(c, r, &(descent){0});
    for (uint32_t b = BUCKETS; b-- > 0;)
        total += c->mass[b];
    return total;
}

static inline bool ends(double sum, double target, el_until until)
{
    return until == EL_UNTIL_REACHED ? sum >= target : sum > target;
}

/* Goes down into the bucket where the walk ends; if rounding hid it, the last that weighs. */
static void choose_bucket(const el_candidates *c, descent *d, double target, el_until until)
{
    uint32_t chosen = 0;
    double sum = d->above, above = d->above;
    for (uint32_t b = levels[d->level].mask + 1; b-- > 0;) {
        if (c->mass[b] == 0) continue;
        chosen = b, above = sum;
        sum += c->mass[b];
        if (ends(sum, target, until)) break;
    }
    const uint32_t bits = levels[d->level].mask + 1;
    d->bucket = d->level > 0 ? d->bucket * bits + chosen : chosen;
    d->above = above;
}

/* Drops what is worse than the bucket. Returns how many are in it; *last: the last of those. */
static uint32_t narrow(el_candidates *c, const el_ranking *r, const descent *d, uint32_t *last)
{
    uint32_t kept = 0, inside = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t bucket = key_of(r, c->logit[i]) >> levels[d->level].shift;
        if (bucket < d->bucket) continue;
        if (bucket == d->bucket) inside++, *last = kept;
        el_candidates_move(c, kept++, i);
    }
    c->n = kept;
    return inside;
}

/* Among those of one key, which come by their ids. */
static uint32_t walk_equals(const el_candidates *c, const el_ranking *r, const descent *d,
                            double target, el_until until)
{
    uint32_t end = 0;
    double sum = d->above;
    for (uint32_t i = 0; i < c->n; i++) {
        float weight = el_weight(r, c->logit[i]);
        if (key_of(r, c->logit[i]) != d->bucket || weight == 0) continue;
        end = i;
        sum += (double)weight;
        if (ends(sum, target, until)) break;
    }
    return end;
}

uint32_t el_candidates_walk(el_candidates *c, const el_ranking *r, double target, el_until until)
{
    descent d = {0};
    for (uint32_t end = 0;; d.level++) {
        if (d.level > 0) weigh_level(c, r, &d);
        choose_bucket(c, &d, target, until);
        if (narrow(c, r, &d, &end) == 1) return end;
        if (d.level == LEVELS - 1) return walk_equals(c, r, &d, target, until);
    }
}

float el_candidates_cut(el_candidates *c, const el_ranking *r, double target, el_until until)
{
    uint32_t end = el_candidates_walk(c, r, target, until), kept = 0;
    const float logit = c->logit[end];
    const uint32_t worst = key_of(r, logit);
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t key = key_of(r, c->logit[i]);
        if (key < worst || (key == worst && i > end)) continue;
        el_candidates_move(c, kept++, i);
    }
    c->n = kept;
    return logit;
}

/* ---- gathering ----------------------------------------------------------------------------- */

static float keep_best(el_candidates *c, uint32_t k)
{
    const el_ranking r = {.counted = true};
    el_candidates_weigh(c, &r);
    return el_candidates_cut(c, &r, k, EL_UNTIL_REACHED);
}

/* The best alone: what greedy sampling needs. */
static void gather_best(el_candidates *c, uint32_t vocab)
{
    c->n = vocab;
    const uint32_t best = el_candidates_best(c);
    c->logit[0] = c->logit[best];
    c->id[0] = best;
    c->n = c->logit[0] > -INFINITY;
}

/*
 * The candidates grow at the front of the array that is being read. Whenever k + room of them
 * have come together they are cut back to k, and from then on only what is better than the worst
 * of those is let in: an equal logit has the larger id. Mostly that is hardly any; at worst
 * (ascending logits) one cut, linear in k + room <= 2 room, comes on every `room` tokens.
 */
void el_candidates_gather(el_candidates *c, uint32_t vocab, uint32_t k)
{
    const uint32_t room = k > LEAST_ROOM ? k : LEAST_ROOM;
    const uint32_t full = k < vocab && room < vocab - k ? k + room : vocab + 1;
    float floor = -INFINITY;
    if (k == 1) {
        gather_best(c, vocab);
        return;
    }
    c->n = 0;
    for (uint32_t id = 0; id < vocab; id++) {
        if (!(c->logit[id] > floor)) continue;
        c->logit[c->n] = c->logit[id];
        c->id[c->n++] = id;
        if (c->n == full) floor = keep_best(c, k);
    }
    if (c->n > k) keep_best(c, k);
}
