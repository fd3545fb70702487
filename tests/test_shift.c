/*
 * test_shift.c: contexts that are full and go on. What follows a shift is what would follow the
 * tokens that stay, had only they been computed: by a session and by a scheduler, beside others,
 * in any batches; what it takes is forecast.
 */
#include "support/desk.h"

#include <math.h>

#include "engine/forecast.h"
#include "engine/schedule.h"

enum { SMALL = 48, KEEP = 5 };

static edgellm_session *session_of(const desk *d, uint32_t context, bool exact)
{
    const edgellm_session_options o = {.context = context, .threads = 1, .exact = exact};
    edgellm_session *session = NULL;
    edgellm_error err;
    assert_ok(edgellm_session_open(d->engine, &o, &session, &err));
    return session;
}

/* -------- sessions -------- */

static uint64_t hash_of(const edgellm_session *s)
{
    return edgellm_hash_logits(EDGELLM_HASH_START, edgellm_session_logits(s), EL_TINY_VOCAB);
}

/* Are its tokens and logits those of these tokens alone? */
static void assert_like_fresh(const desk *d, edgellm_session *s, const uint32_t *tokens, uint32_t n)
{
    edgellm_session *fresh = session_of(d, CONTEXT, false);
    edgellm_error err;
    assert_int_equal(edgellm_session_position(s), n);
    assert_memory_equal(edgellm_session_tokens(s), tokens, n * sizeof *tokens);
    assert_ok(edgellm_session_eval(fresh, tokens, n, NULL, &err));
    assert_true(hash_of(s) == hash_of(fresh));
    edgellm_session_close(fresh);
}

static void test_a_session_is_as_if_new(void **state)
{
    (void)state;
    static const struct {
        uint32_t n, keep, drops;
    } rows[] = {{48, 5, 21}, {48, 0, 24}, {47, 24, 11}, {48, 46, 1}, {9, 2, 3}};
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 1});
    uint32_t tokens[SMALL];
    edgellm_error err = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const uint32_t n = rows[i].n, keep = rows[i].keep, drops = rows[i].drops;
        edgellm_session *s = session_of(&d, SMALL, false);
        uint32_t dropped = 0;
        fill_prompt(tokens, n, 3);
        assert_ok(edgellm_session_eval(s, tokens, n, NULL, &err));
        assert_ok(edgellm_session_shift(s, keep, &dropped, &err));
        assert_int_equal(dropped, drops);
        memmove(tokens + keep, tokens + keep + drops, (n - keep - drops) * sizeof *tokens);
        assert_like_fresh(&d, s, tokens, n - drops);
        edgellm_session_close(s);
    }
    end(&d);
}

static void test_what_a_session_cannot_shift(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 1});
    edgellm_session *s = session_of(&d, SMALL, false);
    uint32_t tokens[SMALL], dropped = 99;
    edgellm_error err = {0};
    fill_prompt(tokens, SMALL, 3);
    assert_int_equal(edgellm_session_shift(s, 0, &dropped, &err), EDGELLM_ERR_USAGE);
    assert_ok(edgellm_session_eval(s, tokens, 10, NULL, &err));
    for (uint32_t keep = 9; keep < 13; keep++)
        assert_int_equal(edgellm_session_shift(s, keep, &dropped, &err), EDGELLM_ERR_USAGE);
    assert_int_equal(edgellm_session_shift(s, UINT32_MAX, &dropped, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "nothing to drop");
    assert_like_fresh(&d, s, tokens, 10); /* nothing has changed */
    edgellm_session_set_deadline(s, el_clock_now() - 1);
    assert_int_equal(edgellm_session_shift(s, 4, &dropped, &err), EDGELLM_ERR_DEADLINE);
    assert_int_equal(dropped, 99);
    assert_int_equal(edgellm_session_position(s), 4); /* the rest is forgotten */
    edgellm_session_set_deadline(s, 0);
    assert_ok(edgellm_session_eval(s, tokens + 4, 3, NULL, &err));
    assert_like_fresh(&d, s, tokens, 7);
    edgellm_session_close(s);
    end(&d);
}

/* -------- schedulers -------- */

