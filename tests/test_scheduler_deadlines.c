/*
 * test_scheduler_deadlines.c: what cannot be promised is refused with the numbers, what cannot be
 * kept ends in time; what promises go by is measured, beside another scheduler too.
 */
#include "support/desk.h"

#include <math.h>

#include "engine/forecast.h"

/* -------- promises -------- */

static void test_what_cannot_be_promised_is_refused(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 3, .chunk_ns = 2e9});
    edgellm_error err = {0};
    edgellm_forecast f;
    uint64_t id = 0;
    edgellm_request r = dated(4, 9, 20);
    assert_int_equal(submit(&d, &r, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "costs");
    assert_int_equal(edgellm_scheduler_forecast(d.scheduler, &r, &f, &err), EDGELLM_ERR_USAGE);
    assert_ok(edgellm_scheduler_set_costs(d.scheduler, &slow, &err));
    r = dated(4, 9, 11.5); /* 1.15 * (2 + 8 + 0.1) = 11.615 */
    assert_int_equal(edgellm_scheduler_submit(d.scheduler, &r, &id, &f, &err),
                     EDGELLM_ERR_DEADLINE);
    assert_true(id == 0 && f.tokens == 8 && !f.admitted);
    assert_true(f.first_ns == 2e9 && f.answer_ns == 10e9 && f.margin_ns == 1e8);
    assert_contains(err.message, "8 would fit, 11615.0 ms are enough");
    r = dated(4, 9, 11.7);
    assert_ok(submit(&d, &r, &err));
    r = dated(4, 9, 23); /* behind it */
    assert_int_equal(submit(&d, &r, &err), EDGELLM_ERR_DEADLINE);
    assert_contains(err.message, "behind what is promised, takes 12000.0 ms");
    r = dated(4, 2, 9); /* before it, and it would be broken */
    assert_int_equal(submit(&d, &r, &err), EDGELLM_ERR_DEADLINE);
    assert_contains(err.message, "later deadlines");
    r = dated(4, 9, 24);
    assert_ok(edgellm_scheduler_forecast(d.scheduler, &r, &f, &err));
    assert_true(f.admitted && f.tokens == 9 && f.answer_ns == 20e9);
    assert_ok(submit(&d, &r, &err));
    run(&d); /* in less than a second, of course */
    for (int i = 0; i < 2; i++)
        assert_int_equal(d.answers[i].finish, EDGELLM_FINISH_LENGTH);
    end(&d);
}

static edgellm_status change(const desk *d, uint32_t which, double seconds, edgellm_forecast *f,
                             edgellm_error *err)
{
    const uint64_t deadline = seconds > 0 ? el_clock_now() + (uint64_t)(seconds * 1e9) : 0;
    return edgellm_scheduler_set_deadline(d->scheduler, d->answers[which].id, deadline, f, err);
}

/* Half a second for a mask, a quarter for log-probabilities, an eighth for those beside. */
static void test_what_is_beside_a_token_counts(void **state)
{
    (void)state;
    static const char text[] = "root ::= [a-z]{0,20}";
    const edgellm_scheduler_options o = {.slots = 3, .chunk_ns = 2e9, .session = {.grammar = true}};
    desk d = begin(TINY_KEPT, o);
    edgellm_grammar *grammar = NULL;
    edgellm_costs costs = slow;
    edgellm_error err = {0};
    edgellm_forecast f, g;
    costs.mask = 0.5e9, costs.logprobs = 0.25e9, costs.top_logprobs = 0.125e9;
    assert_ok(edgellm_grammar_create(d.engine, text, sizeof text - 1, &grammar, &err));
    assert_ok(edgellm_scheduler_set_costs(d.scheduler, &costs, &err));
    edgellm_request r = dated(4, 9, 100);
    assert_ok(edgellm_scheduler_forecast(d.scheduler, &r, &f, &err));
    assert_true(f.first_ns == 2e9 && f.answer_ns == 10e9);
    r.logprobs = true;
    assert_ok(edgellm_scheduler_forecast(d.scheduler, &r, &f, &err));
    assert_true(f.first_ns == 2.25e9 && f.answer_ns == 10e9 + 9 * 0.25e9);
    r.top_logprobs = 3;
    assert_ok(edgellm_scheduler_forecast(d.scheduler, &r, &f, &err));
    assert_true(f.first_ns == 2.375e9 && f.answer_ns == 10e9 + 9 * 0.375e9);
    r.grammar = grammar;
    assert_ok(edgellm_scheduler_forecast(d.scheduler, &r, &f, &err));
    assert_true(f.first_ns == 2.875e9 && f.answer_ns == 10e9 + 9 * 0.875e9);
    r = dated(4, 9, 11.8); /* enough without: 11.615 */
    r.grammar = grammar;
    uint64_t id = 0;
    assert_int_equal(edgellm_scheduler_submit(d.scheduler, &r, &id, &f, &err),
                     EDGELLM_ERR_DEADLINE); /* 1.15 * (14.5 + 0.1) = 16.79 */
    assert_true(f.answer_ns == 14.5e9 && !f.admitted && f.tokens == 6);
    assert_contains(err.message, "16790.0 ms are enough");
    r.grammar = NULL;
    assert_ok(submit(&d, &r, &err));
    r.deadline_ns = 0, r.grammar = grammar;
    assert_ok(submit(&d, &r, &err));
    /* another deadline: the same sum, behind the first */
    assert_int_equal(change(&d, 1, 28, &f, &err), EDGELLM_ERR_DEADLINE);
    assert_true(f.answer_ns == 24.5e9);
    assert_ok(change(&d, 1, 30, &g, &err));
    assert_true(g.admitted && g.first_ns == 12.5e9);
    run(&d);
    end(&d);
    edgellm_grammar_destroy(grammar);
}

