#include "support/schedule_world.h"

#include <math.h>

#include "engine/forecast.h"

double exact(const el_action *a, uint64_t *random)
{
    (void)random;
    return a->time;
}

double slow(const el_action *a, uint64_t *random)
{
    (void)random;
    return EDGELLM_ADMITTED_AT * a->time - 1e-6;
}

double mild(const el_action *a, uint64_t *random)
{
    return a->time * (0.85 + 0.2999 * ((double)(next_random(random) % 10001) / 10000));
}

/* -------- arrivals -------- */

uint32_t free_place(const el_schedule *s)
{
    uint32_t i = 0;
    while (i < s->n_jobs && s->jobs[i].active)
        i++;
    return i;
}

/* Is it admitted exactly if, with it, all promises hold? */
static void check_forecast(const world *w, const el_job *job, const edgellm_forecast *f)
{
    el_schedule with = w->s;
    const uint32_t place = free_place(&with);
    const double before = naive_slack(&w->s, w->now);
    el_schedule_add(&with, place, job);
    const double after = naive_slack(&with, w->now);
    double rests[EDGELLM_SCHEDULER_SLOTS];
    naive_rests(&with, rests);
    if (job->deadline == 0) {
        assert_true(f->admitted);
    } else if (before > 1e-3) { /* where none is broken already; but for what rounding decides */
        if (after > 1e-3) assert_true(f->admitted);
        if (after < -1e-3) assert_false(f->admitted);
        const double error = f->answer_ns - naive_until(&with, &with.jobs[place], rests);
        assert_true(error < 1e-3 && error > -1e-3);
    }
    if (f->admitted) assert_int_equal(f->tokens, job->steps + 1);
    if (f->admitted || f->tokens == 0) return;
    el_job shorter = *job; /* what is said to fit does */
    shorter.steps = f->tokens - 1;
    assert_true(f->tokens <= job->steps);
    assert_true(el_schedule_forecast(&w->s, &shorter, w->now).admitted);
}

static void arrive(world *w, life *l)
{
    const edgellm_forecast f = el_schedule_forecast(&w->s, &l->job, w->now);
    const el_job *first = first_promise(&w->s);
    check_forecast(w, &l->job, &f);
    l->is_in = f.admitted;
    l->refused = !f.admitted;
    w->refused += !f.admitted;
    if (!f.admitted) return;
    l->comes = w->now;
    l->place = free_place(&w->s);
    l->was_first = l->job.deadline != 0 && (!first || first->deadline > l->job.deadline);
    el_schedule_add(&w->s, l->place, &l->job);
    l->seen = w->s.actions;
}

static bool may_arrive(const world *w, const life *l)
{
    return !l->is_in && !l->refused && l->ends_at == 0 && l->arrives <= w->now &&
           free_place(&w->s) < w->s.n_jobs;
}

/* When the next comes, if there is nothing to do until then; 0: none comes. */
static el_nanoseconds next_arrival(const world *w)
{
    el_nanoseconds next = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        const life *l = &w->lives[i];
        if (l->is_in || l->refused || l->ends_at != 0) continue;
        if (next == 0 || l->arrives < next) next = l->arrives;
    }
    return next;
}

/* -------- what must be true of an action -------- */

static bool serves(const el_action *a, uint32_t place)
{
    const uint32_t n = a->kind == EL_ACTION_PASS ? a->tokens : 1;
    for (uint32_t i = 0; i < n; i++)
        if (a->jobs[i] == place) return true;
    return false;
}

/* Chunks are the largest within 0.8 of the bound, the last of a prompt and passes within the bound,
 * unless there is one token. */
