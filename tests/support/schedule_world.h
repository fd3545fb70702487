/*
 * schedule_world.h: jobs that come and go on a made-up clock, by the scheduler's rules. Whatever it
 * does is looked at: what must be true of an action, what became of each job; what is expected is
 * worked out once more, naively.
 */
#ifndef TEST_SCHEDULE_WORLD_H
#define TEST_SCHEDULE_WORLD_H

#include "support/naive_schedule.h"
#include "support/test_help.h"

enum { MOST = 64, START = 1000 };

/* What happened to a job. */
typedef struct life {
    el_job job;                                       /* as it arrived */
    el_nanoseconds arrives, comes, first_at, ends_at; /* comes: at a border of actions */
    uint32_t place, tokens;                           /* of its answer */
    bool is_in, refused, was_ended, was_first;        /* was_first: no promise was before it */
    uint64_t seen;                                    /* the action that last served it */
} life;

/* How long an action really takes. */
typedef double (*noise_fn)(const el_action *a, uint64_t *random);

typedef struct world {
    el_schedule s;
    el_nanoseconds now;
    life lives[MOST];
    uint32_t n;
    noise_fn noise;
    uint64_t random;
    el_action last;
    double longest;       /* action that was */
    bool is_large;        /* more jobs than places; looked at closely now and then */
    bool is_ranked;       /* there are priorities */
    uint64_t quiet_since; /* the last action with a promise in wait */
    uint64_t chunk_seen;  /* the last that was a chunk, or left no prompt in wait */
    uint32_t refused, asides, shared, ended, shifts, urgent; /* counted */
} world;

/* As it is forecast; as much longer as is promised, rounded down to whole numbers; some more or
 * less. */
double exact(const el_action *a, uint64_t *random);
double slow(const el_action *a, uint64_t *random);
double mild(const el_action *a, uint64_t *random);

/* n_jobs: there is none. */
uint32_t free_place(const el_schedule *s);

/* Contexts that are full are so no more: what stays has room for half of what it drops, at least.
 */
void shift_full(world *w);

/* All jobs from arrival to end. */
void live(world *w);

/* No promise was broken; and who came with the earliest deadline, or the highest priority, had its
 * first token after its own prompt and at most one action, in which it came. */
void check_lives(const world *w);

#endif
