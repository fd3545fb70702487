/*
 * test_schedule.c: the scheduler's rules on a made-up clock. Small worlds are tried exhaustively:
 * every set of up to three jobs that arrive at any of some times, of any priority and shifting or
 * not; large ones at random, with actions that take longer than expected. What is expected of them
 * is worked out here once more, naively.
 */
#include "support/test_help.h"

#include <math.h>

#include "engine/forecast.h"
#include "engine/schedule.h"
#include "support/naive_schedule.h"

enum { MOST = 64, START = 1000 };
#ifdef EL_TEST_SANITIZED
enum { STRIDE = 17 }; /* bits are the business of the release build */
#else
enum { STRIDE = 1 };
#endif

/* What happened to a job. */
typedef struct life {
    el_job job;                                       /* as it arrived */
    el_nanoseconds arrives, comes, first_at, ends_at; /* comes: at a border of actions */
    uint32_t place, tokens;                           /* of its answer */
    bool is_in, refused, was_ended, was_first;        /* was_first: no promise was before it */
    uint64_t seen;                                    /* the action that last served it */
} life;

/* How long an action really takes. */
typedef double (*noise_fn)(const el_action *a, uint64_t *random);

typedef struct world {
    el_schedule s;
    el_nanoseconds now;
    life lives[MOST];
    uint32_t n;
    noise_fn noise;
    uint64_t random;
    el_action last;
    double longest;       /* action that was */
    bool is_large;        /* more jobs than places; looked at closely now and then */
    bool is_ranked;       /* there are priorities */
    uint64_t quiet_since; /* the last action with a promise in wait */
    uint64_t chunk_seen;  /* the last that was a chunk, or left no prompt in wait */
    uint32_t refused, asides, shared, ended, shifts, urgent; /* counted */
} world;

static double exact(const el_action *a, uint64_t *random)
{
    (void)random;
    return a->time;
}

/* As much longer as is promised; whole numbers become fractions: rounded down. */
static double slow(const el_action *a, uint64_t *random)
{
    (void)random;
    return EDGELLM_ADMITTED_AT * a->time - 1e-6;
}

static double mild(const el_action *a, uint64_t *random)
{
    return a->time * (0.85 + 0.2999 * ((double)(next_random(random) % 10001) / 10000));
}

/* -------- arrivals -------- */

static uint32_t free_place(const el_schedule *s)
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

/* Chunks are the largest within the bound; passes within it, unless there is one token. */
static void check_bound(const world *w, const el_action *a)
{
    uint64_t positions = 0;
    assert_true(a->tokens >= 1 && a->tokens <= w->s.batch);
    assert_true(a->tokens == 1 || a->time <= w->s.bound);
    for (uint32_t i = 0; i < (a->kind == EL_ACTION_PASS ? a->tokens : 1); i++) {
        const el_job *j = &w->s.jobs[a->jobs[i]];
        positions += j->position;
        assert_true(j->active);
        if (a->kind == EL_ACTION_PASS) assert_true(j->prompt == 0 && j->steps > 0);
        for (uint32_t k = 0; k < i; k++)
            assert_int_not_equal(a->jobs[i], a->jobs[k]);
    }
    const el_job *j = &w->s.jobs[a->jobs[0]];
    const bool chunk = a->kind == EL_ACTION_CHUNK;
    assert_true(a->time == (chunk ? el_forecast_chunk(&w->s.costs, j->position, a->tokens)
                                  : el_forecast_pass(&w->s.costs, a->tokens, positions)));
    if (!chunk) return;
    assert_true(j->prompt >= a->tokens);
    assert_int_equal(a->tokens, naive_chunk(&w->s, j->position, j->prompt));
}

static double longest_action(const el_schedule *s)
{
    double longest = s->bound;
    for (uint32_t i = 0; i < s->n_jobs; i++) {
        const double step = el_forecast_step(&s->costs, s->jobs[i].position);
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
                                     w->s.jobs[a->jobs[0]].position + j->position);
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
                             .time = el_forecast_chunk(&w->s.costs, j->position, n)};
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