static void check_bound(const world *w, const el_action *a)
{
    uint64_t positions = 0;
    double choices = 0;
    assert_true(a->tokens >= 1 && a->tokens <= w->s.batch);
    for (uint32_t i = 0; i < (a->kind == EL_ACTION_PASS ? a->tokens : 1); i++) {
        const el_job *j = &w->s.jobs[a->jobs[i]];
        positions += j->position;
        choices += naive_choice(&w->s, j);
        assert_true(j->active);
        if (a->kind == EL_ACTION_PASS) assert_true(j->prompt == 0 && j->steps > 0);
        for (uint32_t k = 0; k < i; k++)
            assert_int_not_equal(a->jobs[i], a->jobs[k]);
    }
    const el_job *j = &w->s.jobs[a->jobs[0]];
    const bool chunk = a->kind == EL_ACTION_CHUNK;
    const double time = chunk ? el_forecast_chunk(&w->s.costs, j->position, a->tokens)
                              : el_forecast_pass(&w->s.costs, a->tokens, positions) + choices;
    const bool last = chunk && a->tokens == j->prompt;
    assert_true(a->tokens == 1 || time <= w->s.bound * (chunk && !last ? 0.8 : 1));
    assert_true(fabs(a->time - (chunk ? naive_action(&w->s, j, a->tokens) : time)) < 1e-6);
    if (!chunk) return;
    assert_true(j->prompt >= a->tokens);
    assert_int_equal(a->tokens, naive_chunk(&w->s, j->position, j->prompt));
}

static double longest_action(const el_schedule *s)
{
    const edgellm_costs *c = &s->costs;
    const double choice = c->mask + c->logprobs + c->top_logprobs;
    double longest = s->bound + choice;
    for (uint32_t i = 0; i < s->n_jobs; i++) {
        const double step = el_forecast_step(c, s->jobs[i].position) + choice;
        if (s->jobs[i].active && step > longest) longest = step;
    }
    return longest;
}

/* The highest priority of those that are there; without promises, or with them. */
static int32_t highest(const el_schedule *s, bool with_promises)
{
    int32_t most = INT32_MIN;
    for (uint32_t i = 0; i < s->n_jobs; i++) {
        const el_job *j = &s->jobs[i];
        if (j->active && (with_promises || j->deadline == 0) && j->priority > most)
            most = j->priority;
    }
    return most;
}

/* Somebody without a deadline who was there before the last action and was not served by it. */
static bool somebody_waits(const world *w)
{
    const int32_t top = highest(&w->s, false);
    for (uint32_t i = 0; i < w->s.n_jobs; i++) {
        const el_job *j = &w->s.jobs[i];
        if (j->active && j->deadline == 0 && j->priority == top && !serves(&w->last, i) &&
            j->served < w->s.actions)
            return true;
    }
    return false;
}

/* With one more session a pass would be too long, or break a promise. */
static void check_no_more(const world *w, const el_action *a)
{
    for (uint32_t i = 0; i < w->s.n_jobs && w->s.batch > 1; i++) {
        const el_job *j = &w->s.jobs[i];
        if (!j->active || j->prompt > 0 || serves(a, i)) continue;
        el_action more = *a;
        more.jobs[more.tokens++] = i;
        more.time = el_forecast_pass(&w->s.costs, more.tokens,
                                     w->s.jobs[a->jobs[0]].position + j->position) +
                    naive_choice(&w->s, &w->s.jobs[a->jobs[0]]) + naive_choice(&w->s, j);
        if (more.time > w->s.bound) continue;
        el_schedule after = w->s;
        el_schedule_did(&after, &more);
        const el_nanoseconds then = w->now + (el_nanoseconds)(EDGELLM_ADMITTED_AT * more.time);
        assert_true(naive_slack(&after, then) < 1.001); /* `then` is rounded down */
    }
}

/* Who of the highest priority goes first: a promise, the earliest; else the only one without. NULL:
 * there are several of those. */
static const el_job *most_urgent(const el_schedule *s, int32_t top)
{
    const el_job *promised = NULL, *other = NULL;
    uint32_t others = 0;
    for (uint32_t i = 0; i < s->n_jobs; i++) {
        const el_job *j = &s->jobs[i];
        if (!j->active || j->priority != top) continue;
        if (j->deadline == 0) {
            other = j;
            others++;
        } else if (!promised || j->deadline < promised->deadline ||
                   (j->deadline == promised->deadline && j->order < promised->order)) {
            promised = j;
        }
    }
    return promised || others != 1 ? promised : other;
}

