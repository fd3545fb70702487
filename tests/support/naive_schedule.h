/*
 * naive_schedule.h: the numbers that the scheduler goes by, worked out token by token and job by
 * job, from the jobs as they are.
 */
#ifndef TEST_NAIVE_SCHEDULE_H
#define TEST_NAIVE_SCHEDULE_H

#include "engine/schedule.h"

/* Tokens of the next part of a prompt of which `left` are left. */
uint32_t naive_chunk(const el_schedule *s, uint32_t position, uint32_t left);

/* What each token of a job takes beyond a step. */
double naive_choice(const el_schedule *s, const el_job *j);

/* What a part of a prompt, or a step, of a job takes. */
double naive_action(const el_schedule *s, const el_job *j, uint32_t tokens);

/* The rest of a job's prompt in its parts; *last: tokens of the last of them. */
double naive_prompt(const el_schedule *s, const el_job *j, uint32_t *last);

/* The rest of a job, and of each that is active (rests: (n_jobs)). */
double naive_rest(const el_schedule *s, const el_job *j);
void naive_rests(const el_schedule *s, double *rests);

double naive_margin(const el_schedule *s, const el_job *j);

/* What is left of all promises up to that of j, itself included. */
double naive_until(const el_schedule *s, const el_job *j, const double *rests);

/* By how much the time until a deadline is more than is needed, the least of all promises. */
double naive_slack(const el_schedule *s, el_nanoseconds now);

/* NULL: there is none. */
const el_job *first_promise(const el_schedule *s);

#endif