static void test_another_deadline(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 3, .chunk_ns = 2e9});
    edgellm_error err = {0};
    edgellm_forecast f;
    edgellm_request r = dated(4, 9, 20);
    r.deadline_ns = 0;
    assert_ok(submit(&d, &r, &err));
    assert_int_equal(change(&d, 0, 20, &f, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "costs");
    assert_ok(change(&d, 0, 0, NULL, &err));
    assert_ok(edgellm_scheduler_set_costs(d.scheduler, &slow, &err));
    assert_int_equal(change(&d, 0, 11.5, &f, &err), EDGELLM_ERR_DEADLINE); /* as on arrival */
    assert_true(f.tokens == 8 && f.first_ns == 2e9 && f.answer_ns == 10e9);
    assert_ok(change(&d, 0, 11.8, &f, &err));
    turn(&d); /* the prompt, and a token: eight are left, 1.15 * (8 + 0.1) = 9.315 */
    assert_int_equal(change(&d, 0, 9.2, &f, &err), EDGELLM_ERR_DEADLINE);
    assert_contains(err.message, "8 tokens that are left take 8000.0 ms");
    assert_contains(err.message, "7 would fit, 9315.0 ms");
    assert_true(f.tokens == 7 && f.first_ns == 1e9 && f.answer_ns == 8e9 && !f.admitted);
    assert_ok(change(&d, 0, 9.6, &f, &err));
    assert_true(f.tokens == 8 && f.admitted);
    r = dated(4, 9, 24);
    assert_ok(submit(&d, &r, &err));
    assert_int_equal(change(&d, 1, 12, &f, &err), EDGELLM_ERR_DEADLINE); /* behind the first */
    assert_ok(change(&d, 0, 0, &f, &err));
    assert_ok(change(&d, 1, 12, &f, &err));
    assert_int_equal(change(&d, 0, 9.6, &f, &err), EDGELLM_ERR_DEADLINE); /* the second's breaks */
    assert_true(edgellm_scheduler_cancel(d.scheduler, d.answers[1].id));
    assert_int_equal(change(&d, 1, 50, &f, &err), EDGELLM_ERR_USAGE);
    assert_ok(change(&d, 0, 9.6, &f, &err));
    run(&d);
    assert_int_equal(d.answers[0].finish, EDGELLM_FINISH_LENGTH);
    assert_int_equal(change(&d, 0, 50, &f, &err), EDGELLM_ERR_USAGE);
    assert_int_equal(edgellm_scheduler_set_deadline(d.scheduler, 0, 0, &f, &err),
                     EDGELLM_ERR_USAGE);
    end(&d);
}

/* Costs turn out to be a hundred times what they were. */
static void test_what_cannot_be_kept_ends(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 4, .chunk_ns = 2e9});
    edgellm_error err = {0};
    assert_ok(edgellm_scheduler_set_costs(d.scheduler, &slow, &err));
    edgellm_request r[] = {dated(4, 9, 30), dated(9, 9, 60), dated(2, 9, 7200)};
    for (int i = 0; i < 3; i++)
        assert_ok(submit(&d, &r[i], &err));
    turn(&d);
    turn(&d);
    assert_true(d.answers[0].n > 0);
    edgellm_costs dear = slow;
    dear.step *= 100;
    dear.chunk[0] *= 100;
    assert_ok(edgellm_scheduler_set_costs(d.scheduler, &dear, &err));
    run(&d);
    assert_int_equal(d.answers[0].finish, EDGELLM_FINISH_DEADLINE);
    assert_true(d.answers[0].n < 9);
    assert_int_equal(d.answers[1].finish, EDGELLM_FINISH_DEADLINE);
    assert_int_equal(d.answers[1].n, 0);
    assert_int_equal(d.answers[2].finish, EDGELLM_FINISH_LENGTH);
    end(&d);
}

