/*
 * compute.h: the thread that computes. It makes models ready (generation.h) and then does turns of
 * their schedulers for the tasks that the network hands over; where there is none it sleeps.
 * Between the start and the end of an answer it allocates nothing. Of a turn it calls the kernel to
 * wake the network; or, where it shares a core with that, to send what comes next of each stream.
 *
 * Two models at a time share it, while one takes the other's place: each has an action in turn.
 * Promises of deadlines are given by one of them at a time, the earlier first, and nothing is done
 * for the other, nor to make it ready, that would not leave all of them holding
 * (edgellm_scheduler_slack()).
 */
#ifndef EL_SERVER_COMPUTE_H
#define EL_SERVER_COMPUTE_H

#include <pthread.h>

#include "server/generation.h"
#include "server/histogram.h"

typedef struct el_compute_options {
    el_generation_options model;
    uint64_t patience_ns; /* a model that is made ready waits so long for promises to leave time;
                             then no new ones are given until they do */
    /* called by the thread: */
    void (*wake)(void *context); /* something has changed */
    void (*show)(void *context); /* no more than that tokens have come, of answers that go on */
    void *context;
} el_compute_options;

/* What it counts; anybody may read it. */
typedef struct el_compute_meters {
    el_histogram queue, first; /* from the request to a session, and to the first token */
    el_histogram gap;          /* from a token of an answer to the next */
    el_counter accepted;       /* deadlines */
} el_compute_meters;

typedef struct el_compute {
    el_compute_options options;
    pthread_t thread;
    el_generation generations[EL_GENERATIONS];
    el_compute_meters meters;
    sem_t wake;
    _Atomic bool is_stopping;
    _Atomic uint32_t moves; /* of the thread; odd: it is to go on at once */
    bool is_holding;        /* the thread's own: no new promises */
} el_compute;

/* Starts the thread. Errors: MEMORY. */
edgellm_status el_compute_start(el_compute *compute, const el_compute_options *options,
                                edgellm_error *err);

/* One that is NONE is to be made ready; or one that is READY, whose tasks are all free, let go. */
void el_compute_give(el_compute *compute, el_generation *g);
void el_compute_retire(el_compute *compute, el_generation *g);

/* Has the thread not gone on since it was last asked, which *moves remembers, although it should?
 * One that sleeps or makes a model ready, for however long, is not stuck. */
bool el_compute_is_stuck(const el_compute *compute, uint32_t *moves);

/* Ends it after the turn in hand, and whatever it computed. */
void el_compute_stop(el_compute *compute);

/* After that: lets tasks and engines go, which the network may still have in hand until here. */
void el_compute_close(el_compute *compute);

#endif
