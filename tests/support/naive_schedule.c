#include "support/naive_schedule.h"

#include "engine/forecast.h"

uint32_t naive_chunk(const el_schedule *s, uint32_t position, uint32_t left)
{
    for (uint32_t n = left < s->batch ? left : s->batch; n > 1; n--)
        if (el_forecast_chunk(&s->costs, position, n) <= s->bound * (n == left ? 1 : 0.8)) return n;
    return 1;
}

double naive_choice(const el_schedule *s, const el_job *j)
{
    double time = 0;
    if (j->choice.grammar) time += s->costs.mask;
    if (j->choice.logprobs) time += s->costs.logprobs;
    if (j->choice.top) time += s->costs.top_logprobs;
    return time;
}

double naive_action(const el_schedule *s, const el_job *j, uint32_t tokens)
{
    const double time = el_forecast_chunk(&s->costs, j->position, tokens);
    return j->prompt == 0 || j->prompt == tokens ? time + naive_choice(s, j) : time;
}

double naive_prompt(const el_schedule *s, const el_job *j, uint32_t *last)
{
    double time = 0;
    *last = 0;
    for (uint32_t done = 0; done < j->prompt; done += *last) {
        *last = naive_chunk(s, j->position + done, j->prompt - done);
        time += el_forecast_chunk(&s->costs, j->position + done, *last);
    }
    return j->prompt > 0 ? time + naive_choice(s, j) : time;
}

/* Token by token; where the context is full the next is the last of a prompt of those that stay. */
double naive_rest(const el_schedule *s, const el_job *j)
{
    uint32_t last, position = j->position + j->prompt;
    double time = naive_prompt(s, j, &last);
    const uint32_t behind = j->context - j->keep;
    const el_job shift = {.position = j->from,
                          .choice = j->choice,
                          .prompt = j->keep - j->from + behind - behind / 2 + 1};
    const double shift_time = j->context > 0 ? naive_prompt(s, &shift, &last) : 0;
    for (uint32_t i = 0; i < j->steps; i++, position++) {
        if (j->context > 0 && position == j->context) {
            time += shift_time;
            position = j->keep + behind - behind / 2;
        } else {
            time += el_forecast_step(&s->costs, position) + naive_choice(s, j);
        }
    }
    return time;
}

double naive_margin(const el_schedule *s, const el_job *j)
{
    uint32_t last;
    naive_prompt(s, j, &last);
    if (j->context > 0) /* who knows */
        return s->costs.step_margin > s->costs.chunk_margin ? s->costs.step_margin
                                                            : s->costs.chunk_margin;
    return j->steps > 0 || last == 1 ? s->costs.step_margin : s->costs.chunk_margin;
}

static bool naive_before(const el_job *a, const el_job *b) /* or it is the same */
{
    if (!a->active || a->deadline == 0) return false;
    return a->deadline < b->deadline || (a->deadline == b->deadline && a->order <= b->order);
}

/* What is left of all promises up to that of j, itself included. */
double naive_until(const el_schedule *s, const el_job *j, const double *rests)
{
    double time = 0;
    for (uint32_t i = 0; i < s->n_jobs; i++)
        if (naive_before(&s->jobs[i], j)) time += rests[i];
    return time;
}

void naive_rests(const el_schedule *s, double *rests)
{
    for (uint32_t i = 0; i < s->n_jobs; i++)
        rests[i] = s->jobs[i].active ? naive_rest(s, &s->jobs[i]) : 0;
}

/* By how much the time until a deadline is more than is needed, the least of all promises. */
double naive_slack(const el_schedule *s, el_nanoseconds now)
{
    double least = 1e18, rests[EDGELLM_SCHEDULER_SLOTS];
    naive_rests(s, rests);
    for (uint32_t i = 0; i < s->n_jobs; i++) {
        const el_job *j = &s->jobs[i];
        if (!j->active || j->deadline == 0) continue;
        const double needed = EDGELLM_ADMITTED_AT * (naive_until(s, j, rests) + naive_margin(s, j));
        const double slack = (double)(int64_t)(j->deadline - now) - needed;
        if (slack < least) least = slack;
    }
    return least;
}

const el_job *first_promise(const el_schedule *s)
{
    const el_job *first = NULL;
    for (uint32_t i = 0; i < s->n_jobs; i++) {
        const el_job *j = &s->jobs[i];
        if (!j->active || j->deadline == 0) continue;
        if (!first || j->deadline < first->deadline ||
            (j->deadline == first->deadline && j->order < first->order))
            first = j;
    }
    return first;
}
