/*
 * test_forecast.c: forecasts on made-up costs; on a made-up clock, on which steps take up to their
 * margin longer, no answer ends late and none gives up more than that margin; and the deadline,
 * costs and calibration of real sessions.
 */
#include "support/test_help.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/threads.h"
#include "engine/forecast.h"
#include "support/tiny_file.h"
#include "support/tiny_model.h"

static const edgellm_costs plain = {.step = 1000,
                                    .step_position = 2,
                                    .step_margin = 300,
                                    .n_chunks = 2,
                                    .chunk_tokens = {4, 64},
                                    .chunk = {2200, 20000},
                                    .chunk_pair = 1.5,
                                    .chunk_margin = 900};

/* -------- numbers -------- */

static void test_steps(void **state)
{
    (void)state;
    assert_true(el_forecast_step(&plain, 0) == 1000);
    assert_true(el_forecast_step(&plain, 50) == 1100);
    assert_true(el_forecast_steps(&plain, 7, 0) == 0);
    double sum = 0;
    for (uint32_t n = 1; n < 300; n++) {
        sum += el_forecast_step(&plain, 6 + n);
        assert_true(fabs(el_forecast_steps(&plain, 7, n) - sum) < 1e-6);
    }
}

static void test_chunks(void **state)
{
    (void)state;
    assert_true(el_forecast_chunk(&plain, 10, 0) == 0);
    assert_true(el_forecast_chunk(&plain, 10, 1) == 1020); /* a step */
    assert_true(el_forecast_chunk(&plain, 0, 2) == 1400);  /* between a step and the first row */
    assert_true(el_forecast_chunk(&plain, 0, 4) == 2200);
    assert_true(el_forecast_chunk(&plain, 0, 34) == 11100); /* half way */
    assert_true(el_forecast_chunk(&plain, 0, 64) == 20000);
    assert_true(el_forecast_chunk(&plain, 0, 128) == 40000); /* past the last: in proportion */
    assert_true(el_forecast_chunk(&plain, 100, 4) == 2200 + 1.5 * 4 * 100);
    const edgellm_costs bare = {.step = 1000};
    assert_true(el_forecast_chunk(&bare, 9, 8) == 8000);
}

static void test_passes(void **state)
{
    (void)state;
    edgellm_costs c = plain; /* nothing is known: one after the other */
    assert_true(el_forecast_pass(&c, 1, 50) == 1100);
    assert_true(el_forecast_pass(&c, 3, 60) == 3120);
    c.n_passes = 2;
    c.pass_sessions[0] = 3, c.pass[0] = 1600;
    c.pass_sessions[1] = 8, c.pass[1] = 4000;
    assert_true(el_forecast_pass(&c, 1, 50) == 1100);
    assert_true(el_forecast_pass(&c, 2, 60) == 1300 + 120); /* half way */
    assert_true(el_forecast_pass(&c, 3, 60) == 1600 + 120);
    assert_true(el_forecast_pass(&c, 8, 0) == 4000);
    assert_true(el_forecast_pass(&c, 16, 0) == 8000); /* past the last: in proportion */
}

static void test_prompts(void **state)
{
    (void)state;
    assert_true(el_forecast_prompt(&plain, 5, 0, 64) == 0);
    const double two = el_forecast_chunk(&plain, 5, 64) + el_forecast_chunk(&plain, 69, 64);
    assert_true(el_forecast_prompt(&plain, 5, 128, 64) == two);
    assert_true(el_forecast_prompt(&plain, 5, 129, 64) == two + el_forecast_step(&plain, 133));
    assert_true(fabs(el_forecast_prompt(&plain, 5, 40, 1) - el_forecast_steps(&plain, 5, 40)) <
                1e-6);
}

static void test_fitting(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 100; n++) {
        const double time = el_forecast_steps(&plain, 3, n);
        assert_int_equal(el_forecast_fitting(&plain, 3, 200, 0, time), n);
        assert_int_equal(el_forecast_fitting(&plain, 3, 200, 0, time + 1), n);
        if (n > 0) assert_int_equal(el_forecast_fitting(&plain, 3, 200, 0, time - 1), n - 1);
        assert_int_equal(el_forecast_fitting(&plain, 3, n, 0, 1e12), n);
    }
    assert_int_equal(el_forecast_fitting(&plain, 3, 5, 0, -1), 0);
}

