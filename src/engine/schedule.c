#include "engine/schedule.h"

#include <math.h>

#include "engine/forecast.h"

/* ---- times ---------------------------------------------------------------------------------- */

static double time_left(const el_job *j, el_nanoseconds now)
{
    return j->deadline >= now ? (double)(j->deadline - now) : -(double)(now - j->deadline);
}

/* The next part of what is left of a prompt: all of it, if that stays within the bound; else the
 * most tokens, up to `most`, that stay within the share of it, but one at least. */
static uint32_t chunk_at(const el_schedule *s, uint32_t position, uint32_t left, uint32_t most)
{
    if (left <= s->batch && el_forecast_chunk(&s->costs, position, left) <= s->bound) return left;
    const double share = EL_CHUNK_SHARE * s->bound;
    uint32_t n = left < most ? left : most;
    while (n > 1 && el_forecast_chunk(&s->costs, position, n) > share)
        n--;
    return n;
}

/* Walks along a prompt, in the parts that it will be computed in; *n: tokens of the last. A part
 * that is too long stays so further on: `most` only falls. */
static double time_parts(const el_schedule *s, uint32_t position, uint32_t prompt, uint32_t *n)
{
    uint32_t most = s->batch;
    double time = 0;
    *n = 0;
    for (uint32_t left = prompt; left > 0; left -= *n) {
        *n = chunk_at(s, position, left, most);
        if (*n < left && *n < most) most = *n;
        time += el_forecast_chunk(&s->costs, position, *n);
        position += *n;
    }
    return time;
}

/* The tokens that a shift computes. */
static uint32_t shift_prompt(const el_job *j)
{
    return j->keep - j->from + el_shift_prompt(j->context, j->keep);
}

/* What each token of a job takes beyond a step, or a part of its prompt. */
static double choice_of(const el_schedule *s, const el_job *j)
{
    return el_forecast_choice(&s->costs, j->choice);
}

static void time_prompt(const el_schedule *s, el_job *j)
{
    uint32_t n;
    const double choice = choice_of(s, j);
    if (j->context > 0) j->shift_time = time_parts(s, j->from, shift_prompt(j), &n) + choice;
    j->prompt_time = time_parts(s, j->position, j->prompt, &n);
    if (j->prompt > 0) j->prompt_time += choice;
    j->prompt_margin = n == 1 ? s->costs.step_margin : s->costs.chunk_margin;
}

/* n steps in a row. */
static double time_row(const el_schedule *s, const el_job *j, uint32_t position, uint32_t n)
{
    return el_forecast_steps(&s->costs, position, n) + n * choice_of(s, j);
}

/* `steps` tokens after those at `position`, with the shifts between them. From one to the next are
 * as many tokens as it drops: one comes of its own prompt, the others of steps. */
static double time_steps(const el_schedule *s, const el_job *j, uint32_t position, uint32_t steps)
{
    const uint32_t room = j->context > position ? j->context - position : 0;
    if (j->context == 0 || steps <= room) return time_row(s, j, position, steps);
    const uint32_t drops = el_shift_drops(j->context, j->keep), left = steps - room,
                   at = j->context - drops + 1; /* after a shift */
    const double round = j->shift_time + time_row(s, j, at, drops - 1);
    const uint32_t rounds = left / drops;
    double time = time_row(s, j, position, room) + rounds * round;
    if (left % drops > 0) time += j->shift_time + time_row(s, j, at, left % drops - 1);
    return time;
}

/* All that is left of a job, computed alone. */
static double rest_of(const el_schedule *s, const el_job *j)
{
    return j->prompt_time + time_steps(s, j, j->position + j->prompt, j->steps);
}

/* Of the last action; of a job that shifts it may be a step or a part of a prompt. */
static double margin_of(const el_schedule *s, const el_job *j)
{
    const double step = s->costs.step_margin, chunk = s->costs.chunk_margin;
    if (j->context > 0) return step > chunk ? step : chunk;
    return j->steps > 0 ? step : j->prompt_margin;
}

/* The next step, and its token. */
static double time_step(const el_schedule *s, const el_job *j)
{
    return el_forecast_step(&s->costs, j->position) + choice_of(s, j);
}

/* The next n tokens of a prompt; after the last of it a token is chosen. */
static double time_chunk(const el_schedule *s, const el_job *j, uint32_t n)
{
    const double time = el_forecast_chunk(&s->costs, j->position, n);
    return n == j->prompt ? time + choice_of(s, j) : time;
}

/* Until its next token is known, with a margin. */
static double next_token(const el_schedule *s, const el_job *j)
{
    return (j->prompt > 0 ? j->prompt_time : time_step(s, j)) + margin_of(s, j);
}

/* ---- the queue ------------------------------------------------------------------------------ */

/* All jobs: those with a deadline, the earliest first, then the others, the highest priority first,
 * of equal ones the longest not served. Among equals in the order of their arrival. */
typedef struct queue {
    uint32_t n, promised;
    const el_job *jobs[EDGELLM_SCHEDULER_SLOTS];
} queue;

