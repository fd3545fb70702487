#include "train/allocate.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MEGABYTE 1000000

/* A way from one point of a matrix's hull to the next. */
typedef struct step {
    double gain, rate; /* less damage; of that per byte */
    uint64_t bytes;    /* more */
    uint32_t matrix, order, candidate;
} step;

/* A matrix's hull, from the smallest candidate on. */
typedef struct hull {
    uint32_t points[EL_CANDIDATES_MAX], count;
} hull;

typedef struct search {
    const el_allocation *matrices;
    uint32_t n;
    uint64_t room; /* bytes for matrices */
    step *steps;   /* steepest first */
    size_t count;
    bool *stuck;      /* (n): a step did not fit */
    uint32_t *choice; /* (n) */
    uint64_t bytes;   /* of the choice */
} search;

/* ---- hulls ------------------------------------------------------------------------------ */

/* Smaller first; of the same size, the better one. */
static bool goes_before(const el_candidate *c, uint32_t a, uint32_t b)
{
    if (c[a].bytes != c[b].bytes) return c[a].bytes < c[b].bytes;
    if (c[a].damage != c[b].damage) return c[a].damage < c[b].damage;
    return a < b;
}

static void sort_by_size(const el_allocation *m, uint32_t *order)
{
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t at = i;
        for (; at > 0 && goes_before(m->candidates, i, order[at - 1]); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static double rate_between(const el_candidate *from, const el_candidate *to)
{
    return (from->damage - to->damage) / (double)(to->bytes - from->bytes);
}

/* Adds the next larger candidate, and takes away the points that it makes dents of. */
static void extend(hull *h, const el_candidate *c, uint32_t candidate)
{
    const el_candidate *to = &c[candidate];
    if (h->count > 0 && to->damage >= c[h->points[h->count - 1]].damage) return;
    while (h->count > 1) {
        const el_candidate *last = &c[h->points[h->count - 1]];
        const el_candidate *before = &c[h->points[h->count - 2]];
        if (rate_between(before, last) >= rate_between(last, to)) break;
        h->count--;
    }
    h->points[h->count++] = candidate;
}

static hull hull_of(const el_allocation *m)
{
    uint32_t order[EL_CANDIDATES_MAX];
    hull h = {.count = 0};
    if (m->fixed >= 0) return (hull){{(uint32_t)m->fixed}, 1};
    sort_by_size(m, order);
    for (uint32_t i = 0; i < m->count; i++)
        extend(&h, m->candidates, order[i]);
    return h;
}

/* ---- one search ------------------------------------------------------------------------- */

static int by_rate(const void *a, const void *b)
{
    const step *s = a, *t = b;
    if (s->rate != t->rate) return s->rate > t->rate ? -1 : 1;
    if (s->matrix != t->matrix) return s->matrix < t->matrix ? -1 : 1;
    return s->order < t->order ? -1 : s->order > t->order;
}

/* Everything as small as it gets, and the steps from there. */
static void begin(search *s)
{
    s->count = 0;
    s->bytes = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const el_candidate *c = s->matrices[i].candidates;
        hull h = hull_of(&s->matrices[i]);
        s->choice[i] = h.points[0];
        s->bytes += c[h.points[0]].bytes;
        s->stuck[i] = false;
        for (uint32_t k = 1; k < h.count; k++) {
            const el_candidate *from = &c[h.points[k - 1]], *to = &c[h.points[k]];
            s->steps[s->count++] = (step){from->damage - to->damage,
                                          rate_between(from, to),
                                          to->bytes - from->bytes,
                                          i,
                                          k,
                                          h.points[k]};
        }
    }
    qsort(s->steps, s->count, sizeof *s->steps, by_rate);
}

static void climb(search *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const step *t = &s->steps[i];
        if (t->bytes > s->room - s->bytes) s->stuck[t->matrix] = true;
        if (s->stuck[t->matrix]) continue;
        s->choice[t->matrix] = t->candidate;
        s->bytes += t->bytes;
    }
}

/* Is a change better than the best so far? It gains more, or as much for fewer bytes. */
static bool is_better(double gain, uint64_t bytes, double best_gain, uint64_t best_bytes)
{
    return gain > best_gain || (gain == best_gain && gain > 0 && bytes < best_bytes);
}

