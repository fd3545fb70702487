/*
 * test_schedule.c: the scheduler's rules on a made-up clock. Small worlds are tried exhaustively:
 * every set of up to three jobs that arrive at any of some times, of any priority and shifting or
 * not; large ones at random, with actions that take longer than expected. What is expected of them
 * is worked out here once more, naively.
 */
#include "support/schedule_world.h"

#ifdef EL_TEST_SANITIZED
enum { STRIDE = 17 }; /* bits are the business of the release build */
#else
enum { STRIDE = 1 };
#endif

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
      .pass = {26, 38},
      .mask = 5,
      .logprobs = 2,
      .top_logprobs = 3},
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
    {{.step = 20, .step_margin = 8, .chunk_margin = 8, .mask = 7}, 10, 8},
};

enum { PROMPTS = 2, ANSWERS = 2, DEADLINES = 4, ARRIVALS = 4 };
enum { AT_A_TIME = PROMPTS * ANSWERS * DEADLINES, JOBS_OF_A_KIND = AT_A_TIME * ARRIVALS };
enum { IN_ORDER = ARRIVALS * (ARRIVALS + 1) * (ARRIVALS + 2) / 6 }; /* arrivals of three jobs */

enum {
    RANKS = 1 << 3,
    VARIANTS = RANKS * 2
}; /* priorities of three jobs, and whether they shift */

static void vary(life *l, uint32_t variant, uint32_t job)
{
    l->job.priority = (variant >> job & 1) ? 5 : -5;
    l->job.choice = (el_choice){(variant + job) % 3 == 0, job == 1, job == 1 && variant % 2 == 0};
    if (variant < RANKS) return;
    l->job.context = l->job.prompt + 1;
    l->job.keep = l->job.prompt / 4;
    l->job.from = job % 2 ? l->job.keep : 0;
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

/* The others are the same sets once more: who is asked first is who came first. */
static bool come_in_order(const uint32_t *jobs)
{
    return jobs[0] / AT_A_TIME <= jobs[1] / AT_A_TIME && jobs[1] / AT_A_TIME <= jobs[2] / AT_A_TIME;
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
                    if (!come_in_order(jobs)) continue;
                    live_small(kind, jobs, 3, 0, c % 2 ? exact : slow, &sum);
                }
        assert_true(sum.worlds >= IN_ORDER * (AT_A_TIME * AT_A_TIME * AT_A_TIME / stride) * 9 / 10);
        assert_true(sum.refused > sum.worlds / 10 && sum.asides > sum.worlds / 100);
        if (kind < 2) assert_true(sum.shared > sum.worlds / 10);
    }
}

/* Each with any priorities and shifts of its own, of which a few are looked at. */
static void test_small_worlds_with_priorities_and_shifts(void **state)
{
    (void)state;
    const uint32_t n = JOBS_OF_A_KIND, stride = 3 * VARIANTS * STRIDE + 1;
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
    c.mask = c.step * 0.4 * share(random);
    c.logprobs = c.top_logprobs = c.step * 0.1 * share(random);
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
    j->from = next_random(random) % 2 ? j->keep : 0;
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
                      .steps = between(random, 0, 80),
                      .choice = {i % 3 == 0, i % 4 == 0, i % 8 == 0}};
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

/* -------- other deadlines -------- */

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
        cmocka_unit_test(test_another_deadline),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