/* In the middle of a long prompt: after its own, nothing comes between. */
static void test_an_earlier_deadline_goes_first(void **state)
{
    (void)state;
    for (int promised = 0; promised < 2; promised++) {
        desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 2, .chunk_ns = 2.5e9});
        edgellm_error err = {0};
        assert_ok(edgellm_scheduler_set_costs(d.scheduler, &slow, &err));
        edgellm_request large = dated(40, 20, 7200), urgent = dated(8, 5, 600);
        if (!promised) large.deadline_ns = 0;
        assert_ok(submit(&d, &large, &err));
        for (int i = 0; i < 3; i++)
            turn(&d);
        assert_int_equal(d.prompt_tokens, 12);
        assert_ok(submit(&d, &urgent, &err));
        run(&d);
        assert_int_equal(d.answers[1].first_turn, 5); /* two chunks */
        assert_true(d.answers[0].first_turn > 5);
        end(&d);
    }
}

/* -------- measuring -------- */

static void test_measuring(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 5, .session.batch = 16});
    edgellm_error err = {0};
    edgellm_costs costs;
    edgellm_request r = {.tokens = few, .count = 10, .max_tokens = 5};
    assert_ok(submit(&d, &r, &err));
    assert_int_equal(edgellm_scheduler_calibrate(d.scheduler, 1000000, &costs, &err),
                     EDGELLM_ERR_USAGE);
    assert_contains(err.message, "request 1");
    run(&d);
    assert_ok(edgellm_scheduler_calibrate(d.scheduler, 5000000, &costs, &err));
    assert_ok(el_costs_check(&costs, &err));
    assert_true(costs.step > 0 && costs.n_chunks == 4 && costs.n_passes == 4);
    assert_true(costs.chunk_tokens[3] == 16 && costs.pass_sessions[3] == 5);
    for (int i = 0; i < 4; i++)
        assert_true(costs.chunk[i] > 0 && costs.pass[i] > 0);
    assert_ok(edgellm_scheduler_set_costs(d.scheduler, &costs, &err));
    r = dated(10, 20, 60);
    edgellm_sampler_options sampler = sampler_of(5);
    r.sampler = &sampler;
    assert_ok(submit(&d, &r, &err));
    run(&d);
    assert_int_equal(d.answers[1].n, 20);
    assert_as_alone(&d, &d.answers[1], &r, false);
    end(&d);
}

/* Two schedulers of one engine: while one is measured the other answers. */
typedef struct beside {
    desk *other;
    uint32_t pieces, unknown, left; /* left: pieces after which it is enough */
} beside;

static bool go_on(void *context, double ns)
{
    beside *b = context;
    b->pieces++;
    b->unknown += ns == 0;
    assert_true(ns >= 0 && ns < 1e12);
    (void)turn(b->other);
    return b->pieces <= b->left;
}

static void test_measuring_beside(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 2, .session.batch = 16});
    desk measured = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 3, .session.batch = 16});
    beside b = {.other = &d, .left = UINT32_MAX};
    edgellm_error err = {0};
    edgellm_costs costs;
    edgellm_request r = {.tokens = few, .count = 10, .max_tokens = 20};
    edgellm_sampler_options sampler = sampler_of(7);
    r.sampler = &sampler;
    assert_ok(submit(&d, &r, &err));
    assert_ok(
        edgellm_scheduler_calibrate_beside(measured.scheduler, 1000000, go_on, &b, &costs, &err));
    assert_ok(el_costs_check(&costs, &err));
    assert_true(b.pieces > 21 && b.unknown == 3); /* the first, and those of either end */
    assert_int_equal(d.answers[0].n, 20);
    assert_as_alone(&d, &d.answers[0], &r, false);
    b = (beside){.other = &d, .left = 4};
    assert_int_equal(
        edgellm_scheduler_calibrate_beside(measured.scheduler, 1000000, go_on, &b, &costs, &err),
        EDGELLM_ERR_INTERRUPTED);
    assert_int_equal(b.pieces, 5);
    end(&measured);
    end(&d);
}

static void test_slack(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 2, .session.batch = 16});
    edgellm_error err = {0};
    edgellm_costs costs;
    double next = -1;
    assert_ok(edgellm_scheduler_calibrate(d.scheduler, 1000000, &costs, &err));
    assert_ok(edgellm_scheduler_set_costs(d.scheduler, &costs, &err));
    assert_true(edgellm_scheduler_slack(d.scheduler, &next) == INFINITY && next == 0);
    edgellm_request r = dated(10, 20, 60);
    assert_ok(submit(&d, &r, &err));
    const double slack = edgellm_scheduler_slack(d.scheduler, &next);
    assert_true(slack > 0 && slack < 60e9 && next > 0 && next < slack);
    assert_true(edgellm_scheduler_slack(d.scheduler, NULL) <= slack);
    run(&d);
    assert_true(edgellm_scheduler_slack(d.scheduler, NULL) == INFINITY);
    end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_cannot_be_promised_is_refused),
        cmocka_unit_test(test_what_is_beside_a_token_counts),
        cmocka_unit_test(test_another_deadline),
        cmocka_unit_test(test_what_cannot_be_kept_ends),
        cmocka_unit_test(test_an_earlier_deadline_goes_first),
        cmocka_unit_test(test_measuring),
        cmocka_unit_test(test_measuring_beside),
        cmocka_unit_test(test_slack),
    };
    return cmocka_run_group_tests_name("scheduler_deadlines", tests, tiny_files_make, NULL);
}
