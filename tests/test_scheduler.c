/*
 * test_scheduler.c: several requests on one engine: each gets the bits that a session alone would
 * give it, whatever comes between; memory is as planned, and nothing is allocated. Deadlines:
 * test_scheduler_deadlines.c.
 */
#include "support/desk.h"

#include <math.h>
#include <stdlib.h>

#include "base/threads.h"
#include "engine/engine.h"
#include "engine/forecast.h"
#include "support/token_path.h"

static const uint64_t hour = 3600000000000;

/* -------- bits -------- */

static const struct {
    uint32_t prompt, answer, turns_before; /* it comes after so many turns */
    uint32_t hours;                        /* until its deadline; 0: none */
} crowd[REQUESTS] = {{20, 10, 0, 0}, {1, 30, 0, 9},  {61, 5, 0, 0}, {7, 1, 3, 5},
                     {33, 20, 5, 0}, {2, 8, 9, 1},   {40, 3, 9, 0}, {12, 25, 12, 2},
                     {5, 5, 20, 0},  {80, 9, 21, 3}, {3, 3, 22, 1}, {17, 11, 23, 0}};

static void check_crowd(tiny_file file, edgellm_scheduler_options o, const edgellm_costs *costs)
{
    uint32_t prompts[REQUESTS][CONTEXT];
    edgellm_sampler_options samplers[REQUESTS];
    edgellm_request requests[REQUESTS];
    edgellm_error err;
    uint32_t busy = 0;
    desk d = begin(file, o);
    assert_ok(edgellm_scheduler_set_costs(d.scheduler, costs, &err));
    for (uint32_t i = 0; i < REQUESTS; i++) {
        fill_prompt(prompts[i], crowd[i].prompt, i + 1);
        samplers[i] = sampler_of(i);
        requests[i] = (edgellm_request){.tokens = prompts[i],
                                        .count = crowd[i].prompt,
                                        .max_tokens = crowd[i].answer,
                                        .sampler = &samplers[i]};
        if (costs && crowd[i].hours)
            requests[i].deadline_ns = el_clock_now() + crowd[i].hours * hour;
        while (d.turns < crowd[i].turns_before)
            turn(&d);
        edgellm_status status;
        while ((status = submit(&d, &requests[i], &err)) == EDGELLM_ERR_BUSY) {
            busy++;
            assert_true(turn(&d));
        }
        assert_ok(status);
    }
    run(&d);
    assert_int_equal(d.n, REQUESTS);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        assert_int_equal(d.answers[i].finish, EDGELLM_FINISH_LENGTH);
        assert_int_equal(d.answers[i].n, crowd[i].answer);
        assert_as_alone(&d, &d.answers[i], &requests[i], o.session.exact);
    }
    if (o.slots < REQUESTS) assert_true(busy > 0);
    if (o.slots > 1 && o.session.batch != 1) assert_true(d.shared > 0);
    end(&d);
}

static void test_bits_are_those_of_each_alone(void **state)
{
    (void)state;
    const uint32_t most = el_cores_allowed() >= 2 ? 2 : 1;
    const edgellm_costs quick = {.step = 1e6, .n_chunks = 1, .chunk_tokens = {16}, .chunk = {4e6}};
    for (uint32_t threads = 1; threads <= most; threads++) {
        edgellm_scheduler_options o = {.slots = 4, .session = {.threads = threads, .batch = 16}};
        check_crowd(TINY_KEPT, o, NULL);
        check_crowd(TINY_KEPT, o, &quick);
        o.chunk_ns = 2.5e9; /* chunks of 4, the last of 5 */
        check_crowd(TINY_MIXED, o, &slow);
        o.session.exact = true;
        check_crowd(TINY_KEPT, o, &quick);
    }
    check_crowd(TINY_ROTATED,
                (edgellm_scheduler_options){.slots = 3, .session.constant_time = true}, &slow);
    check_crowd(TINY_KEPT, (edgellm_scheduler_options){.slots = 1}, &quick);
    check_crowd(TINY_KEPT, (edgellm_scheduler_options){.slots = 6, .session.batch = 1}, &quick);
}

