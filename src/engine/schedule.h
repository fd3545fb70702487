/*
 * schedule.h: which of several jobs on one engine is computed next. Pure functions of numbers: no
 * clock, no threads, no memory of their own, so that all of it is proven on a made-up clock
 * (tests/test_schedule.c).
 *
 * A job is a prompt and the steps that follow it, with a deadline (a promise) or without. Time goes
 * in actions that nothing interrupts: a part of a prompt, or a step of each of several jobs in one
 * pass. Promised jobs go by their deadlines, the earliest first, and
 *
 *   a promise holds while   ADMITTED_AT * (what is left of it and of all before it, computed one
 *                           after the other, + its margin)  <=  the time until its deadline.
 *
 * It is given only if it and all others then hold. Computing the first of them keeps all: what is
 * left falls by an action's forecast, and the time by no more than ADMITTED_AT times that. Whatever
 * else is computed (others that ride along in a pass, prompts that come later, jobs without a
 * deadline) has to leave every promise holding. So no promise is broken while no action takes more
 * than ADMITTED_AT times its forecast.
 *
 * A job of higher priority than the first promise goes before it where every promise then holds.
 * Jobs without a deadline go by their priority: those of a lower one only ride along while there is
 * a higher one.
 *
 * A job that shifts goes on when its context is full: all but the first `keep` tokens and the newer
 * half of the others are forgotten, and those with the token that comes next are its prompt anew
 * (el_schedule_shift()). What that takes is part of what is left of it from the beginning.
 */
#ifndef EL_ENGINE_SCHEDULE_H
#define EL_ENGINE_SCHEDULE_H

#include "base/clock.h"
#include "base/error.h"
#include "engine/forecast.h"

typedef struct el_job {
    bool active;
    uint32_t position;       /* tokens that are computed */
    uint32_t prompt;         /* tokens of its prompt that are not, yet */
    uint32_t steps;          /* after the prompt: tokens of the answer but for its first */
    el_nanoseconds deadline; /* 0: none */
    int32_t priority;        /* the larger goes first */
    uint32_t context;        /* that it shifts at; 0: it does not */
    uint32_t keep;           /* tokens that stay, less than `context` by 2 at least */
    uint32_t from;           /* the first of them that is computed again: `keep`, none, or 0 */
    el_choice choice;        /* of each of its tokens */
    uint64_t order;          /* of arrival */
    uint64_t served;         /* the last action that was for it; before that: when it came */
    double prompt_time;      /* forecast of what is left of the prompt, and the first token */
    double prompt_margin;    /* of the last of them */
    double shift_time;       /* forecast of the prompt that a shift is, likewise */
} el_job;

/* Tokens that a shift drops of a full context, and those that are computed with it: what stays
 * behind `keep`, and the next. */
static inline uint32_t el_shift_drops(uint32_t context, uint32_t keep)
{
    return (context - keep) / 2;
}
static inline uint32_t el_shift_prompt(uint32_t context, uint32_t keep)
{
    return context - keep - el_shift_drops(context, keep) + 1;
}

/* Of what an action may take, what a part of a prompt takes that leaves a rest: the last part may
 * be longer, rather than leave a small one, which would be a pass over the weights more. */
#define EL_CHUNK_SHARE 0.8

typedef struct el_schedule {
    edgellm_costs costs; /* zeroes: nothing is known, all fits */
    double bound;        /* nanoseconds that an action may take, if it is more than one token; of a
                            prompt's last part its choice is not counted */
    uint32_t batch;      /* most tokens of an action */
    uint32_t n_jobs;     /* 1 .. EDGELLM_SCHEDULER_SLOTS */
    uint64_t arrived, actions;
    bool aside; /* the last action was not for the first promise */
    el_job jobs[EDGELLM_SCHEDULER_SLOTS];
} el_schedule;

typedef enum el_action_kind {
    EL_ACTION_NONE,  /* there is no job */
    EL_ACTION_END,   /* jobs[0] gets no further token in time: end it, and ask again */
    EL_ACTION_CHUNK, /* the next `tokens` of the prompt of jobs[0] */
    EL_ACTION_PASS   /* a step of each of `tokens` jobs */
} el_action_kind;

typedef struct el_action {
    el_action_kind kind;
    uint32_t tokens;
    uint32_t jobs[EDGELLM_SCHEDULER_SLOTS]; /* those of a pass, or one */
    double time;                            /* forecast */
    bool aside;                             /* there are promises, and it is not for the first */
} el_action;

/* Sets the costs anew for all jobs. They are good (el_costs_check()). */
void el_schedule_set_costs(el_schedule *s, const edgellm_costs *costs);

/* What is expected of a job that arrives now. It is looked at for position, prompt (1 or more),
 * steps, choice, deadline, priority, context, keep and from. admitted: with its deadline its
 * promise and all others hold; a job without one is admitted, and expected after all that is there
 * and has no lower priority. tokens: of its answer, how many would be.
 */
edgellm_forecast el_schedule_forecast(const el_schedule *s, const el_job *arriving,
                                      el_nanoseconds now);

/* Takes a job, of which the same is looked at, at a place that is not active. */
void el_schedule_add(el_schedule *s, uint32_t place, const el_job *arriving);

/* What is expected of a job that is there, if it had that deadline; if its promise and all others
 * hold with it (admitted), it has it from now on. tokens: of those that are left. */
edgellm_forecast el_schedule_set_deadline(el_schedule *s, uint32_t place, el_nanoseconds deadline,
                                          el_nanoseconds now);

/* What comes next. No job may have neither prompt nor steps left. */
el_action el_schedule_next(const el_schedule *s, el_nanoseconds now);

/* For how long something else may compute first, and every promise still holds: INFINITY if there
 * is none, below 0 if one does not hold now. */
double el_schedule_slack(const el_schedule *s, el_nanoseconds now);

/* It was done. */
void el_schedule_did(el_schedule *s, const el_action *action);

/* Is the context of a job full, of which more tokens are to come? Then its next step is a shift. */
bool el_schedule_is_full(const el_schedule *s, uint32_t place);
void el_schedule_shift(el_schedule *s, uint32_t place);

#endif