/* Contexts that are full are so no more: what stays has room for half of what it drops, at least.
 */
static void shift_full(world *w)
{
    for (uint32_t i = 0; i < w->s.n_jobs; i++) {
        const el_job before = w->s.jobs[i], *j = &w->s.jobs[i];
        if (before.active) assert_true(before.context == 0 || before.position <= before.context);
        if (!el_schedule_is_full(&w->s, i)) continue;
        const double rest = naive_rest(&w->s, &before);
        el_schedule_shift(&w->s, i);
        w->shifts++;
        assert_true(j->position == before.keep && j->position + j->prompt <= before.context);
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

/* All jobs from arrival to end. */
static void live(world *w)
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

/* No promise was broken; and who came with the earliest deadline, or the highest priority, had its
 * first token after its own prompt and at most one action, in which it came. */
static void check_lives(const world *w)
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

/* -------- small worlds -------- */

static const struct {
    edgellm_costs costs;
    double bound;
    uint32_t batch;
} kinds[] = {
    {{.step = 20,
      .step_margin = 10,
      .n_chunks = 2,
      .chunk_tokens = {2, 4},
      .chunk = {30, 40},
      .chunk_margin = 10,
      .n_passes = 2,
      .pass_sessions = {2, 4},
      .pass = {26, 38}},
     40,
     8},
    /* positions cost; a pass of three is too long */
    {{.step = 30,
      .step_position = 4,
      .step_margin = 5,
      .n_chunks = 1,
      .chunk_tokens = {4},
      .chunk = {60},
      .chunk_pair = 3,
      .chunk_margin = 20,
      .n_passes = 1,
      .pass_sessions = {4},
      .pass = {60}},
     70,
     3},
    /* a step is longer than the bound: one token at a time; nothing is known of passes */
    {{.step = 20, .step_margin = 8, .chunk_margin = 8}, 10, 8},
};

enum { PROMPTS = 2, ANSWERS = 2, DEADLINES = 4, ARRIVALS = 4 };
enum { JOBS_OF_A_KIND = PROMPTS * ANSWERS * DEADLINES * ARRIVALS };

enum {
    RANKS = 1 << 3,
    VARIANTS = RANKS * 2
}; /* priorities of three jobs, and whether they shift */

static void vary(life *l, uint32_t variant, uint32_t job)
{
    l->job.priority = (variant >> job & 1) ? 5 : -5;
    if (variant < RANKS) return;
    l->job.context = l->job.prompt + 1;
    l->job.keep = l->job.prompt / 4;
}

/* Job number `index` of all that there are. */
static life small_life(const el_schedule *s, uint32_t index, uint32_t variant, uint32_t job)
{
    static const uint32_t prompts[PROMPTS] = {1, 6}, answers[ANSWERS] = {1, 3};
    static const double far[DEADLINES] = {0, 1, 1.7, 8}; /* of the least there can be */
    static const uint32_t arrivals[ARRIVALS] = {0, 7, 33, 90};
    life l = {.job = {.prompt = prompts[index % PROMPTS]}};
    index /= PROMPTS;
    l.job.steps = answers[index % ANSWERS] - 1;
    index /= ANSWERS;
    const double times = far[index % DEADLINES];
    l.arrives = START + arrivals[index / DEADLINES];
    vary(&l, variant, job);
    const double least = EDGELLM_ADMITTED_AT * (naive_rest(s, &l.job) + naive_margin(s, &l.job));
    if (times > 0) l.job.deadline = l.arrives + (el_nanoseconds)(times * least) + 1;
    return l;
}

/* Sums over all worlds, so that none of the rules holds because nothing happens. */
typedef struct sums {
    uint32_t worlds, refused, asides, shared, shifts, urgent;
} sums;

static void live_small(uint32_t kind, const uint32_t *jobs, uint32_t n, uint32_t variant,
                       noise_fn noise, sums *sum)
{
    world w = {.n = n, .noise = noise, .random = 1, .is_ranked = variant % RANKS != 0};
    w.s = (el_schedule){.costs = kinds[kind].costs,
                        .bound = kinds[kind].bound,
                        .batch = kinds[kind].batch,
                        .n_jobs = n};
    for (uint32_t i = 0; i < n; i++)
        w.lives[i] = small_life(&w.s, jobs[i], variant, i);
    live(&w);
    check_lives(&w);
    sum->worlds++;
    sum->refused += w.refused;
    sum->asides += w.asides;
    sum->shared += w.shared;
    sum->shifts += w.shifts;
    sum->urgent += w.urgent;
}

static void test_all_small_worlds(void **state)
{
    (void)state;
    const uint32_t stride = STRIDE;
    for (uint32_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        sums sum = {0};
        for (uint32_t a = 0; a < JOBS_OF_A_KIND; a++)
            for (uint32_t b = 0; b < JOBS_OF_A_KIND; b++)
                for (uint32_t c = (a + b) % stride; c < JOBS_OF_A_KIND; c += stride) {
                    const uint32_t jobs[] = {a, b, c};
                    live_small(kind, jobs, 3, 0, c % 2 ? exact : slow, &sum);
                }
        assert_true(sum.worlds >= JOBS_OF_A_KIND * JOBS_OF_A_KIND * (JOBS_OF_A_KIND / stride));
        assert_true(sum.refused > sum.worlds / 10 && sum.asides > sum.worlds / 100);
        if (kind < 2) assert_true(sum.shared > sum.worlds / 10);
    }
}

/* Each with any priorities and shifts of its own, of which a few are looked at. */
static void test_small_worlds_with_priorities_and_shifts(void **state)
{
    (void)state;
    const uint32_t n = JOBS_OF_A_KIND, stride = VARIANTS * STRIDE + 1;
    for (uint32_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        sums sum = {0};
        for (uint32_t v = 1; v < VARIANTS; v++)
            for (uint32_t at = v; at < n * n * n; at += stride) {
                const uint32_t jobs[] = {at % n, at / n % n, at / n / n};
                live_small(kind, jobs, 3, v, at % 2 ? exact : slow, &sum);
            }
        assert_true(sum.refused > sum.worlds / 10 && sum.asides > sum.worlds / 100);
        assert_true(sum.shifts > sum.worlds / 10 && sum.urgent > sum.worlds / 100);
    }
}

/* -------- large worlds -------- */

enum { WORLDS = 100 };

static double share(uint64_t *random) /* 0 <= . < 1 */
{
    return (double)(next_random(random) % 100000) / 100000;
}

static uint32_t between(uint64_t *random, uint32_t least, uint32_t most)
{
    return least + (uint32_t)(share(random) * (most - least + 1));
}

/* Some board: a step of 2 to 30 ms. */
static edgellm_costs made_up(uint64_t *random)
{
    edgellm_costs c = {.step = 2e6 + 28e6 * share(random), .n_chunks = 2, .chunk_tokens = {8, 64}};
    c.step_position = c.step * 0.001 * share(random);
    c.step_margin = c.step * 0.3 * share(random);
    c.chunk[0] = c.step * (1 + 3 * share(random));
    c.chunk[1] = c.chunk[0] * (2 + 6 * share(random));
    c.chunk_pair = c.step_position * share(random);
    c.chunk_margin = c.step_margin;
    c.n_passes = between(random, 0, 2);
    c.pass_sessions[0] = 2;
    c.pass_sessions[1] = 8;
    c.pass[0] = c.step * (1 + share(random));
    c.pass[1] = c.pass[0] * (1 + 3 * share(random));
    return c;
}

static void rank(el_job *j, uint64_t *random)
{
    j->priority = (int32_t)between(random, 0, 6) - 3;
    if (next_random(random) % 2) return;
    j->context = j->position + j->prompt + between(random, 2, 30);
    j->keep = between(random, 0, j->context / 2);
}

/* Jobs that arrive at random; half of them with deadlines of about what they take. */
static void fill(world *w, uint64_t *random)
{
    el_nanoseconds at = START;
    w->s = (el_schedule){.costs = made_up(random),
                         .bound = 5e6 + 60e6 * share(random),
                         .batch = between(random, 1, 64),
                         .n_jobs = between(random, 1, EDGELLM_SCHEDULER_SLOTS)};
    w->n = MOST;
    w->is_large = true;
    for (uint32_t i = 0; i < w->n; i++) {
        el_job *j = &w->lives[i].job;
        *j = (el_job){.position = between(random, 0, 3) * 50,
                      .prompt = between(random, 1, 200),
                      .steps = between(random, 0, 80)};
        w->lives[i].arrives = at;
        const double least = naive_rest(&w->s, j) + naive_margin(&w->s, j);
        if (next_random(random) % 2)
            j->deadline = at + (el_nanoseconds)(least * (1 + 9 * share(random)));
        if (w->is_ranked) rank(j, random);
        at += (el_nanoseconds)(least * 1.2 * share(random));
    }
}

/* With priorities and shifts, or without. */
static void check_promises(bool ranked)
{
    uint64_t random = 12345;
    sums sum = {0};
    for (int i = 0; i < WORLDS; i++) {
        world w = {.noise = i % 3 == 0 ? slow : mild, .random = 77 + (uint64_t)i};
        w.is_ranked = ranked;
        fill(&w, &random);
        live(&w);
        check_lives(&w);
        sum.refused += w.refused;
        sum.asides += w.asides;
        sum.shared += w.shared;
        sum.shifts += w.shifts;
        sum.urgent += w.urgent;
    }
    assert_true(sum.refused > 1000 && sum.refused < WORLDS * MOST / 2);
    assert_true(sum.asides > 1000 && sum.shared > 10000);
    assert_true(ranked == (sum.shifts > 100) && ranked == (sum.urgent > 100));
}

static void test_no_promise_is_broken(void **state)
{
    (void)state;
    check_promises(false);
    check_promises(true);
}

/* Every action takes its margin longer: more than is promised. */
static double late(const el_action *a, uint64_t *random)
{
    return a->time + (double)*random;
}

/* Then answers end early; none of their tokens is late, nor is their end. (hand_out(), end_early())
 */
static void test_what_cannot_be_kept_ends_in_time(void **state)
{
    (void)state;
    uint64_t random = 54321;
    uint32_t ended = 0;
    for (int i = 0; i < WORLDS; i++) {
        world w = {.noise = late};
        fill(&w, &random);
        w.s.costs.step_margin = w.s.costs.chunk_margin = w.s.costs.step * 0.4;
        w.random = (uint64_t)w.s.costs.step_margin;
        live(&w);
        ended += w.ended;
    }
    assert_true(ended > 100);
}

/* -------- said one by one -------- */

/* SmolLM2 on a core, about. */
static const edgellm_costs board = {.step = 5e6,
                                    .step_position = 1000,
                                    .step_margin = 5e5,
                                    .n_chunks = 2,
                                    .chunk_tokens = {4, 64},
                                    .chunk = {7e6, 70e6},
                                    .chunk_pair = 600,
                                    .chunk_margin = 2e6,
                                    .n_passes = 1,
                                    .pass_sessions = {4},
                                    .pass = {8e6}};

static world begin(uint32_t n_jobs)
{
    return (world){.s = {.costs = board, .bound = 20e6, .batch = 64, .n_jobs = n_jobs},
                   .noise = exact};
}

static life *join(world *w, uint32_t prompt, uint32_t answer, double arrives_ms, double until_ms)
{
    life *l = &w->lives[w->n++];
    *l = (life){.job = {.prompt = prompt, .steps = answer - 1},
                .arrives = START + (el_nanoseconds)(arrives_ms * 1e6)};
    if (until_ms > 0) l->job.deadline = START + (el_nanoseconds)(until_ms * 1e6);
    return l;
}

static double ms_of(el_nanoseconds time)
{
    return (double)(time - START) / 1e6;
}

/* During a prompt of 2,000 tokens, with a deadline or without. */
static void test_the_earlier_deadline_waits_for_one_chunk(void **state)
{
    (void)state;
    for (int promised = 0; promised < 2; promised++) {
        world w = begin(2);
        life *large = join(&w, 2000, 10, 0, promised ? 60000 : 0);
        life *urgent = join(&w, 40, 10, 501, 800);
        uint32_t last;
        const double own = naive_prompt(&w.s, &urgent->job, &last);
        live(&w);
        check_lives(&w);
        assert_true(large->ends_at > urgent->ends_at && urgent->first_at > urgent->arrives);
        assert_true((double)(urgent->first_at - urgent->arrives) <= own + 20e6);
    }
}

/* The same of a higher priority, without a deadline of its own: while promises leave time. */
static void test_a_higher_priority_waits_for_one_chunk(void **state)
{
    (void)state;
    for (int promised = 0; promised < 2; promised++) {
        world w = begin(3);
        life *large = join(&w, 2000, 10, 0, promised ? 60000 : 0);
        life *urgent = join(&w, 40, 10, 501, 0), *usual = join(&w, 40, 10, 400, 0);
        uint32_t last;
        urgent->job.priority = 1;
        w.is_ranked = true;
        const double own = naive_prompt(&w.s, &urgent->job, &last);
        live(&w);
        check_lives(&w);
        assert_true(large->ends_at > urgent->ends_at && usual->ends_at > urgent->ends_at);
        assert_true((double)(urgent->first_at - urgent->arrives) <= own + 20e6);
    }
    world w = begin(2); /* 2.9 s, 1.15 times: what is left for others is what is faster than that */
    life *tight = join(&w, 2000, 10, 0, 1), *urgent = join(&w, 600, 10, 501, 0);
    uint32_t last;
    const double own = naive_prompt(&w.s, &urgent->job, &last);
    tight->job.deadline = START + (el_nanoseconds)(1.16 * naive_rest(&w.s, &tight->job));
    urgent->job.priority = 1;
    w.is_ranked = true;
    live(&w);
    assert_false(tight->refused || tight->was_ended);
    assert_true((double)(urgent->first_at - urgent->arrives) > own + 20e6);
    assert_true(tight->ends_at <= tight->job.deadline && urgent->tokens == 10);
}

/* What is forecast of an answer that shifts is what it takes, its shifts and all. */
static void test_shifts_are_forecast(void **state)
{
    (void)state;
    world w = begin(1);
    life *l = join(&w, 100, 1000, 0, 0);
    l->job.context = 128;
    l->job.keep = 16;
    const edgellm_forecast f = el_schedule_forecast(&w.s, &l->job, START);
    live(&w);
    assert_int_equal(l->tokens, 1000); /* 29 of the first context, 56 after each shift */
    assert_int_equal(w.shifts, 18);
    const double error = f.answer_ns - (double)(l->ends_at - START);
    assert_true(error > -1e3 && error < 1e3); /* each action is rounded down to nanoseconds */
}

/* Four answers, all without a deadline, all with one: more than twice as fast as one after the
 * other, once their prompts are done. */
static void test_sessions_share_passes(void **state)
{
    (void)state;
    for (int promised = 0; promised < 2; promised++) {
        world alone = begin(4), together = begin(4);
        join(&alone, 20, 200, 0, 0);
        live(&alone);
        for (int i = 0; i < 4; i++)
            join(&together, 20, 200, 0, promised ? 60000 : 0);
        live(&together);
        check_lives(&together);
        assert_true(together.s.actions < alone.s.actions * 1.1 + 20);
        assert_true(ms_of(together.now) < 4 * ms_of(alone.now) / 2);
    }
}

/* An answer of five seconds with a deadline in a minute: another, without one, does not wait for
 * it, and slows it down by no more than its deadline allows. */
static void test_nobody_starves_while_there_is_time(void **state)
{
    (void)state;
    world w = begin(2);
    life *promised = join(&w, 10, 1000, 0, 60000), *other = join(&w, 500, 50, 100, 0);
    live(&w);
    assert_true(ms_of(other->ends_at) < 2000);
    assert_true(promised->ends_at > other->ends_at && ms_of(promised->ends_at) < 7000);
    world tight = begin(2); /* 1.15 times 11 + 5,7 s, and a little */
    promised = join(&tight, 10, 1000, 0, 6700);
    other = join(&tight, 500, 50, 100, 0);
    live(&tight);
    assert_false(promised->refused || promised->was_ended);
    assert_true(ms_of(promised->ends_at) < 6700 && other->tokens == 50);
}

/* A stream of promises that leaves a third of the time: others come to their end. */
static void test_a_stream_of_promises_leaves_the_rest(void **state)
{
    (void)state;
    world w = begin(8);
    life *other = join(&w, 500, 40, 0, 0);
    for (int i = 0; i < 60; i++) /* some 65 of every 100 ms */
        assert_non_null(join(&w, 40, 5, i * 100, i * 100 + 200));
    live(&w);
    check_lives(&w);
    assert_int_equal(w.refused, 0);
    assert_true(ms_of(other->ends_at) < 4500);
}

/* Short prompts that come faster than they are computed: an answer goes on all the same. */
static void test_prompts_do_not_starve_answers(void **state)
{
    (void)state;
    world w = begin(3);
    life *answer = join(&w, 10, 11, 0, 0);
    for (int i = 0; i < 60; i++)
        assert_non_null(join(&w, 16, 1, 20 + i * 10, 0));
    live(&w);
    assert_true(ms_of(answer->ends_at) < 800 && ms_of(w.now) > 1200);
}

/* It is ended while there is time, not when the next chance to look has come too late. */
static void test_what_would_be_late_after_an_action_ends_before(void **state)
{
    (void)state;
    world w = begin(2);
    const el_job first = {.prompt = 16, .deadline = START + 27000000}; /* takes 19.6 and 2 ms */
    const el_job kept = {.prompt = 1, .deadline = START + 28000000};   /* 5 and 0.5 */
    const el_job lost = {.prompt = 4, .deadline = START + 28000000};   /* 7 and 2 */
    el_schedule_add(&w.s, 0, &first);
    el_schedule_add(&w.s, 1, &kept);
    assert_int_equal(el_schedule_next(&w.s, START).kind, EL_ACTION_CHUNK);
    el_schedule_add(&w.s, 1, &lost);
    const el_action a = el_schedule_next(&w.s, START);
    assert_true(a.kind == EL_ACTION_END && a.jobs[0] == 1);
}

/* What is expected without a deadline counts all that is there. */
static void test_forecasts_without_a_deadline(void **state)
{
    (void)state;
    world w = begin(4);
    const el_job first = {.prompt = 100, .steps = 9}, second = {.prompt = 30, .steps = 19};
    edgellm_forecast f = el_schedule_forecast(&w.s, &first, START);
    assert_true(f.admitted && f.tokens == 10);
    assert_true(f.answer_ns == naive_rest(&w.s, &first));
    el_schedule_add(&w.s, 2, &first);
    f = el_schedule_forecast(&w.s, &second, START);
    assert_true(f.admitted && f.tokens == 20);
    assert_true(f.answer_ns == naive_rest(&w.s, &first) + naive_rest(&w.s, &second));
    el_job urgent = second; /* with one, only promises */
    urgent.deadline = START + 1000000000;
    f = el_schedule_forecast(&w.s, &urgent, START);
    assert_true(f.admitted && f.answer_ns == naive_rest(&w.s, &second));
}

/* Costs that become known later change what is expected of those that are there. */
static void test_costs_may_change(void **state)
{
    (void)state;
    world w = begin(1);
    const el_job job = {.prompt = 100, .steps = 9, .deadline = START + 10000000000};
    w.s.costs = (edgellm_costs){.n_chunks = 0};
    el_schedule_add(&w.s, 0, &job);
    assert_true(w.s.jobs[0].prompt_time == 0);
    el_schedule_set_costs(&w.s, &board);
    uint32_t last;
    assert_true(w.s.jobs[0].prompt_time == naive_prompt(&w.s, &job, &last));
    assert_int_equal(el_schedule_next(&w.s, START).kind, EL_ACTION_CHUNK);
    assert_int_equal(el_schedule_next(&w.s, START + 10000000000).kind, EL_ACTION_END);
    assert_int_equal(el_schedule_next(&w.s, START + 20000000000).kind, EL_ACTION_END);
}

/* Would it leave all that it is for with tokens to come? */
static bool ends_nobody(const el_schedule *s, const el_action *a)
{
    if (a->kind == EL_ACTION_CHUNK)
        return s->jobs[a->jobs[0]].prompt > a->tokens || s->jobs[a->jobs[0]].steps > 0;
    for (uint32_t i = 0; a->kind == EL_ACTION_PASS && i < a->tokens; i++)
        if (s->jobs[a->jobs[i]].steps < 2) return false;
    return a->kind == EL_ACTION_PASS;
}

/* Some jobs that are admitted, some of them begun; none of them late. */
static world some_world(uint64_t *random)
{
    world w = {.noise = exact, .is_ranked = next_random(random) % 2};
    fill(&w, random);
    w.now = START;
    for (uint32_t i = 0; i < w.s.n_jobs; i++) {
        const el_job *job = &w.lives[i].job;
        if (!el_schedule_forecast(&w.s, job, w.now).admitted) continue;
        el_schedule_add(&w.s, free_place(&w.s), job);
        for (uint32_t k = between(random, 0, 30); k > 0; k--) {
            const el_action a = el_schedule_next(&w.s, w.now);
            if (!ends_nobody(&w.s, &a)) break;
            el_schedule_did(&w.s, &a);
            w.now += (el_nanoseconds)a.time;
            shift_full(&w);
        }
    }
    return w;
}

/* Another deadline is taken exactly if, with it, all promises hold; else all is as it was. */
static void test_another_deadline(void **state)
{
    (void)state;
    uint64_t random = 4711;
    uint32_t taken = 0, refused = 0;
    for (int i = 0; i < 2000; i++) {
        world w = some_world(&random);
        const uint32_t place = between(&random, 0, w.s.n_jobs - 1);
        const el_job *j = &w.s.jobs[place];
        if (!j->active || naive_slack(&w.s, w.now) < 1e-3) continue;
        el_schedule before = w.s, with = w.s;
        const double least = naive_rest(&w.s, j) + naive_margin(&w.s, j);
        const el_nanoseconds deadline =
            next_random(&random) % 8 ? w.now + (el_nanoseconds)(least * 4 * share(&random)) : 0;
        const uint32_t left = j->steps + (j->prompt > 0);
        with.jobs[place].deadline = deadline;
        const double slack = naive_slack(&with, w.now);
        const edgellm_forecast f = el_schedule_set_deadline(&w.s, place, deadline, w.now);
        if (slack > 1e-3) assert_true(f.admitted);
        if (slack < -1e-3) assert_false(f.admitted);
        assert_true(f.admitted ? f.tokens == left : f.tokens < left);
        if (f.admitted) before.jobs[place].deadline = deadline;
        assert_memory_equal(&w.s, &before, sizeof before);
        taken += f.admitted && deadline != 0;
        refused += !f.admitted;
    }
    assert_true(taken > 200 && refused > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_small_worlds),
        cmocka_unit_test(test_small_worlds_with_priorities_and_shifts),
        cmocka_unit_test(test_no_promise_is_broken),
        cmocka_unit_test(test_what_cannot_be_kept_ends_in_time),
        cmocka_unit_test(test_the_earlier_deadline_waits_for_one_chunk),
        cmocka_unit_test(test_a_higher_priority_waits_for_one_chunk),
        cmocka_unit_test(test_shifts_are_forecast),
        cmocka_unit_test(test_sessions_share_passes),
        cmocka_unit_test(test_nobody_starves_while_there_is_time),
        cmocka_unit_test(test_a_stream_of_promises_leaves_the_rest),
        cmocka_unit_test(test_prompts_do_not_starve_answers),
        cmocka_unit_test(test_what_would_be_late_after_an_action_ends_before),
        cmocka_unit_test(test_forecasts_without_a_deadline),
        cmocka_unit_test(test_costs_may_change),
        cmocka_unit_test(test_another_deadline),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