/* What a slot holds of a request isn't computed again. */
static void test_a_known_beginning_is_kept(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 3});
    uint32_t prompt[60], other[10];
    edgellm_error err;
    edgellm_sampler_options sampler = sampler_of(3);
    fill_prompt(prompt, 30, 1);
    fill_prompt(other, 10, 2);
    edgellm_request r = {.tokens = prompt, .count = 30, .max_tokens = 12, .sampler = &sampler};
    const edgellm_request o = {.tokens = other, .count = 10, .max_tokens = 12, .sampler = &sampler};
    assert_ok(submit(&d, &r, &err));
    assert_ok(submit(&d, &o, &err));
    run(&d);
    assert_int_equal(d.prompt_tokens, 40);
    memcpy(prompt + 30, d.answers[0].tokens, 12 * sizeof *prompt); /* the talk goes on */
    fill_prompt(prompt + 42, 5, 9);
    r.count = 47;
    assert_ok(edgellm_scheduler_set_costs(d.scheduler, &slow, &err));
    edgellm_forecast f;
    assert_ok(edgellm_scheduler_forecast(d.scheduler, &r, &f, &err));
    assert_true(f.first_ns == el_forecast_prompt(&slow, 41, 6, 4)); /* in two steps' time */
    assert_ok(submit(&d, &r, &err));
    run(&d);
    assert_int_equal(d.prompt_tokens, 40 + 6); /* the answer's last token was never computed */
    assert_as_alone(&d, &d.answers[2], &r, false);
    assert_ok(submit(&d, &r, &err)); /* the last token of a prompt is always computed */
    run(&d);
    assert_int_equal(d.prompt_tokens, 40 + 6 + 1);
    assert_as_alone(&d, &d.answers[3], &r, false);
    end(&d);
}

#define SAVED EL_TEST_OUT "/scheduler_slot.els"

static edgellm_slot slot_of(const desk *d, uint32_t number)
{
    edgellm_slot slot;
    assert_true(edgellm_scheduler_slot(d->scheduler, number, &slot));
    return slot;
}

/* The last answer is that of the other desk, and so are the logits behind it. */
static void assert_same_end(const desk *a, uint32_t slot_a, const desk *b, uint32_t slot_b)
{
    const answer *one = &a->answers[a->n - 1], *other = &b->answers[b->n - 1];
    const float *logits_a = edgellm_session_logits(slot_of(a, slot_a).session);
    const float *logits_b = edgellm_session_logits(slot_of(b, slot_b).session);
    assert_int_equal(one->n, other->n);
    assert_memory_equal(one->tokens, other->tokens, one->n * sizeof *one->tokens);
    assert_true(edgellm_hash_logits(EDGELLM_HASH_START, logits_a, EL_TINY_VOCAB) ==
                edgellm_hash_logits(EDGELLM_HASH_START, logits_b, EL_TINY_VOCAB));
}

/* A beginning that is there, because it was computed for another request or comes from a file,
 * changes nothing. */
static void test_what_slots_hold(void **state)
{
    (void)state;
    desk kept = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 1});
    desk fresh = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 1});
    desk loaded = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 2});
    uint32_t prompt[40];
    edgellm_error err;
    edgellm_slot slot;
    const edgellm_sampler_options sampler = sampler_of(4);
    fill_prompt(prompt, 40, 6);
    edgellm_request r = {.tokens = prompt, .count = 25, .max_tokens = 1, .sampler = &sampler};
    assert_ok(submit(&kept, &r, &err));
    assert_true(slot_of(&kept, 0).id == kept.answers[0].id);
    run(&kept);
    assert_true(slot_of(&kept, 0).id == 0 && slot_of(&kept, 0).held == 0);
    assert_ok(edgellm_session_save(slot_of(&kept, 0).session, SAVED, NULL, 0, &err));
    assert_ok(edgellm_session_load(slot_of(&loaded, 1).session, SAVED, &err));
    assert_int_equal(edgellm_session_position(slot_of(&loaded, 1).session), 25);
    r.count = 40;
    r.max_tokens = 20;
    desk *const desks[] = {&kept, &fresh, &loaded};
    for (int i = 0; i < 3; i++) {
        assert_ok(submit(desks[i], &r, &err));
        run(desks[i]);
    }
    assert_int_equal(slot_of(&kept, 0).held, 25);
    assert_int_equal(slot_of(&fresh, 0).held, 0);
    assert_int_equal(slot_of(&loaded, 1).held, 25);
    assert_same_end(&kept, 0, &fresh, 0);
    assert_same_end(&loaded, 1, &fresh, 0);
    assert_false(edgellm_scheduler_slot(fresh.scheduler, 1, &slot));
    for (int i = 0; i < 3; i++)
        end(desks[i]);
}

