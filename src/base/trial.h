/*
 * trial.h: how evenly a thread runs as it is scheduled now, beside a busy thread on the same core:
 * it looks at the clock without a pause, and where the clock jumps, something else ran.
 */
#ifndef EL_BASE_TRIAL_H
#define EL_BASE_TRIAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"

/* A thread that does nothing but run, with the caller's own policy and cores of when it started. */
typedef struct el_rival {
    pthread_t thread;
    _Atomic bool stop;
    bool runs;
} el_rival;

/* Returns 0 or an errno value. Stop it with el_rival_stop(), also after an error. */
int el_rival_start(el_rival *rival);
void el_rival_stop(el_rival *rival);

typedef struct el_trial {
    el_nanoseconds worst; /* the longest jump */
    el_nanoseconds lost;  /* all jumps of more than 50 microseconds */
    el_nanoseconds length;
} el_trial;

#define EL_TRIAL_LENGTH 8000000 /* two turns of an ordinary thread, or more */
#define EL_TRIAL_TOKEN  500000  /* after so long, border() is called, as between tokens */

/* One window of EL_TRIAL_LENGTH. */
el_trial el_trial_measure(void (*border)(void *context), void *context);

#endif