/* He is served, unless a promise would not hold then; without promises always, and first. */
static void check_priority(world *w, const el_action *a)
{
    const el_job *first = first_promise(&w->s);
    const int32_t top = highest(&w->s, true);
    const el_job *j = most_urgent(&w->s, top);
    if (!first) assert_int_equal(w->s.jobs[a->jobs[0]].priority, top);
    if (!first || first->priority == top || !j) return;
    const uint32_t place = (uint32_t)(j - w->s.jobs);
    if (serves(a, place)) {
        w->urgent++;
        return;
    }
    const uint32_t n = j->prompt > 0 ? naive_chunk(&w->s, j->position, j->prompt) : 1;
    const el_action alone = {.kind = j->prompt > 0 ? EL_ACTION_CHUNK : EL_ACTION_PASS,
                             .tokens = n,
                             .jobs = {place},
                             .time = naive_action(&w->s, j, n)};
    el_schedule after = w->s;
    el_schedule_did(&after, &alone);
    if (j->deadline == 0)
        after.jobs[place].active = false; /* no promise waits for the rest of it */
    assert_true(naive_slack(&after, w->now) - EDGELLM_ADMITTED_AT * alone.time < 1e-3);
}

/* The first promise has the engine until its first token; then every second action if there is time
 * for others and somebody waits; and what is aside leaves all promises holding. */
static void check_turns(world *w, const el_action *a)
{
    const el_job *first = first_promise(&w->s);
    const double slack = naive_slack(&w->s, w->now), told = el_schedule_slack(&w->s, w->now);
    if (!first) {
        assert_true(told == INFINITY);
        return;
    }
    assert_true(told - slack < 1e-3 && slack - told < 1e-3);
    if ((first->prompt > 0 || w->s.aside) && first->priority == highest(&w->s, true))
        assert_true(serves(a, (uint32_t)(first - w->s.jobs)));
    const bool ample = slack > 2 * EDGELLM_ADMITTED_AT * longest_action(&w->s) + 1;
    if (first->prompt == 0 && !w->s.aside && ample && w->s.actions > 0 && somebody_waits(w))
        assert_true(a->aside);
    if (a->kind == EL_ACTION_PASS && a->tokens == 1) check_no_more(w, a);
    el_schedule after = w->s;
    el_schedule_did(&after, a);
    if (slack < 1e-3 || (a->tokens == 1 && !a->aside)) return;
    for (uint32_t i = 0; i < after.n_jobs; i++) /* what ends with it does not wait */
        if (after.jobs[i].prompt == 0 && after.jobs[i].steps == 0) after.jobs[i].active = false;
    const el_nanoseconds then = w->now + (el_nanoseconds)(EDGELLM_ADMITTED_AT * a->time);
    assert_true(naive_slack(&after, then) > -1e-3);
}

/* Without promises, whoever has no deadline is served in turn: each that is past its prompt, and
 * one of the prompts, once in as many actions as there are places. */
static void check_fair(world *w, const el_action *a)
{
    const uint32_t n = w->s.n_jobs;
    uint32_t prompts = 0;
    if (w->is_ranked) return;
    for (uint32_t i = 0; i < n; i++)
        prompts += w->s.jobs[i].active && w->s.jobs[i].prompt > 0;
    if (first_promise(&w->s)) w->quiet_since = w->s.actions;
    if (first_promise(&w->s) || prompts == 0 || a->kind == EL_ACTION_CHUNK)
        w->chunk_seen = w->s.actions;
    assert_true(w->s.actions <= w->chunk_seen + n);
    for (uint32_t i = 0; i < w->n; i++) {
        life *l = &w->lives[i];
        if (!l->is_in) continue;
        if (w->s.jobs[l->place].prompt > 0) l->seen = w->s.actions;
        const uint64_t since = l->seen > w->quiet_since ? l->seen : w->quiet_since;
        assert_true(w->s.actions <= since + n);
    }
}

/* -------- time goes on -------- */

static void finish(world *w, life *l)
{
    w->s.jobs[l->place].active = false;
    l->is_in = false;
    l->ends_at = w->now;
}

static life *life_at(world *w, uint32_t place)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (w->lives[i].is_in && w->lives[i].place == place) return &w->lives[i];
    fail_msg("nobody is at %u", place);
    return NULL;
}

static void end_early(world *w, const el_action *a)
{
    life *l = life_at(w, a->jobs[0]);
    assert_true(l->job.deadline != 0);
    assert_true(w->now <= l->job.deadline);
    l->was_ended = true;
    w->ended++;
    finish(w, l);
}

