#include "engine/schedule.h"

#include <math.h>

#include "engine/forecast.h"

/* ---- times ---------------------------------------------------------------------------------- */

static double time_left(const el_job *j, el_nanoseconds now)
{
    return j->deadline >= now ? (double)(j->deadline - now) : -(double)(now - j->deadline);
}

/* The most tokens of a prompt, up to `most`, that stay within the bound; 1 at least. */
static uint32_t chunk_at(const el_schedule *s, uint32_t position, uint32_t most)
{
    uint32_t n = most;
    while (n > 1 && el_forecast_chunk(&s->costs, position, n) > s->bound)
        n--;
    return n;
}

/* Walks along the prompt, in the parts that it will be computed in. A part that is too long stays
 * so further on: `most` only falls. */
static void time_prompt(const el_schedule *s, el_job *j)
{
    uint32_t position = j->position, most = s->batch, n = 0;
    j->prompt_time = 0;
    for (uint32_t left = j->prompt; left > 0; left -= n) {
        const uint32_t wanted = left < most ? left : most;
        n = chunk_at(s, position, wanted);
        if (n < wanted) most = n;
        j->prompt_time += el_forecast_chunk(&s->costs, position, n);
        position += n;
    }
    j->prompt_margin = n == 1 ? s->costs.step_margin : s->costs.chunk_margin;
}

/* All that is left of a job, computed alone. */
static double rest_of(const el_schedule *s, const el_job *j)
{
    return j->prompt_time + el_forecast_steps(&s->costs, j->position + j->prompt, j->steps);
}

static double margin_of(const el_schedule *s, const el_job *j)
{
    return j->steps > 0 ? s->costs.step_margin : j->prompt_margin;
}

/* Until its next token is known, with a margin. */
static double next_token(const el_schedule *s, const el_job *j)
{
    const double time = j->prompt > 0 ? j->prompt_time : el_forecast_step(&s->costs, j->position);
    return time + margin_of(s, j);
}

/* ---- the queue ------------------------------------------------------------------------------ */

/* All jobs: those with a deadline, the earliest first, then the others, the longest not served
 * first. Among equals in the order of their arrival. */
typedef struct queue {
    uint32_t n, promised;
    const el_job *jobs[EDGELLM_SCHEDULER_SLOTS];
} queue;

static bool goes_before(const el_job *a, const el_job *b)
{
    if ((a->deadline == 0) != (b->deadline == 0)) return a->deadline != 0;
    const uint64_t a_key = a->deadline != 0 ? a->deadline : a->served;
    const uint64_t b_key = b->deadline != 0 ? b->deadline : b->served;
    return a_key != b_key ? a_key < b_key : a->order < b->order;
}

static queue line_up(const el_schedule *s)
{
    queue q = {.n = 0};
    for (uint32_t i = 0; i < s->n_jobs; i++) {
        const el_job *job = &s->jobs[i];
        if (!job->active) continue;
        uint32_t at = q.n++;
        for (; at > 0 && goes_before(job, q.jobs[at - 1]); at--)
            q.jobs[at] = q.jobs[at - 1];
        q.jobs[at] = job;
        q.promised += job->deadline != 0;
    }
    return q;
}

static uint32_t place_of(const el_schedule *s, const el_job *j)
{
    return (uint32_t)(j - s->jobs);
}

/* ---- promises ------------------------------------------------------------------------------- */

/* Does a promise hold, of which `rest` with all before it is left? */
static bool holds(const el_schedule *s, const el_job *j, double rest, el_nanoseconds now)
{
    return EDGELLM_ADMITTED_AT * (rest + margin_of(s, j)) <= time_left(j, now);
}

static bool is_for(const el_schedule *s, const el_action *a, const el_job *j)
{
    const uint32_t n = a->kind == EL_ACTION_PASS ? a->tokens : 1;
    for (uint32_t i = 0; i < n; i++)
        if (a->jobs[i] == place_of(s, j)) return true;
    return false;
}

/* What is left of a job after an action. */
static double rest_after(const el_schedule *s, const el_action *a, const el_job *j)
{
    const uint32_t n = a->kind == EL_ACTION_PASS ? 1 : a->tokens;
    const double rest = rest_of(s, j);
    return is_for(s, a, j) ? rest - el_forecast_chunk(&s->costs, j->position, n) : rest;
}

/* Would all promises hold after an action? */
static bool keeps(const el_schedule *s, const queue *q, const el_action *a, el_nanoseconds now)
{
    double rest = a->time;
    for (uint32_t i = 0; i < q->promised; i++) {
        rest += rest_after(s, a, q->jobs[i]);
        if (!holds(s, q->jobs[i], rest, now)) return false;
    }
    return true;
}