/* The greedy answer of fresh sessions, each of which has what stays of the one before. */
static void assert_as_fresh(const desk *d, const answer *a, const edgellm_request *r, bool exact)
{
    uint32_t held[SMALL], n = r->count, shifts = 0;
    edgellm_session *s = session_of(d, SMALL, exact);
    edgellm_error err;
    memcpy(held, r->tokens, n * sizeof *held);
    assert_ok(edgellm_session_set_sampler(s, r->sampler, &err));
    assert_ok(edgellm_session_eval(s, held, n, NULL, &err));
    for (uint32_t i = 0; i < a->n; i++) {
        const uint32_t token = edgellm_session_sample(s), keep = r->shift_keep;
        assert_int_equal(a->tokens[i], token);
        if (i + 1 == a->n) break;
        const bool is_full = n == SMALL;
        if (is_full) {
            const uint32_t left = n - keep - (n - keep) / 2;
            memmove(held + keep, held + n - left, left * sizeof *held);
            n = keep + left;
            edgellm_session_close(s);
            s = session_of(d, SMALL, exact);
            assert_ok(edgellm_session_set_sampler(s, r->sampler, &err));
            shifts++;
        }
        held[n++] = token;
        assert_ok(edgellm_session_eval(s, is_full ? held : &token, is_full ? n : 1, NULL, &err));
    }
    assert_true(shifts > 0);
    edgellm_session_close(s);
}

enum { TALKS = 5 };

static void check_talks(tiny_file file, edgellm_scheduler_options o, const edgellm_costs *costs)
{
    static const uint32_t prompts[TALKS] = {30, SMALL, 7, 40, 1},
                          keeps[TALKS] = {KEEP, 0, 24, 4, 1};
    edgellm_sampler_options greedy = sampler_of(1);
    edgellm_request requests[TALKS];
    uint32_t tokens[TALKS][SMALL];
    edgellm_error err;
    greedy.temperature = 0;
    o.session.context = SMALL;
    desk d = begin(file, o);
    assert_ok(edgellm_scheduler_set_costs(d.scheduler, costs, &err));
    for (uint32_t i = 0; i < TALKS; i++) {
        fill_prompt(tokens[i], prompts[i], i + 1);
        requests[i] = (edgellm_request){.tokens = tokens[i],
                                        .count = prompts[i],
                                        .max_tokens = MOST - i,
                                        .sampler = &greedy,
                                        .shift = true,
                                        .shift_keep = keeps[i],
                                        .priority = (int32_t)i % 2};
        if (costs && i % 2) requests[i].deadline_ns = el_clock_now() + 3600 * UINT64_C(1000000000);
        while (submit(&d, &requests[i], &err) == EDGELLM_ERR_BUSY)
            assert_true(turn(&d));
    }
    run(&d);
    assert_int_equal(d.n, TALKS);
    for (uint32_t i = 0; i < TALKS; i++) {
        assert_int_equal(d.answers[i].n, MOST - i);
        assert_int_equal(d.answers[i].finish, EDGELLM_FINISH_LENGTH);
        assert_as_fresh(&d, &d.answers[i], &requests[i], o.session.exact);
    }
    end(&d);
}

static void test_answers_are_as_if_new(void **state)
{
    (void)state;
    const edgellm_costs quick = {.step = 1e6, .n_chunks = 1, .chunk_tokens = {16}, .chunk = {4e6}};
    edgellm_scheduler_options o = {.slots = 3, .session.batch = 16};
    check_talks(TINY_KEPT, o, NULL);
    check_talks(TINY_KEPT, o, &quick);
    check_talks(TINY_MIXED, (edgellm_scheduler_options){.slots = 1, .session.batch = 1}, &quick);
    o.session.exact = true;
    check_talks(TINY_KEPT, o, &quick);
    o = (edgellm_scheduler_options){.slots = 2, .session.constant_time = true};
    check_talks(TINY_ROTATED, o, &quick);
}

/* The events say where the context was shifted: at the tokens that the schedule's rule names. */
static void test_shifts_are_told(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 1, .session.context = SMALL});
    const edgellm_request r = {
        .tokens = few, .count = 30, .max_tokens = MOST, .shift = true, .shift_keep = KEEP};
    uint32_t n = 0, shifts = 0, next = SMALL - 30 + 1;
    edgellm_turn t;
    edgellm_error err;
    assert_ok(submit(&d, &r, &err));
    do {
        assert_ok(edgellm_scheduler_turn(d.scheduler, &t, &err));
        for (uint32_t i = 0; i < t.n_events; i++, n++) {
            assert_true(t.events[i].shifted == (n == next));
            if (n != next) continue;
            next += el_shift_drops(SMALL, KEEP);
            shifts++;
        }
    } while (t.prompt_tokens + t.steps > 0);
    assert_true(n == MOST && shifts == 3);
    end(&d);
}