/* Tokens that are known after an action; none later than its deadline. */
static void hand_out(world *w, const el_action *a)
{
    for (uint32_t i = 0; i < (a->kind == EL_ACTION_PASS ? a->tokens : 1); i++) {
        life *l = life_at(w, a->jobs[i]);
        const el_job *j = &w->s.jobs[l->place];
        l->seen = w->s.actions;
        if (j->prompt > 0) continue;
        if (l->tokens++ == 0) l->first_at = w->now;
        assert_true(l->job.deadline == 0 || w->now <= l->job.deadline);
        if (j->steps > 0) continue;
        assert_int_equal(l->tokens, l->job.steps + 1);
        if (l->job.context == 0)
            assert_int_equal(j->position, l->job.position + l->job.prompt + l->job.steps);
        finish(w, l);
    }
}

void shift_full(world *w)
{
    for (uint32_t i = 0; i < w->s.n_jobs; i++) {
        const el_job before = w->s.jobs[i], *j = &w->s.jobs[i];
        if (before.active) assert_true(before.context == 0 || before.position <= before.context);
        if (!el_schedule_is_full(&w->s, i)) continue;
        const double rest = naive_rest(&w->s, &before);
        el_schedule_shift(&w->s, i);
        w->shifts++;
        assert_true(j->position == before.from && j->position + j->prompt <= before.context);
        assert_int_equal(j->steps + 1, before.steps);
        const double error = naive_rest(&w->s, j) - rest;
        assert_true(error < 1e-3 && error > -1e-3);
    }
}

static void act(world *w, const el_action *a)
{
    check_bound(w, a);
    if (!w->is_large || w->s.actions % 61 == 0) {
        check_turns(w, a);
        check_priority(w, a);
    }
    const double took = w->noise(a, &w->random);
    if (took > w->longest) w->longest = took;
    w->asides += a->aside;
    w->shared += a->kind == EL_ACTION_PASS && a->tokens > 1;
    el_schedule_did(&w->s, a);
    w->now += (el_nanoseconds)took;
    hand_out(w, a);
    shift_full(w);
    check_fair(w, a);
    w->last = *a;
}

void live(world *w)
{
    w->now = START;
    for (int rounds = 0; rounds < 100000; rounds++) {
        for (uint32_t i = 0; i < w->n; i++)
            if (may_arrive(w, &w->lives[i])) arrive(w, &w->lives[i]);
        const el_action a = el_schedule_next(&w->s, w->now);
        if (a.kind == EL_ACTION_END) {
            end_early(w, &a);
        } else if (a.kind != EL_ACTION_NONE) {
            act(w, &a);
        } else { /* no engine is idle while there is work */
            for (uint32_t i = 0; i < w->s.n_jobs; i++)
                assert_false(w->s.jobs[i].active);
            if (next_arrival(w) == 0) return;
            w->now = next_arrival(w);
        }
    }
    fail_msg("it does not end");
}

/* Did a promise with an earlier deadline come in before its first token, or was anybody there who
 * has a higher priority? */
static bool was_overtaken(const world *w, const life *l)
{
    for (uint32_t i = 0; i < w->n; i++) {
        const life *k = &w->lives[i];
        if (k->job.priority > l->job.priority && k->comes < l->first_at) return true;
        if (k != l && !k->refused && k->job.deadline != 0 && k->job.deadline < l->job.deadline &&
            k->comes >= l->comes && k->comes < l->first_at)
            return true;
    }
    return false;
}

/* Has it the highest priority of all, where there are no promises but its own? */
static bool was_urgent(const world *w, const life *l)
{
    for (uint32_t i = 0; i < w->n; i++) {
        const life *k = &w->lives[i];
        if (k != l && (k->job.deadline != 0 || k->job.priority >= l->job.priority)) return false;
    }
    return true;
}

void check_lives(const world *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        const life *l = &w->lives[i];
        uint32_t last;
        assert_false(l->is_in || l->was_ended);
        if (l->refused || (!l->was_first && !was_urgent(w, l)) || was_overtaken(w, l)) continue;
        const double own = EDGELLM_ADMITTED_AT * naive_prompt(&w->s, &l->job, &last);
        assert_true((double)(l->first_at - l->comes) <= own);
        assert_true(w->is_large || (double)(l->comes - l->arrives) <= w->longest);
    }
}