/* By the C library's functions. */
static double log_softmax(const float *logits, uint32_t token)
{
    double best = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < EL_TINY_VOCAB; i++)
        best = fmax(best, (double)logits[i]);
    for (uint32_t i = 0; i < EL_TINY_VOCAB; i++)
        sum += exp((double)logits[i] - best);
    return (double)logits[token] - best - log(sum);
}

/* In the order of a sort by logit, then by id. */
static void check_top(const edgellm_event *event, const float *logits, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t token = event->top[i].token;
        uint32_t better = 0;
        for (uint32_t k = 0; k < EL_TINY_VOCAB; k++)
            better += logits[k] > logits[token] || (k < token && logits[k] == logits[token]);
        assert_int_equal(better, i);
        assert_true(fabs((double)event->top[i].logprob - log_softmax(logits, token)) < 1e-5);
        if (token == event->token) assert_true(event->top[i].logprob == event->logprob);
    }
}

/* They are those of the logits of a session that computes the same tokens. */
static void test_logprobs(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 2});
    const edgellm_session_options alone = {.context = CONTEXT, .threads = 1};
    edgellm_request r = dated(4, 20, 0);
    edgellm_session *session;
    edgellm_error err;
    edgellm_turn t;
    uint64_t id;
    r.deadline_ns = 0;
    r.logprobs = true;
    r.top_logprobs = EDGELLM_TOP_LOGPROBS + 1;
    assert_int_equal(edgellm_scheduler_submit(d.scheduler, &r, &id, NULL, &err), EDGELLM_ERR_USAGE);
    r.top_logprobs = EDGELLM_TOP_LOGPROBS;
    assert_ok(edgellm_session_open(d.engine, &alone, &session, &err));
    assert_ok(edgellm_session_eval(session, r.tokens, r.count, NULL, &err));
    assert_ok(edgellm_scheduler_submit(d.scheduler, &r, &id, NULL, &err));
    for (uint32_t i = 0; i < 20; i++) {
        assert_ok(edgellm_scheduler_turn(d.scheduler, &t, &err));
        assert_true(t.n_events == 1 && t.events[0].has_token);
        const uint32_t token = t.events[0].token;
        const double right = log_softmax(edgellm_session_logits(session), token);
        assert_true(fabs((double)t.events[0].logprob - right) < 1e-5 && right < 0);
        check_top(&t.events[0], edgellm_session_logits(session), EDGELLM_TOP_LOGPROBS);
        assert_ok(edgellm_session_eval(session, &token, 1, NULL, &err));
    }
    r.logprobs = false;
    assert_ok(edgellm_scheduler_submit(d.scheduler, &r, &id, NULL, &err));
    assert_ok(edgellm_scheduler_turn(d.scheduler, &t, &err));
    assert_true(t.events[0].has_token && t.events[0].logprob == 0 && !t.events[0].top);
    edgellm_session_close(session);
    end(&d);
}

/* -------- ends -------- */

static void test_a_token_may_end_the_answer(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 2});
    edgellm_logit_bias bias = {.token = 0, .bias = 1000};
    edgellm_sampler_options sampler = sampler_of(1);
    edgellm_error err;
    const uint32_t prompt[] = {5, 6, 7};
    while (!edgellm_is_end(d.engine, bias.token))
        assert_true(++bias.token < EL_TINY_VOCAB);
    sampler.logit_bias = &bias;
    sampler.n_logit_bias = 1;
    edgellm_request r = {.tokens = prompt, .count = 3, .max_tokens = 6, .sampler = &sampler};
    assert_ok(submit(&d, &r, &err));
    r.stop_at_end = true;
    assert_ok(submit(&d, &r, &err));
    run(&d);
    assert_int_equal(d.answers[0].finish, EDGELLM_FINISH_LENGTH);
    assert_int_equal(d.answers[0].n, 6);
    assert_int_equal(d.answers[1].finish, EDGELLM_FINISH_END);
    assert_int_equal(d.answers[1].n, 1);
    assert_int_equal(d.answers[1].tokens[0], bias.token);
    end(&d);
}