static bool goes_before(const el_job *a, const el_job *b)
{
    if ((a->deadline == 0) != (b->deadline == 0)) return a->deadline != 0;
    if (a->deadline == 0 && a->priority != b->priority) return a->priority > b->priority;
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
    const double rest = rest_of(s, j);
    if (!is_for(s, a, j)) return rest;
    return rest - (a->kind == EL_ACTION_PASS ? time_step(s, j) : time_chunk(s, j, a->tokens));
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

/* Is one that is there done before a job that arrives? */
static bool is_before(const el_job *there, const el_job *job)
{
    if (job->deadline == 0) return there->deadline != 0 || there->priority >= job->priority;
    return there->deadline != 0 && there->deadline <= job->deadline;
}

/* What is left of all that is done before a job that arrives. */
static double rest_before(const el_schedule *s, const queue *q, const el_job *job)
{
    double rest = 0;
    for (uint32_t i = 0; i < q->n; i++)
        if (is_before(q->jobs[i], job)) rest += rest_of(s, q->jobs[i]);
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
    f.first_ns += time_step(s, &job); /* its first token is made */
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
    const uint32_t n = chunk_at(s, j->position, j->prompt, s->batch);
    return (el_action){.kind = EL_ACTION_CHUNK,
                       .tokens = n,
                       .jobs = {place_of(s, j)},
                       .time = time_chunk(s, j, n)};
}

/* A step of `leader`, and of as many others as the bound and all promises allow, in their order. */
static el_action pass_of(const el_schedule *s, const queue *q, const el_job *leader,
                         el_nanoseconds now)
{
    uint64_t positions = leader->position;
    double choices = choice_of(s, leader);
    el_action a = {.kind = EL_ACTION_PASS, .tokens = 1, .jobs = {place_of(s, leader)}};
    a.time = time_step(s, leader);
    for (uint32_t i = 0; i < q->n && a.tokens < s->batch; i++) {
        const el_job *rider = q->jobs[i];
        if (rider == leader || rider->prompt > 0) continue;
        el_action more = a;
        more.jobs[more.tokens++] = place_of(s, rider);
        const double all = choices + choice_of(s, rider);
        more.time = el_forecast_pass(&s->costs, more.tokens, positions + rider->position) + all;
        if (more.time > s->bound || !keeps(s, q, &more, now)) continue;
        positions += rider->position;
        choices = all;
        a = more;
    }
    return a;
}

static el_action action_for(const el_schedule *s, const queue *q, const el_job *j,
                            el_nanoseconds now)
{
    return j->prompt > 0 ? chunk_of(s, j) : pass_of(s, q, j, now);
}

/* Of those without a deadline that have the highest priority, the one that waits longest; of their
 * prompts only the first to have arrived is computed. NULL: there are none. */
static const el_job *without_deadline(const queue *q)
{
    const el_job *oldest = NULL;
    uint32_t end = q->promised;
    for (; end < q->n && q->jobs[end]->priority == q->jobs[q->promised]->priority; end++) {
        const el_job *j = q->jobs[end];
        if (j->prompt > 0 && (!oldest || j->order < oldest->order)) oldest = j;
    }
    for (uint32_t i = q->promised; i < end; i++)
        if (q->jobs[i]->prompt == 0 || q->jobs[i] == oldest) return q->jobs[i];
    return NULL;
}

/* Who has the highest priority, if it is above that of the first promise; of equal ones promises
 * first, the earliest before others. NULL: nobody. */
static const el_job *most_urgent(const queue *q)
{
    const el_job *urgent = q->jobs[0], *other = without_deadline(q);
    for (uint32_t i = 1; i < q->promised; i++)
        if (q->jobs[i]->priority > urgent->priority) urgent = q->jobs[i];
    if (other && other->priority > urgent->priority) urgent = other;
    return urgent == q->jobs[0] ? NULL : urgent;
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

/* An action that is not for the first promise; false: one would not hold any more. */
static bool go_aside(const el_schedule *s, const queue *q, const el_job *other, el_nanoseconds now,
                     el_action *a)
{
    if (!other) return false;
    *a = action_for(s, q, other, now);
    a->aside = true;
    return keeps(s, q, a, now);
}

/* The first promise is kept from its first token by higher priorities only; after that every second
 * action may be for others, too. All that if it leaves all promises holding. */
static el_action choose(const el_schedule *s, const queue *q, el_nanoseconds now)
{
    el_action a;
    if (q->promised == 0) return action_for(s, q, without_deadline(q), now);
    const el_job *first = q->jobs[0];
    const el_job *other = first->prompt > 0 || s->aside ? NULL : next_aside(s, q);
    if (go_aside(s, q, most_urgent(q), now, &a) || go_aside(s, q, other, now, &a)) return a;
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

/* ---- shifts --------------------------------------------------------------------------------- */

bool el_schedule_is_full(const el_schedule *s, uint32_t place)
{
    const el_job *j = &s->jobs[place];
    return j->active && j->context > 0 && j->prompt == 0 && j->steps > 0 &&
           j->position == j->context;
}

void el_schedule_shift(el_schedule *s, uint32_t place)
{
    el_job *j = &s->jobs[place];
    j->position = j->from;
    j->prompt = shift_prompt(j);
    j->steps--;
    time_prompt(s, j);
}
