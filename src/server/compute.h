/*
 * compute.h: the thread that computes. It opens the model and a scheduler, which belong to it, and
 * then does turns for the tasks that the network hands over; where there is none it sleeps. Between
 * the start and the end of an answer it allocates nothing and makes two calls of the kernel for a
 * turn at most: those that wake the network.
 */
#ifndef EL_SERVER_COMPUTE_H
#define EL_SERVER_COMPUTE_H

#include <pthread.h>
#include <sched.h>

#include "server/histogram.h"
#include "server/server.h"
#include "server/slots.h"
#include "server/tasks.h"

typedef enum el_readiness {
    EL_READINESS_LOADING,
    EL_READINESS_READY,
    EL_READINESS_FAILED, /* `error` says why; the thread has ended */
} el_readiness;

typedef struct el_compute_options {
    const char *model;
    edgellm_engine_options engine;
    edgellm_scheduler_options scheduler;
    uint32_t queue;            /* tasks that may wait for a slot */
    uint64_t own_bytes;        /* that the rest of the server takes: counted for max_ram */
    el_find_costs *find_costs; /* what computing takes, where it is known; or NULL */
    void *costs_context;
    uint64_t calibrate_ns;       /* else: how long to measure it */
    bool keeps_slots;            /* in files: restoring one needs memory for it */
    const cpu_set_t *cores;      /* on which to compute; NULL: all that are allowed */
    void (*wake)(void *context); /* called by the thread: something has changed */
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
    _Atomic int readiness; /* el_readiness; what follows is the network's to read from READY on */
    edgellm_error error;
    edgellm_engine *engine;
    edgellm_model_info info;
    edgellm_memory_plan memory; /* own_bytes and the tasks included */
    el_forecasts forecasts;
    el_tasks tasks;
    el_slots slots;
    el_compute_meters meters;
    /* the thread's own */
    edgellm_scheduler *scheduler;
    _Atomic bool is_stopping;
    el_task *running[EDGELLM_SCHEDULER_SLOTS];
    uint32_t n_running;
    el_task **waiting; /* (tasks), in the order in which they came */
    uint32_t n_waiting;
} el_compute;

/* Starts the thread; everything else is told by `readiness`. Errors: MEMORY. */
edgellm_status el_compute_start(el_compute *compute, const el_compute_options *options,
                                edgellm_error *err);

static inline el_readiness el_compute_readiness(const el_compute *compute)
{
    return (el_readiness)atomic_load_explicit(&compute->readiness, memory_order_acquire);
}

/* Ends it after the turn in hand, and whatever it computed. Also where it has failed. */
void el_compute_stop(el_compute *compute);

/* After that: lets tasks and engine go, which the network may still have in hand until here. */
void el_compute_close(el_compute *compute);

#endif