static void test_cancelled(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 3, .session.batch = 8});
    uint32_t prompts[3][40];
    edgellm_request requests[3];
    edgellm_sampler_options sampler = sampler_of(8);
    edgellm_error err;
    for (uint32_t i = 0; i < 3; i++) {
        fill_prompt(prompts[i], 40, i + 3);
        requests[i] = (edgellm_request){
            .tokens = prompts[i], .count = i == 0 ? 3 : 40, .max_tokens = 30, .sampler = &sampler};
        assert_ok(submit(&d, &requests[i], &err));
    }
    for (int i = 0; i < 6; i++)
        turn(&d);
    assert_true(d.answers[0].n > 1 && d.answers[2].n == 0); /* in its answer; in its prompt */
    for (uint32_t i = 0; i < 3; i += 2) {
        assert_true(edgellm_scheduler_cancel(d.scheduler, d.answers[i].id));
        assert_false(edgellm_scheduler_cancel(d.scheduler, d.answers[i].id));
    }
    assert_int_equal(submit(&d, &requests[0], &err), EDGELLM_ERR_BUSY); /* until that is told */
    assert_contains(err.message, "all 3 slots");
    turn(&d);
    assert_int_equal(d.answers[0].finish, EDGELLM_FINISH_CANCELLED);
    assert_int_equal(d.answers[2].finish, EDGELLM_FINISH_CANCELLED);
    assert_ok(submit(&d, &requests[2], &err));
    run(&d);
    assert_as_alone(&d, &d.answers[0], &requests[0], false); /* as far as it came */
    assert_int_equal(d.answers[1].n, 30);
    assert_as_alone(&d, &d.answers[1], &requests[1], false);
    assert_int_equal(d.answers[3].n, 30);
    assert_as_alone(&d, &d.answers[3], &requests[2], false);
    assert_false(edgellm_scheduler_cancel(d.scheduler, d.answers[1].id));
    assert_false(edgellm_scheduler_cancel(d.scheduler, 0));
    edgellm_turn t;
    assert_ok(edgellm_scheduler_turn(d.scheduler, &t, &err));
    assert_int_equal(t.n_events + t.prompt_tokens + t.steps, 0);
    end(&d);
}

/* Weights whose logits are infinite: who is in that action has failed, others go on when the
 * weights are what they were. */
static void test_logits_that_overflow(void **state)
{
    (void)state;
    static float infinite[512];
    for (int in_answer = 0; in_answer < 2; in_answer++) {
        desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 3, .session.batch = 8});
        const float *right = d.engine->model.output_norm;
        assert_true(d.engine->model.config.dim <= 512);
        edgellm_sampler_options sampler = sampler_of(4);
        edgellm_error err = {0};
        edgellm_turn t;
        uint32_t prompt[20];
        fill_prompt(prompt, 20, 5);
        edgellm_request r = {.tokens = prompt, .count = 8, .max_tokens = 5, .sampler = &sampler};
        assert_ok(submit(&d, &r, &err));
        if (in_answer) turn(&d);
        r.count = 20;
        assert_ok(submit(&d, &r, &err));
        for (int i = 0; i < 512; i++)
            infinite[i] = INFINITY;
        d.engine->model.output_norm = infinite;
        assert_int_equal(edgellm_scheduler_turn(d.scheduler, &t, &err), EDGELLM_ERR_FORMAT);
        assert_contains(err.message, "overflow");
        d.engine->model.output_norm = right;
        assert_int_equal(t.n_events, 1);
        assert_true(t.events[0].id == d.answers[0].id && !t.events[0].has_token);
        note(&d, &t.events[0]);
        assert_int_equal(d.answers[0].finish, EDGELLM_FINISH_FAILED);
        run(&d);
        assert_int_equal(d.answers[1].n, 5);
        assert_as_alone(&d, &d.answers[1], &r, false);
        end(&d);
    }
}