static void test_answers(void **state)
{
    (void)state;
    el_forecast_question q = {.position = 10, .batch = 64, .prompt = 100, .answer = 20};
    const double first = el_forecast_prompt(&plain, 10, 100, 64);
    const double all = first + el_forecast_steps(&plain, 110, 19);
    edgellm_forecast f = el_forecast_answer(&plain, &q);
    assert_true(f.first_ns == first && f.answer_ns == all && f.margin_ns == 300);
    assert_true(f.tokens == 0 && !f.admitted);
    const struct {
        double within;
        uint32_t tokens;
        bool admitted;
    } rows[] = {{first, 0, false},
                {first + 899, 0, false},
                {first + 900, 1, false}, /* with the margin of a chunk */
                {first + el_forecast_steps(&plain, 110, 7) + 300, 8, false},
                {all + 299, 19, false},
                {all + 300, 20, true},
                {1.15 * all, 20, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        q.within = rows[i].within;
        f = el_forecast_answer(&plain, &q);
        assert_int_equal(f.tokens, rows[i].tokens);
        assert_int_equal(f.admitted, rows[i].admitted);
    }
    edgellm_costs noisy = plain; /* whatever the margin is */
    noisy.step_margin = 1e6;
    q.within = EDGELLM_ADMITTED_AT * all;
    f = el_forecast_answer(&noisy, &q);
    assert_true(f.admitted && f.tokens < 20);
}

/* A mask, a log-probability and the most probable beside it: of every token, the first too. */
static void test_choices(void **state)
{
    (void)state;
    edgellm_costs c = plain;
    c.mask = 70, c.logprobs = 11, c.top_logprobs = 5;
    assert_true(el_forecast_choice(&c, (el_choice){.grammar = false}) == 0);
    assert_true(el_forecast_choice(&c, (el_choice){.grammar = true}) == 70);
    assert_true(el_forecast_choice(&c, (el_choice){.logprobs = true}) == 11);
    assert_true(el_forecast_choice(&c, (el_choice){true, true, true}) == 86);
    el_forecast_question q = {.position = 10, .batch = 64, .prompt = 100, .answer = 20};
    const edgellm_forecast bare = el_forecast_answer(&c, &q);
    q.choice = (el_choice){true, true, true};
    edgellm_forecast f = el_forecast_answer(&c, &q);
    assert_true(f.first_ns == bare.first_ns + 86);
    assert_true(fabs(f.answer_ns - bare.answer_ns - 20 * 86) < 1e-6);
    q.within = bare.answer_ns + bare.margin_ns; /* enough without: now one token too many */
    f = el_forecast_answer(&c, &q);
    assert_int_equal(f.tokens, 18);
    q.within = bare.answer_ns + bare.margin_ns + 20 * 86 + 1;
    assert_int_equal(el_forecast_answer(&c, &q).tokens, 20);
    for (uint32_t n = 0; n < 40; n++) {
        const double time = el_forecast_steps(&c, 3, n) + n * 86.0;
        assert_int_equal(el_forecast_fitting(&c, 3, 200, 86, time + 0.001), n);
        if (n > 0) assert_int_equal(el_forecast_fitting(&c, 3, 200, 86, time - 1), n - 1);
    }
    const edgellm_costs bad[] = {{.mask = -1}, {.logprobs = NAN}, {.top_logprobs = INFINITY}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(el_costs_check(&bad[i], NULL), EDGELLM_ERR_USAGE);
}

static void test_short_answers(void **state)
{
    (void)state;
    el_forecast_question q = {.position = 10, .batch = 64, .answer = 1};
    edgellm_forecast f = el_forecast_answer(&plain, &q); /* the logits are there */
    assert_true(f.first_ns == 0 && f.answer_ns == 0 && f.margin_ns == 0 && f.admitted);
    q.prompt = 65; /* ends with one token */
    assert_true(el_forecast_answer(&plain, &q).margin_ns == 300);
    q.prompt = 66;
    assert_true(el_forecast_answer(&plain, &q).margin_ns == 900);
    q.batch = 1;
    assert_true(el_forecast_answer(&plain, &q).margin_ns == 300);
}

static void test_bad_costs(void **state)
{
    (void)state;
    edgellm_error err;
    const double bad[] = {-1, NAN, INFINITY, -INFINITY, 1e18};
    assert_ok(el_costs_check(&plain, &err));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        edgellm_costs c[6];
        for (int k = 0; k < 6; k++)
            c[k] = plain;
        c[0].step = c[1].step_position = c[2].step_margin = bad[i];
        c[3].chunk_pair = c[4].chunk_margin = c[5].chunk[1] = bad[i];
        for (int k = 0; k < 6; k++)
            assert_int_equal(el_costs_check(&c[k], &err), EDGELLM_ERR_USAGE);
    }
    edgellm_costs c = plain;
    c.n_chunks = EDGELLM_COSTS_CHUNKS + 1;
    assert_int_equal(el_costs_check(&c, &err), EDGELLM_ERR_USAGE);
    c = plain;
    c.chunk_tokens[0] = 1;
    assert_int_equal(el_costs_check(&c, &err), EDGELLM_ERR_USAGE);
    c.chunk_tokens[0] = 64; /* not ascending */
    assert_int_equal(el_costs_check(&c, &err), EDGELLM_ERR_USAGE);
    assert_non_null(strstr(err.message, "65 at least"));
    c = plain;
    c.n_passes = EDGELLM_COSTS_PASSES + 1;
    assert_int_equal(el_costs_check(&c, &err), EDGELLM_ERR_USAGE);
    c.n_passes = 1;
    c.pass_sessions[0] = 1;
    assert_int_equal(el_costs_check(&c, &err), EDGELLM_ERR_USAGE);
    assert_non_null(strstr(err.message, "passes has 1 sessions, 2 at least"));
    c.pass_sessions[0] = 2;
    c.pass[0] = NAN;
    assert_int_equal(el_costs_check(&c, &err), EDGELLM_ERR_USAGE);
}

/* -------- a made-up clock -------- */

typedef struct chance {
    uint64_t state;
} chance;

static double draw(chance *c) /* 0 <= . < 1 */
{
    c->state = c->state * 6364136223846793005u + 1442695040888963407u;
    return (double)(c->state >> 11) * 0x1p-53;
}

static uint32_t between(chance *c, uint32_t least, uint32_t most)
{
    return least + (uint32_t)(draw(c) * (most - least + 1));
}

static edgellm_costs made_up(chance *c)
{
    edgellm_costs costs = {.step = 1e5 + 1e7 * draw(c), .n_chunks = 1, .chunk_tokens = {64}};
    costs.step_position = costs.step * 0.002 * draw(c);
    costs.step_margin = costs.step * 0.7 * draw(c);
    costs.chunk[0] = costs.step * 64 * (0.1 + 0.9 * draw(c));
    costs.chunk_pair = costs.step_position * draw(c);
    costs.chunk_margin = costs.chunk[0] * 0.1 * draw(c);
    return costs;
}

/* Answers as edgellm_session_eval() is asked for: returns the tokens that were made, *now when the
 * last was. Steps take up to their margin longer than expected, and never so much less. */
static uint32_t answer(const edgellm_costs *c, const el_forecast_question *q, double *now,
                       chance *noise)
{
    uint32_t position = q->position, tokens = 1;
    for (uint32_t left = q->prompt; left > 0;) {
        const uint32_t n = left < q->batch ? left : q->batch;
        if (q->within - *now < el_forecast_needed(c, position, n)) return 0;
        *now += el_forecast_chunk(c, position, n) * (1 + 0.1 * (draw(noise) - 0.5));
        position += n;
        left -= n;
    }
    for (; tokens < q->answer; tokens++, position++) {
        if (q->within - *now < el_forecast_needed(c, position, 1)) break;
        *now += el_forecast_step(c, position) + c->step_margin * (2 * draw(noise) - 1);
    }
    return tokens;
}

/* A prompt that is on time within 1.15 of its forecast is not stopped for a wide margin. */
static void test_what_a_batch_needs(void **state)
{
    (void)state;
    edgellm_costs c = {.step = 10, .step_margin = 4, .n_chunks = 1, .chunk_tokens = {16}};
    c.chunk[0] = 100;
    c.chunk_margin = 5;
    assert_true(el_forecast_needed(&c, 0, 1) == 14);
    assert_true(el_forecast_needed(&c, 0, 16) == 105);
    c.chunk_margin = 80;
    const double most = el_forecast_needed(&c, 0, 16);
    assert_true(most > 114.99 && most < 115.01);
}

static void test_none_is_late(void **state)
{
    (void)state;
    chance c = {1};
    uint32_t admitted = 0, ended_early = 0, refused = 0;
    for (int i = 0; i < 20000; i++) {
        const edgellm_costs costs = made_up(&c);
        el_forecast_question q = {.position = between(&c, 0, 500), .batch = 64};
        q.prompt = between(&c, 1, 300);
        q.answer = between(&c, 2, 200);
        const edgellm_forecast free_of_time = el_forecast_answer(&costs, &q);
        q.within = free_of_time.answer_ns * (0.5 + draw(&c));
        const edgellm_forecast f = el_forecast_answer(&costs, &q);
        if (q.within >= EDGELLM_ADMITTED_AT * f.answer_ns) assert_true(f.admitted);
        if (!f.admitted) refused++;
        if (!f.admitted && f.tokens < 2) continue;
        double now = 0;
        chance noise = {(uint64_t)i};
        const uint32_t tokens = answer(&costs, &q, &now, &noise);
        admitted++;
        assert_true(tokens <= 1 || now <= q.within); /* none is late */
        if (tokens < q.answer) ended_early++;
        if (tokens > 0 && tokens < q.answer) /* nor gives up more than a step and its margin */
            assert_true(q.within - now <
                        el_forecast_needed(&costs, q.position + q.prompt + tokens - 1, 1));
    }
    assert_true(admitted > 5000 && ended_early > 1000 && refused > 5000);
}

/* -------- sessions -------- */

typedef struct talk {
    edgellm_engine *engine;
    edgellm_session *session;
} talk;

static talk begin(uint32_t context, uint32_t batch)
{
    const edgellm_session_options o = {.context = context, .batch = batch, .threads = 1};
    talk t = {.engine = tiny_file_open(TINY_KEPT)};
    edgellm_error err;
    assert_ok(edgellm_session_open(t.engine, &o, &t.session, &err));
    return t;
}

static void end(talk *t)
{
    edgellm_session_close(t->session);
    edgellm_engine_close(t->engine);
}

static void test_session_forecast(void **state)
{
    (void)state;
    talk t = begin(64, 16);
    edgellm_error err;
    edgellm_forecast f;
    uint32_t token = 1;
    assert_int_equal(edgellm_session_forecast(t.session, 4, 4, 0, &f, &err), EDGELLM_ERR_USAGE);
    assert_ok(edgellm_session_set_costs(t.session, &plain, &err));
    assert_ok(edgellm_session_eval(t.session, &token, 1, NULL, &err));
    assert_ok(edgellm_session_forecast(t.session, 20, 3, 1e9, &f, &err));
    assert_true(f.first_ns == el_forecast_prompt(&plain, 1, 20, 16));
    assert_true(f.tokens == 3 && f.admitted);
    assert_ok(edgellm_session_forecast(t.session, 60, 4, 0, &f, &err));
    assert_int_equal(edgellm_session_forecast(t.session, 60, 5, 0, &f, &err), EDGELLM_ERR_CONTEXT);
    assert_int_equal(edgellm_session_forecast(t.session, UINT32_MAX, UINT32_MAX, 0, &f, &err),
                     EDGELLM_ERR_CONTEXT);
    assert_int_equal(edgellm_session_forecast(t.session, 4, 0, 0, &f, &err), EDGELLM_ERR_USAGE);
    const edgellm_costs bad = {.step = -1};
    assert_int_equal(edgellm_session_set_costs(t.session, &bad, &err), EDGELLM_ERR_USAGE);
    assert_ok(edgellm_session_forecast(t.session, 4, 4, 0, &f, &err)); /* as they were */
    assert_ok(edgellm_session_set_costs(t.session, NULL, &err));
    assert_int_equal(edgellm_session_forecast(t.session, 4, 4, 0, &f, &err), EDGELLM_ERR_USAGE);
    end(&t);
}

static uint64_t hash_of(const talk *t)
{
    return edgellm_hash_logits(EDGELLM_HASH_START, edgellm_session_logits(t->session),
                               EL_TINY_VOCAB);
}

/* What a deadline refuses can be computed later, to the same bits. */
static void test_deadline(void **state)
{
    (void)state;
    talk t = begin(64, 16), other = begin(64, 16);
    edgellm_error err;
    uint32_t prompt[40];
    for (uint32_t i = 0; i < 40; i++)
        prompt[i] = i * 7 % EL_TINY_VOCAB;
    assert_ok(edgellm_session_eval(other.session, prompt, 40, NULL, &err));
    edgellm_session_set_deadline(t.session, 1); /* long ago */
    assert_int_equal(edgellm_session_eval(t.session, prompt, 40, NULL, &err), EDGELLM_ERR_DEADLINE);
    assert_non_null(strstr(err.message, "0 of 40"));
    assert_int_equal(edgellm_session_position(t.session), 0);
    /* The second and third batch cost 3 hours, of which there is one. */
    const edgellm_costs dear = {
        .n_chunks = 1, .chunk_tokens = {16}, .chunk_pair = 3600e9 * 3 / 256};
    assert_ok(edgellm_session_set_costs(t.session, &dear, &err));
    edgellm_session_set_deadline(t.session, el_clock_now() + (el_nanoseconds)3600e9);
    assert_int_equal(edgellm_session_eval(t.session, prompt, 40, NULL, &err), EDGELLM_ERR_DEADLINE);
    assert_non_null(strstr(err.message, "16 of 40"));
    assert_int_equal(edgellm_session_position(t.session), 16);
    edgellm_session_set_deadline(t.session, 0);
    assert_ok(edgellm_session_eval(t.session, prompt + 16, 24, NULL, &err));
    assert_true(hash_of(&t) == hash_of(&other));
    /* A token's margin counts; and what is refused leaves the logits. */
    const edgellm_costs wide = {.step_margin = 2 * 3600e9};
    assert_ok(edgellm_session_set_costs(t.session, &wide, &err));
    edgellm_session_set_deadline(t.session, el_clock_now() + (el_nanoseconds)3600e9);
    assert_int_equal(edgellm_session_eval(t.session, prompt, 1, NULL, &err), EDGELLM_ERR_DEADLINE);
    assert_true(hash_of(&t) == hash_of(&other));
    edgellm_session_set_deadline(t.session, el_clock_now() + 3 * (el_nanoseconds)3600e9);
    assert_ok(edgellm_session_eval(t.session, prompt, 1, NULL, &err));
    end(&other);
    end(&t);
}

/* A deadline that passes in the middle of a batch: there is no result, and more time gives the same
 * bits. When it passes is chance, so it is tried until it did so. */
static void check_stopped(uint32_t threads)
{
    const edgellm_session_options o = {.context = 64, .batch = 64, .threads = threads};
    talk t = {.engine = tiny_file_open(TINY_KEPT)}, other = begin(64, 64);
    edgellm_error err;
    uint32_t prompt[60], stopped = 0;
    for (uint32_t i = 0; i < 60; i++)
        prompt[i] = i * 11 % EL_TINY_VOCAB;
    assert_ok(edgellm_session_open(t.engine, &o, &t.session, &err));
    assert_ok(edgellm_session_eval(other.session, prompt, 60, NULL, &err));
    assert_ok(edgellm_session_eval(t.session, prompt, 4, NULL, &err));
    const uint64_t four = hash_of(&t);
    for (uint64_t ns = 1000; stopped == 0; ns = ns < 100000000 ? ns + ns / 8 : 1000) {
        edgellm_session_set_deadline(t.session, el_clock_now() + ns);
        const edgellm_status status = edgellm_session_eval(t.session, prompt + 4, 56, NULL, &err);
        if (status == EDGELLM_OK) {
            assert_ok(edgellm_session_truncate(t.session, 3, &err));
            edgellm_session_set_deadline(t.session, 0);
            assert_ok(edgellm_session_eval(t.session, prompt + 3, 1, NULL, &err));
            continue;
        }
        assert_int_equal(status, EDGELLM_ERR_DEADLINE);
        assert_int_equal(edgellm_session_position(t.session), 4);
        assert_true(hash_of(&t) == four);
        stopped += strstr(err.message, "passed while 56 tokens at position 4") != NULL;
    }
    edgellm_session_set_deadline(t.session, 0);
    assert_ok(edgellm_session_eval(t.session, prompt + 4, 56, NULL, &err));
    assert_true(hash_of(&t) == hash_of(&other));
    end(&other);
    end(&t);
}

static void test_a_batch_is_given_up(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 2 && threads <= el_cores_allowed(); threads++)
        check_stopped(threads);
}