/* ---- arrival -------------------------------------------------------------------------------- */

/* What is left of all that is done before a job that arrives. */
static double rest_before(const el_schedule *s, const queue *q, const el_job *job)
{
    double rest = 0;
    for (uint32_t i = 0; i < q->n; i++)
        if (job->deadline == 0 || (i < q->promised && q->jobs[i]->deadline <= job->deadline))
            rest += rest_of(s, q->jobs[i]);
    return rest;
}

/* Do its promise and all others hold with it? */
static bool admits(const el_schedule *s, const queue *q, const el_job *job, el_nanoseconds now)
{
    if (job->deadline == 0) return true;
    double rest = rest_before(s, q, job) + rest_of(s, job);
    if (!holds(s, job, rest, now)) return false;
    for (uint32_t i = 0; i < q->promised; i++) {
        if (q->jobs[i]->deadline <= job->deadline) continue;
        rest += rest_of(s, q->jobs[i]);
        if (!holds(s, q->jobs[i], rest, now)) return false;
    }
    return true;
}

/* So many tokens of the answer would be admitted; 0: not even one. */
static uint32_t admitted_tokens(const el_schedule *s, const queue *q, el_job job,
                                el_nanoseconds now)
{
    uint32_t fit = 0, too_many = job.steps + 1;
    while (too_many - fit > 1) {
        const uint32_t middle = fit + (too_many - fit) / 2;
        job.steps = middle - 1;
        if (admits(s, q, &job, now))
            fit = middle;
        else
            too_many = middle;
    }
    return fit;
}

/* Of a job that is not in the queue, or not any more. */
static edgellm_forecast forecast_of(const el_schedule *s, const queue *q, const el_job *job,
                                    el_nanoseconds now)
{
    const double before = rest_before(s, q, job);
    const bool admitted = admits(s, q, job, now);
    return (edgellm_forecast){.first_ns = before + job->prompt_time,
                              .answer_ns = before + rest_of(s, job),
                              .margin_ns = margin_of(s, job),
                              .admitted = admitted,
                              .tokens =
                                  admitted ? job->steps + 1 : admitted_tokens(s, q, *job, now)};
}

edgellm_forecast el_schedule_forecast(const el_schedule *s, const el_job *arriving,
                                      el_nanoseconds now)
{
    const queue q = line_up(s);
    el_job job = *arriving;
    time_prompt(s, &job);
    return forecast_of(s, &q, &job, now);
}

edgellm_forecast el_schedule_set_deadline(el_schedule *s, uint32_t place, el_nanoseconds deadline,
                                          el_nanoseconds now)
{
    el_job *held = &s->jobs[place];
    held->active = false; /* it is not before itself */
    const queue q = line_up(s);
    held->active = true;
    el_job job = *held;
    job.deadline = deadline;
    edgellm_forecast f = forecast_of(s, &q, &job, now);
    if (f.admitted) held->deadline = deadline;
    if (job.prompt > 0) return f;
    f.first_ns += el_forecast_step(&s->costs, job.position); /* its first token is made */
    f.tokens -= f.tokens > 0;
    return f;
}

void el_schedule_add(el_schedule *s, uint32_t place, const el_job *arriving)
{
    el_job *job = &s->jobs[place];
    *job = *arriving;
    job->active = true;
    job->order = ++s->arrived;
    job->served = s->actions;
    time_prompt(s, job);
}

void el_schedule_set_costs(el_schedule *s, const edgellm_costs *costs)
{
    s->costs = *costs;
    for (uint32_t i = 0; i < s->n_jobs; i++)
        if (s->jobs[i].active) time_prompt(s, &s->jobs[i]);
}

/* ---- actions -------------------------------------------------------------------------------- */

static el_action chunk_of(const el_schedule *s, const el_job *j)
{
    const uint32_t n = chunk_at(s, j->position, j->prompt < s->batch ? j->prompt : s->batch);
    return (el_action){.kind = EL_ACTION_CHUNK,
                       .tokens = n,
                       .jobs = {place_of(s, j)},
                       .time = el_forecast_chunk(&s->costs, j->position, n)};
}