/* -------- arguments, memory -------- */

static void assert_bad(desk *d, edgellm_request r, edgellm_status expected, const char *part)
{
    edgellm_error err = {0};
    assert_int_equal(submit(d, &r, &err), expected);
    assert_contains(err.message, part);
    assert_false(turn(d));
}

static void test_bad_requests(void **state)
{
    (void)state;
    desk d = begin(TINY_KEPT, (edgellm_scheduler_options){.slots = 2});
    const uint32_t bad[] = {1, EL_TINY_VOCAB};
    edgellm_sampler_options sampler = sampler_of(1);
    sampler.top_p = 7;
    assert_bad(&d, (edgellm_request){.tokens = few, .max_tokens = 1}, EDGELLM_ERR_USAGE, "prompt");
    assert_bad(&d, (edgellm_request){.tokens = few, .count = 1}, EDGELLM_ERR_USAGE, "answer of no");
    assert_bad(&d, (edgellm_request){.tokens = bad, .count = 2, .max_tokens = 1}, EDGELLM_ERR_USAGE,
               "token 300 (at 1)");
    assert_bad(&d, (edgellm_request){.tokens = few, .count = 40, .max_tokens = CONTEXT - 38},
               EDGELLM_ERR_CONTEXT, "96 positions");
    assert_bad(&d, (edgellm_request){.tokens = few, .count = 1, .max_tokens = UINT32_MAX},
               EDGELLM_ERR_CONTEXT, "96 positions");
    assert_bad(&d,
               (edgellm_request){.tokens = few, .count = 1, .max_tokens = 1, .sampler = &sampler},
               EDGELLM_ERR_USAGE, "top-p");
    const edgellm_costs negative = {.step = -1};
    edgellm_error err = {0};
    assert_int_equal(edgellm_scheduler_set_costs(d.scheduler, &negative, &err), EDGELLM_ERR_USAGE);
    edgellm_request full = {.tokens = few, .count = 40, .max_tokens = CONTEXT - 39};
    assert_ok(submit(&d, &full, &err));
    run(&d);
    assert_int_equal(d.answers[0].n, CONTEXT - 39);
    end(&d);
}

