/*
 * generation.h: a model that is served, with all that belongs to it: its engine, its scheduler, the
 * tasks that were accepted for it. There are two at most: the one that new requests go to, and
 * another that is being made ready or whose last requests end. Its stage says whose it is:
 *
 *   NONE     network   nothing, but perhaps an engine
 *   GIVEN    compute   to be made ready
 *   READY    both      tasks go to and fro (tasks.h)
 *   FAILED   network   `error` says why; there is no scheduler
 *   RETIRED  compute   all tasks are free, and stay so: it is to be let go
 *   LEFT     network   to be closed
 */
#ifndef EL_SERVER_GENERATION_H
#define EL_SERVER_GENERATION_H

#include <sched.h>

#include "server/server.h"
#include "server/slots.h"
#include "server/tasks.h"

enum { EL_GENERATIONS = 2 };

typedef enum el_generation_stage {
    EL_GENERATION_NONE,
    EL_GENERATION_GIVEN,
    EL_GENERATION_READY,
    EL_GENERATION_FAILED,
    EL_GENERATION_RETIRED,
    EL_GENERATION_LEFT
} el_generation_stage;

/* What all have in common. */
typedef struct el_generation_options {
    const char *model; /* the path */
    edgellm_engine_options engine;
    edgellm_scheduler_options scheduler;
    uint32_t queue;            /* tasks that may wait for a slot */
    uint32_t answer;           /* tokens of one at most; less than a context: as many as that */
    uint32_t top_logprobs;     /* the most that a task may want */
    uint64_t own_bytes;        /* that the rest of the server takes: counted for max_ram */
    el_find_costs *find_costs; /* what computing takes, where it is known; or NULL */
    void *costs_context;
    uint64_t calibrate_ns;  /* else: how long to measure it */
    bool keeps_slots;       /* in files: restoring one needs memory for it */
    const cpu_set_t *cores; /* on which to compute; NULL: all that are allowed */
} el_generation_options;

typedef struct el_generation {
    _Atomic int stage; /* el_generation_stage; what follows begins as zeroes */
    uint64_t number;   /* the earlier one is the smaller */
    uint64_t program;  /* bytes of the program when nothing was loaded; 0: it is the first */
    char kernel[16];   /* to be used; "": as the options say */
    bool verifies;     /* the weights are checked, too */
    bool looks;        /* it is opened to be looked at: mapped, whatever the options say */
    bool is_back;      /* it is `file` that is opened, whatever has its name by now */
    int file;          /* of the model, open: it is there even when its name is not; -1: none */
    edgellm_engine *engine;
    edgellm_model_info info;
    edgellm_memory_plan memory; /* what the server has, and the tasks, included */
    char fingerprint[64];       /* what an answer's bits depend on */
    el_tasks tasks;
    el_slots slots;
    el_forecasts forecasts;
    edgellm_error error;
    /* the compute thread's own */
    edgellm_scheduler *scheduler;
    edgellm_costs costs;
    el_task *running[EDGELLM_SCHEDULER_SLOTS];
    uint32_t n_running;
    el_task **waiting; /* (tasks), in the order in which they came */
    uint32_t n_waiting;
} el_generation;

static inline el_generation_stage el_generation_stage_of(const el_generation *g)
{
    return (el_generation_stage)atomic_load_explicit(&g->stage, memory_order_acquire);
}

static inline void el_generation_set_stage(el_generation *g, el_generation_stage stage)
{
    atomic_store_explicit(&g->stage, (int)stage, memory_order_release);
}

/* ---- by whoever has it --------------------------------------------------------------------- */

/* It holds nothing. */
void el_generation_clear(el_generation *g);

/* Opens the engine. Errors: as edgellm_engine_open(); IO (the file was replaced meanwhile). */
edgellm_status el_generation_load(el_generation *g, const el_generation_options *o,
                                  edgellm_error *err);

/* Closes the engine, and keeps the file. */
void el_generation_unload(el_generation *g);

/* Says in `memory` what it would take, of an engine that is open. Errors: as
 * edgellm_scheduler_plan(); MEMORY (more than max_ram). */
edgellm_status el_generation_plan(el_generation *g, const el_generation_options *o,
                                  edgellm_error *err);

/* Everything; takes some time. */
void el_generation_close(el_generation *g);

/* ---- by the compute thread ----------------------------------------------------------------- */

/* Asked before each piece of work, with what it may take in nanoseconds (0: nobody knows); false:
 * it is wanted no more. */
typedef struct el_generation_pauses {
    bool (*before)(void *context, double ns);
    void *context;
} el_generation_pauses;

/* Opens what there is not yet, and measures. Errors: as edgellm_engine_open() and
 * edgellm_scheduler_open(), MEMORY, INTERRUPTED. After an error there is no scheduler. */
edgellm_status el_generation_open(el_generation *g, const el_generation_options *o, sem_t *wake,
                                  const el_generation_pauses *pauses, edgellm_error *err);

#endif
