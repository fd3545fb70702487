/*
 * test_schedule_said.c: what the scheduler does, said one by one: who waits for whom, for how long,
 * and what is forecast, on the costs of a board. All cases: test_schedule.c.
 */
#include "support/schedule_world.h"

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
    l->job.keep = l->job.from = 16;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests_name("schedule_said", tests, NULL, NULL);
}
