/*
 * forecast.h: how long computing will take, from what it took before (edgellm_costs). Pure
 * functions of numbers: no clock is read, so that all of it is proven on a made-up one
 * (tests/test_forecast.c). Times are nanoseconds.
 */
#ifndef EL_ENGINE_FORECAST_H
#define EL_ENGINE_FORECAST_H

#include "base/error.h"

/* Errors: USAGE, naming what is wrong. */
edgellm_status el_costs_check(const edgellm_costs *costs, edgellm_error *err);

/* One step at `position`; n of them, one after the other, from there. */
double el_forecast_step(const edgellm_costs *costs, uint32_t position);
double el_forecast_steps(const edgellm_costs *costs, uint32_t position, uint32_t n);

/* n tokens in one batch, the first at `position`. One token is a step. */
double el_forecast_chunk(const edgellm_costs *costs, uint32_t position, uint32_t n);

/* A step of each of `count` sessions, 1 or more, in one pass; their positions add up to
 * `positions`. Where passes were not measured, as long as one after the other. */
double el_forecast_pass(const edgellm_costs *costs, uint32_t count, uint64_t positions);

/* The time that must be left for that to begin: a step's with its margin. Of a part of a prompt
 * that margin, but no more of it than what is admitted has: a prompt that is on time goes on. */
double el_forecast_needed(const edgellm_costs *costs, uint32_t position, uint32_t n);

/* A prompt of n tokens in chunks of `batch`, 1 or more. */
double el_forecast_prompt(const edgellm_costs *costs, uint32_t position, uint32_t n,
                          uint32_t batch);

/* How many steps from `position` on, each with `more` beyond it, `most` at most, take no longer
 * than `time`. */
uint32_t el_forecast_fitting(const edgellm_costs *costs, uint32_t position, uint32_t most,
                             double more, double time);

/* What belongs to the choice of a token, beside what every step has. */
typedef struct el_choice {
    bool grammar, logprobs, top; /* top: the most probable are told beside it */
} el_choice;

/* What that takes beyond a step, or a chunk. */
double el_forecast_choice(const edgellm_costs *costs, el_choice choice);

/* What is asked of a session. */
typedef struct el_forecast_question {
    uint32_t position, batch;
    uint32_t prompt;  /* tokens to compute first; 0: the logits are there */
    uint32_t answer;  /* tokens, 1 or more */
    double within;    /* time there is */
    el_choice choice; /* of each token */
} el_forecast_question;

edgellm_forecast el_forecast_answer(const edgellm_costs *costs, const el_forecast_question *q);

#endif