/* A deadline has the shifts in it: 20 + 44 tokens in a context of 48, chunks of 4. */
static void test_a_deadline_counts_them(void **state)
{
    (void)state;
    desk d =
        begin(TINY_KEPT,
              (edgellm_scheduler_options){.slots = 1, .chunk_ns = 2.5e9, .session.context = SMALL});
    edgellm_error err = {0};
    edgellm_forecast with, without;
    edgellm_request r = dated(20, 29, 3600);
    assert_ok(edgellm_scheduler_set_costs(d.scheduler, &slow, &err));
    assert_ok(edgellm_scheduler_forecast(d.scheduler, &r, &without, &err));
    assert_true(without.answer_ns == 10e9 + 28e9);
    r.shift = true;
    assert_ok(edgellm_scheduler_forecast(d.scheduler, &r, &with, &err));
    assert_true(with.answer_ns == without.answer_ns); /* it does not come to that */
    r.max_tokens = 30; /* 48 - 5 - 21 + 1 = 23 tokens anew: six chunks, not a step */
    assert_int_equal(
        edgellm_scheduler_forecast(d.scheduler,
                                   &(edgellm_request){.tokens = few, .count = 20, .max_tokens = 30},
                                   &with, &err),
        EDGELLM_ERR_CONTEXT);
    r.shift_keep = KEEP;
    assert_ok(edgellm_scheduler_forecast(d.scheduler, &r, &with, &err));
    const double anew = el_forecast_prompt(&slow, 5, 23, 4);
    assert_true(with.answer_ns == without.answer_ns + anew && anew > 11e9);
    r.deadline_ns = el_clock_now() + (uint64_t)(1.15 * 45e9);
    uint64_t id = 0;
    assert_int_equal(edgellm_scheduler_submit(d.scheduler, &r, &id, &with, &err),
                     EDGELLM_ERR_DEADLINE);
    assert_int_equal(with.tokens, 29); /* as many as fit without */
    r.deadline_ns = el_clock_now() + (uint64_t)(1.15 * 52e9);
    assert_ok(submit(&d, &r, &err));
    run(&d);
    assert_int_equal(d.answers[0].n, 30);
    end(&d);
}

static void test_bad_requests(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 1, .session.context = SMALL});
    uint32_t tokens[SMALL + 1];
    edgellm_error err = {0};
    fill_prompt(tokens, SMALL + 1, 1);
    edgellm_request r = {
        .tokens = tokens, .count = SMALL + 1, .max_tokens = 1, .shift = true, .shift_keep = 4};
    assert_int_equal(submit(&d, &r, &err),
                     EDGELLM_ERR_CONTEXT); /* nothing of a prompt is dropped */
    r.count = SMALL;
    r.shift_keep = SMALL / 2 + 1;
    assert_int_equal(submit(&d, &r, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "shift_keep 25: at most half");
    r.shift_keep = SMALL / 2;
    r.max_tokens = 3;
    assert_ok(submit(&d, &r, &err));
    run(&d);
    assert_int_equal(d.answers[0].n, 3);
    end(&d);
}

/* -------- priorities -------- */

/* In the middle of a long prompt, promised or not: a higher priority waits for one chunk. */
static void test_a_higher_priority_goes_first(void **state)
{
    (void)state;
    for (int promised = 0; promised < 2; promised++) {
        desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 3, .chunk_ns = 2.5e9});
        edgellm_error err = {0};
        assert_ok(edgellm_scheduler_set_costs(d.scheduler, &slow, &err));
        edgellm_request large = dated(40, 20, 7200), urgent = dated(8, 5, 0), usual = urgent;
        if (!promised) large.deadline_ns = 0;
        urgent.deadline_ns = usual.deadline_ns = 0;
        urgent.priority = 1;
        assert_ok(submit(&d, &large, &err));
        assert_ok(submit(&d, &usual, &err));
        for (int i = 0; i < 3; i++)
            turn(&d);
        assert_int_equal(d.prompt_tokens, 12);
        assert_ok(submit(&d, &urgent, &err));
        run(&d);
        assert_int_equal(d.answers[2].first_turn, 5); /* two chunks */
        assert_true(d.answers[0].first_turn > 9 && d.answers[1].first_turn > 9);
        for (int i = 0; i < 3; i++)
            assert_int_equal(d.answers[i].finish, EDGELLM_FINISH_LENGTH);
        end(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_is_as_if_new),
        cmocka_unit_test(test_what_a_session_cannot_shift),
        cmocka_unit_test(test_answers_are_as_if_new),
        cmocka_unit_test(test_shifts_are_told),
        cmocka_unit_test(test_a_deadline_counts_them),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_a_higher_priority_goes_first),
    };
    return cmocka_run_group_tests_name("shift", tests, tiny_files_make, NULL);
}