static void test_bad_options(void **state)
{
    (void)state;
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    edgellm_scheduler *scheduler = NULL;
    edgellm_error err = {0};
    const struct {
        edgellm_scheduler_options o;
        edgellm_status status;
        const char *part;
    } rows[] = {
        {{.slots = EDGELLM_SCHEDULER_SLOTS + 1}, EDGELLM_ERR_USAGE, "at most 16"},
        {{.chunk_ns = -1}, EDGELLM_ERR_USAGE, "chunk_ns"},
        {{.chunk_ns = NAN}, EDGELLM_ERR_USAGE, "chunk_ns"},
        {{.session.context = 1 << 30}, EDGELLM_ERR_USAGE, "context"},
        {{.session.max_ram = 1000}, EDGELLM_ERR_MEMORY, "the plan of 4 slots needs"},
        {{.session.memory_bytes = 64}, EDGELLM_ERR_USAGE, "memory is NULL"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(edgellm_scheduler_open(engine, &rows[i].o, &scheduler, &err),
                         rows[i].status);
        assert_contains(err.message, rows[i].part);
        assert_null(scheduler);
    }
    edgellm_scheduler_close(NULL);
    edgellm_engine_close(engine);
}

enum { ROOM = 16 << 20, FILL = 0xa5 };
static _Alignas(EDGELLM_MEMORY_ALIGN) uint8_t room[ROOM];

/* In the caller's memory: as many bytes as were planned, and nothing is allocated; nor is, with
 * memory of its own, after it was opened. */
static void test_memory_is_as_planned(void **state)
{
    (void)state;
    edgellm_scheduler_options o = {.slots = 4, .session = {.context = CONTEXT, .threads = 1}};
    edgellm_memory_plan plan, one, opened_plan;
    edgellm_error err = {0};
    assert_ok(edgellm_scheduler_plan(tiny_file_path(TINY_KEPT), &o, &plan, &err));
    assert_ok(edgellm_plan(tiny_file_path(TINY_KEPT), &o.session, &one, &err));
    assert_true(plan.kv_cache == 4 * one.kv_cache && plan.session_bytes < ROOM);
    assert_true(plan.session_bytes == plan.kv_cache + plan.scratch);
    assert_true(plan.total - plan.session_bytes - plan.program ==
                one.total - one.session_bytes - one.program);
    memset(room, FILL, sizeof room);
    for (int own = 0; own < 2; own++) {
        o.session.memory = own ? room : NULL;
        o.session.memory_bytes = own ? (size_t)plan.session_bytes : 0;
        const int closed = token_path_allocations();
        edgellm_engine *engine = tiny_file_open(TINY_KEPT);
        const int before = token_path_allocations();
        desk d = {.engine = engine};
        assert_true(before > closed); /* they are counted */
        assert_ok(edgellm_scheduler_open(engine, &o, &d.scheduler, &err));
        const int opened = token_path_allocations();
        edgellm_scheduler_memory(d.scheduler, &opened_plan);
        assert_true(opened_plan.session_bytes == plan.session_bytes);
        assert_true(opened_plan.kv_cache == plan.kv_cache && opened_plan.n_threads == 1);
        assert_true(own ? opened == before : opened == before + 1);
        for (int i = 0; i < 4; i++) {
            const edgellm_request r = {.tokens = few, .count = 20, .max_tokens = 10};
            assert_ok(submit(&d, &r, &err));
        }
        assert_true(edgellm_scheduler_cancel(d.scheduler, d.answers[2].id));
        run(&d);
        assert_int_equal(token_path_allocations(), opened);
        end(&d);
    }
    for (size_t i = (size_t)plan.session_bytes; i < ROOM; i++)
        assert_int_equal(room[i], FILL);
}

static edgellm_memory_plan plan_with(const edgellm_engine *engine, edgellm_scheduler_options o)
{
    edgellm_scheduler *scheduler = NULL;
    edgellm_memory_plan plan;
    edgellm_error err;
    assert_ok(edgellm_scheduler_open(engine, &o, &scheduler, &err));
    edgellm_scheduler_memory(scheduler, &plan);
    edgellm_scheduler_close(scheduler);
    return plan;
}

/* A cap between the plans of three and of four slots. */
static void test_a_cap_is_kept(void **state)
{
    (void)state;
    edgellm_scheduler_options o = {.slots = 3, .session = {.context = CONTEXT, .threads = 1}};
    edgellm_engine *engine = tiny_file_open(TINY_KEPT); /* what the process held is counted here */
    edgellm_scheduler *scheduler = NULL;
    edgellm_error err = {0};
    const uint64_t three = plan_with(engine, o).total;
    o.slots = 4;
    o.session.max_ram = (three + plan_with(engine, o).total) / 2;
    assert_int_equal(edgellm_scheduler_open(engine, &o, &scheduler, &err), EDGELLM_ERR_MEMORY);
    assert_contains(err.message, "with this context 3 would fit");
    o.slots = 3;
    assert_true(plan_with(engine, o).total == three);
    o.session.max_ram = 1; /* the path's own plan knows it too */
    edgellm_memory_plan plan;
    assert_int_equal(edgellm_scheduler_plan(tiny_file_path(TINY_KEPT), &o, &plan, &err),
                     EDGELLM_ERR_MEMORY);
    assert_true(plan.kv_cache > 0);
    edgellm_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_are_those_of_each_alone),
        cmocka_unit_test(test_a_known_beginning_is_kept),
        cmocka_unit_test(test_what_slots_hold),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_a_token_may_end_the_answer),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_logits_that_overflow),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_memory_is_as_planned),
        cmocka_unit_test(test_a_cap_is_kept),
    };
    return cmocka_run_group_tests_name("scheduler", tests, tiny_files_make, NULL);
}