/* Calibration measures, and leaves the conversation and its draws as they were. */
static void test_calibration(void **state)
{
    (void)state;
    talk t = begin(64, 16), other = begin(64, 16);
    edgellm_error err;
    uint32_t prompt[] = {5, 6, 7, 8, 9}, token, dearer = 0;
    edgellm_costs costs;
    for (uint32_t i = 0; i < 5; i++) {
        assert_ok(edgellm_session_eval(t.session, prompt + i, 1, NULL, &err));
        assert_ok(edgellm_session_eval(other.session, prompt + i, 1, NULL, &err));
        assert_ok(edgellm_session_calibrate(t.session, 2000000, &costs, &err));
        assert_ok(el_costs_check(&costs, &err));
        assert_true(costs.step > 0 && costs.step_margin >= costs.step / 10);
        assert_true(costs.n_chunks == 1 && costs.chunk[0] > 0);
        dearer += costs.chunk[0] > costs.step; /* where others take the core, not each time */
        assert_int_equal(edgellm_session_position(t.session), i + 1);
    }
    assert_true(dearer > 0);
    for (uint32_t i = 0; i < 20; i++) {
        token = i + 20;
        assert_ok(edgellm_session_eval(t.session, &token, 1, NULL, &err));
        assert_ok(edgellm_session_eval(other.session, &token, 1, NULL, &err));
        assert_true(hash_of(&t) == hash_of(&other));
        assert_int_equal(edgellm_session_sample(t.session), edgellm_session_sample(other.session));
    }
    uint32_t rest[64] = {0};
    assert_ok(edgellm_session_eval(t.session, rest, 38, NULL, &err));
    assert_ok(edgellm_session_calibrate(t.session, 0, &costs, &err)); /* room for a step only */
    assert_int_equal(costs.n_chunks, 0);
    assert_ok(edgellm_session_eval(t.session, rest, 1, NULL, &err));
    assert_int_equal(edgellm_session_calibrate(t.session, 0, &costs, &err), EDGELLM_ERR_CONTEXT);
    end(&other);
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_passes),       cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_fitting),      cmocka_unit_test(test_answers),
        cmocka_unit_test(test_choices),      cmocka_unit_test(test_short_answers),
        cmocka_unit_test(test_bad_costs),    cmocka_unit_test(test_what_a_batch_needs),
        cmocka_unit_test(test_none_is_late), cmocka_unit_test(test_session_forecast),
        cmocka_unit_test(test_deadline),     cmocka_unit_test(test_a_batch_is_given_up),
        cmocka_unit_test(test_calibration),
    };
    return cmocka_run_group_tests_name("forecast", tests, tiny_files_make, NULL);
}
