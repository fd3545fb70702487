/*
 * tasks.h: requests on their way between the two threads of the server. All are made before the
 * first; each belongs to one thread at a time, and its stage says to which:
 *
 *   FREE     network   nobody's
 *   ASKED    compute   handed over; waits for a slot
 *   RUNNING  compute   has a slot
 *   ENDED    network   how it ended is there; el_tasks_abandon() makes it FREE
 *
 * The tokens of an answer stand behind those of its prompt, where there is room for all of them,
 * with when each came and how probable it was, and are counted when they are there: the network
 * reads as far as the count, so that a reader who is slow holds nobody up, and nothing can be full.
 */
#ifndef EL_SERVER_TASKS_H
#define EL_SERVER_TASKS_H

#include <semaphore.h>
#include <stdatomic.h>

#include "edgellm.h"
#include "server/ring.h"

typedef enum el_stage { EL_STAGE_FREE, EL_STAGE_ASKED, EL_STAGE_RUNNING, EL_STAGE_ENDED } el_stage;

/* What has become of another deadline for a task that waits or runs. */
typedef enum el_change {
    EL_CHANGE_NONE,
    EL_CHANGE_ASKED,  /* by the network: it is the compute thread's to answer */
    EL_CHANGE_TAKEN,  /* the network's again */
    EL_CHANGE_REFUSED /* likewise; changed.error says why */
} el_change;

enum { EL_TASK_BIASES = 300 };

typedef struct el_task {
    /* set by the network before it is handed over */
    uint32_t *tokens; /* (context + answer + 1) */
    edgellm_request request;
    edgellm_sampler_options sampler; /* without lists but this one */
    edgellm_logit_bias biases[EL_TASK_BIASES];
    float adapters[8];        /* scales, if the request has its own */
    edgellm_grammar *grammar; /* that the request has; owned; NULL: none */
    bool may_shorten;         /* max_tokens is a bound: with a deadline, as many as fit */
    uint64_t asked_ns;
    uint64_t *times; /* (answer + 1) when each token of the answer came; by the compute thread */
    float *logprobs; /* (answer + 1) of each, if the request wants them; likewise */
    edgellm_logprob *top; /* (answer + 1, request.top_logprobs) beside each; likewise */
    float *embedding;     /* (dim) instead, if the request wants one; likewise */
    /* set by the compute thread */
    uint64_t id;                        /* of the scheduler */
    uint64_t began_ns;                  /* it got a slot */
    bool was_taken;                     /* and was not refused then */
    uint32_t cached;                    /* tokens of its prompt that the slot held already */
    _Atomic uint32_t n_shifts;          /* of its context */
    _Atomic uint64_t first_ns, last_ns; /* of its tokens, or when its embedding was there */
    uint64_t hash;                      /* as of the last token that was added */
    edgellm_forecast forecast;          /* all 0: none was made */
    edgellm_finish finish;
    edgellm_error error; /* its status is OK: it ended as `finish` says */
    /* seen by both */
    _Atomic uint32_t stage; /* el_stage */
    _Atomic uint32_t n_answer;
    _Atomic bool is_cancelled;
    struct {
        _Atomic uint32_t state;    /* el_change */
        uint64_t deadline_ns;      /* as it is to be */
        edgellm_forecast forecast; /* from its start on; all 0: it waits for a slot */
        edgellm_error error;
    } changed;
    /* the network's own: nobody waits for it any more */
    bool is_orphan;
} el_task;

/* What there is room for. */
typedef struct el_tasks_room {
    uint32_t n, context;
    uint32_t answer; /* tokens of an answer at most: as many as the context has, or more */
    uint32_t top;    /* probable tokens that are told beside each */
    uint32_t dim;    /* of embeddings */
} el_tasks_room;

typedef struct el_tasks {
    el_task *list; /* (n) */
    uint32_t n, dim, answer;
    uint32_t *memory; /* of all tokens and the ring */
    uint64_t *times;
    float *logprobs;
    edgellm_logprob *top;
    float *embeddings;
    el_ring asked;
    sem_t *wake;        /* of the compute thread: its own */
    uint32_t n_orphans; /* the network's own */
} el_tasks;

/* What el_tasks_open() will allocate. */
uint64_t el_tasks_bytes(const el_tasks_room *room);

/* wake: what the thread that computes sleeps on. Errors: MEMORY. */
edgellm_status el_tasks_open(el_tasks *tasks, const el_tasks_room *room, sem_t *wake,
                             edgellm_error *err);
void el_tasks_close(el_tasks *tasks);

static inline el_stage el_task_stage(const el_task *task)
{
    return (el_stage)atomic_load_explicit(&task->stage, memory_order_acquire);
}

/* ---- by the network ------------------------------------------------------------------------ */

/* One that is free, zeroed; NULL if there is none. It stays free until it is handed over. */
el_task *el_tasks_find(el_tasks *tasks);

/* The same, behind that one, for who needs several. */
el_task *el_tasks_find_next(el_tasks *tasks, const el_task *task);

/* How many are free. */
uint32_t el_tasks_n_free(const el_tasks *tasks);
void el_tasks_hand_over(el_tasks *tasks, el_task *task);

/* Asks for its end; ENDED comes soon. Not after ENDED. */
void el_tasks_cancel(el_tasks *tasks, el_task *task);

/* Asks for another deadline (0: none); the answer is task->changed. False: the last change has no
 * answer yet. */
bool el_tasks_change(el_tasks *tasks, el_task *task, uint64_t deadline_ns);

static inline el_change el_task_change(const el_task *task)
{
    return (el_change)atomic_load_explicit(&task->changed.state, memory_order_acquire);
}

/* Nobody waits for it any more: it is cancelled, and free once it has ended. */
void el_tasks_abandon(el_tasks *tasks, el_task *task);

/* Frees those that have ended and that nobody waits for. */
void el_tasks_sweep(el_tasks *tasks);

/* None is in use; those that can be are freed. */
bool el_tasks_are_free(el_tasks *tasks);

/* In how many seconds, 1 .. 600, a slot should be free, or all of them, by the pace of those that
 * run. */
uint32_t el_tasks_retry_after(const el_tasks *tasks, uint64_t now_ns);
uint32_t el_tasks_all_after(const el_tasks *tasks, uint64_t now_ns);

/* ---- by the compute thread ----------------------------------------------------------------- */

/* The next that was handed over; NULL if there is none. */
el_task *el_tasks_next(el_tasks *tasks);

/* Sleeps until something was handed over or cancelled, or somebody posted it. */
void el_tasks_wait(sem_t *wake);

/* What was probable beside the next token: (request.top_logprobs). Before that is added. */
void el_task_set_top(el_task *task, const edgellm_logprob *top);

/* What it wanted instead of an answer; before it ends. */
void el_tasks_set_embedding(const el_tasks *tasks, el_task *task, const float *embedding);

/* Adds a token of the answer, then shows it. */
void el_task_add(el_task *task, uint32_t token, float logprob, uint64_t now_ns);

/* A change is answered: what the answer is made of stands in task->changed. */
void el_task_answer_change(el_task *task, el_change change);

/* Ends it, or notes that it has a slot. */
void el_task_set_stage(el_task *task, el_stage stage);

#endif