/* The single change of the largest gain that fits; false if there is none. */
static bool fill_once(search *s)
{
    double best = 0;
    uint64_t least = 0;
    uint32_t matrix = 0, candidate = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const el_allocation *m = &s->matrices[i];
        const el_candidate *now = &m->candidates[s->choice[i]];
        for (uint32_t k = 0; k < m->count && m->fixed < 0; k++) {
            const el_candidate *c = &m->candidates[k];
            if (c->bytes > now->bytes + (s->room - s->bytes)) continue;
            if (!is_better(now->damage - c->damage, c->bytes, best, least)) continue;
            best = now->damage - c->damage;
            least = c->bytes;
            matrix = i;
            candidate = k;
        }
    }
    if (!(best > 0)) return false;
    const el_candidate *c = s->matrices[matrix].candidates;
    s->bytes = s->bytes - c[s->choice[matrix]].bytes + c[candidate].bytes;
    s->choice[matrix] = candidate;
    return true;
}

static double damage_of(const search *s)
{
    double sum = 0;
    for (uint32_t i = 0; i < s->n; i++)
        sum += s->matrices[i].candidates[s->choice[i]].damage;
    return sum;
}

/* False if not even the smallest fits. */
static bool run(search *s)
{
    begin(s);
    if (s->bytes > s->room) return false;
    climb(s);
    while (fill_once(s)) {
    }
    return true;
}

/* ---- all of them ------------------------------------------------------------------------ */

/* The matrix whose candidates differ most in size: where a step that does not fit leaves most. */
static uint32_t lumpiest(const el_allocation *m, uint32_t n)
{
    uint64_t most = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        hull h = hull_of(&m[i]);
        uint64_t span =
            m[i].candidates[h.points[h.count - 1]].bytes - m[i].candidates[h.points[0]].bytes;
        if (span <= most) continue;
        most = span;
        at = i;
    }
    return at;
}

static edgellm_status too_small(const search *s, uint64_t base, uint64_t budget, edgellm_error *err)
{
    uint64_t least = (base + s->bytes + MEGABYTE - 1) / MEGABYTE;
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "%" PRIu64 ".%" PRIu64
                   " MB are too few for this model: the smallest file that can "
                   "be made of it has %" PRIu64 " MB",
                   budget / MEGABYTE, budget % MEGABYTE / (MEGABYTE / 10), least);
}

/* Runs with each candidate of one matrix, and writes down the best choice. */
static void search_all(search *s, el_allocation *m)
{
    uint32_t lump = lumpiest(m, s->n), tries = m[lump].fixed < 0 ? m[lump].count : 0;
    int32_t asked = m[lump].fixed;
    double best = 0;
    bool found = false;
    for (uint32_t k = 0; k <= tries; k++) {
        m[lump].fixed = k < tries ? (int32_t)k : asked;
        if (!run(s)) continue;
        double damage = damage_of(s);
        if (found && damage >= best) continue;
        found = true;
        best = damage;
        for (uint32_t i = 0; i < s->n; i++)
            m[i].choice = s->choice[i];
    }
}

edgellm_status el_allocate(el_allocation *matrices, uint32_t n, uint64_t base, uint64_t budget,
                           edgellm_error *err)
{
    search s = {.matrices = matrices, .n = n, .room = budget > base ? budget - base : 0};
    edgellm_status status = EDGELLM_OK;
    s.steps = calloc((size_t)n * EL_CANDIDATES_MAX + 1, sizeof *s.steps);
    s.stuck = calloc((size_t)n + 1, sizeof *s.stuck);
    s.choice = calloc((size_t)n + 1, sizeof *s.choice);
    if (!s.steps || !s.stuck || !s.choice) {
        status =
            el_fail(err, EDGELLM_ERR_MEMORY, "out of memory: to choose the bits of %u matrices", n);
    } else {
        begin(&s);
        if (s.bytes > s.room || budget < base) status = too_small(&s, base, budget, err);
        if (status == EDGELLM_OK && n > 0) search_all(&s, matrices);
    }
    free(s.steps);
    free(s.stuck);
    free(s.choice);
    return status;
}