/* A step of `leader`, and of as many others as the bound and all promises allow, in their order. */
static el_action pass_of(const el_schedule *s, const queue *q, const el_job *leader,
                         el_nanoseconds now)
{
    uint64_t positions = leader->position;
    el_action a = {.kind = EL_ACTION_PASS, .tokens = 1, .jobs = {place_of(s, leader)}};
    a.time = el_forecast_step(&s->costs, leader->position);
    for (uint32_t i = 0; i < q->n && a.tokens < s->batch; i++) {
        const el_job *rider = q->jobs[i];
        if (rider == leader || rider->prompt > 0) continue;
        el_action more = a;
        more.jobs[more.tokens++] = place_of(s, rider);
        more.time = el_forecast_pass(&s->costs, more.tokens, positions + rider->position);
        if (more.time > s->bound || !keeps(s, q, &more, now)) continue;
        positions += rider->position;
        a = more;
    }
    return a;
}

static el_action action_for(const el_schedule *s, const queue *q, const el_job *j,
                            el_nanoseconds now)
{
    return j->prompt > 0 ? chunk_of(s, j) : pass_of(s, q, j, now);
}

/* Of those without a deadline, the one that waits longest; of their prompts only the first to have
 * arrived is computed. NULL: there are none. */
static const el_job *without_deadline(const queue *q)
{
    const el_job *oldest = NULL;
    for (uint32_t i = q->promised; i < q->n; i++) {
        const el_job *j = q->jobs[i];
        if (j->prompt > 0 && (!oldest || j->order < oldest->order)) oldest = j;
    }
    for (uint32_t i = q->promised; i < q->n; i++)
        if (q->jobs[i]->prompt == 0 || q->jobs[i] == oldest) return q->jobs[i];
    return NULL;
}

/* What could be done aside of the first promise: the prompt of a later one, so that it can ride
 * along soon; else one without a deadline that has just been left out. */
static const el_job *next_aside(const el_schedule *s, const queue *q)
{
    for (uint32_t i = 1; i < q->promised; i++)
        if (q->jobs[i]->prompt > 0) return q->jobs[i];
    const el_job *j = without_deadline(q);
    return j && j->served < s->actions ? j : NULL;
}

/* The first promise is not kept from its first token; after that every second action may be for
 * others, if that leaves all promises holding. */
static el_action choose(const el_schedule *s, const queue *q, el_nanoseconds now)
{
    if (q->promised == 0) return action_for(s, q, without_deadline(q), now);
    const el_job *first = q->jobs[0];
    const el_job *other = first->prompt > 0 || s->aside ? NULL : next_aside(s, q);
    if (other) {
        el_action a = action_for(s, q, other, now);
        a.aside = true;
        if (keeps(s, q, &a, now)) return a;
    }
    return action_for(s, q, first, now);
}

/* A promise of which no token comes in time any more: now, if the action is for it, else after it.
 * NULL: none. */
static const el_job *lost_with(const el_schedule *s, const queue *q, const el_action *a,
                               el_nanoseconds now)
{
    for (uint32_t i = 0; i < q->promised; i++) {
        const el_job *j = q->jobs[i];
        const double after = is_for(s, a, j) ? 0 : a->time;
        if (after + next_token(s, j) > time_left(j, now)) return j;
    }
    return NULL;
}

el_action el_schedule_next(const el_schedule *s, el_nanoseconds now)
{
    const queue q = line_up(s);
    if (q.n == 0) return (el_action){.kind = EL_ACTION_NONE};
    const el_action a = choose(s, &q, now);
    const el_job *lost = lost_with(s, &q, &a, now);
    return lost ? (el_action){.kind = EL_ACTION_END, .jobs = {place_of(s, lost)}} : a;
}

double el_schedule_slack(const el_schedule *s, el_nanoseconds now)
{
    const queue q = line_up(s);
    double least = INFINITY, rest = 0;
    for (uint32_t i = 0; i < q.promised; i++) {
        const el_job *j = q.jobs[i];
        rest += rest_of(s, j);
        const double slack = time_left(j, now) - EDGELLM_ADMITTED_AT * (rest + margin_of(s, j));
        if (slack < least) least = slack;
    }
    return least;
}

void el_schedule_did(el_schedule *s, const el_action *a)
{
    s->actions++;
    s->aside = a->aside;
    if (a->kind == EL_ACTION_CHUNK) {
        el_job *j = &s->jobs[a->jobs[0]];
        j->prompt_time -= el_forecast_chunk(&s->costs, j->position, a->tokens);
        j->position += a->tokens;
        j->prompt -= a->tokens;
        j->served = s->actions;
        if (j->prompt == 0) j->prompt_time = 0;
        return;
    }
    for (uint32_t i = 0; i < a->tokens; i++) {
        el_job *j = &s->jobs[a->jobs[i]];
        j->position++;
        j->steps--;
        j->served = s->actions;
    }
}
