/* desk.h: a scheduler with its requests and what came of them, for tests of several requests. */
#ifndef EL_TEST_DESK_H
#define EL_TEST_DESK_H

#include "base/clock.h"
#include "support/test_help.h"
#include "support/tiny_file.h"
#include "support/tiny_model.h"

enum { CONTEXT = 96, MOST = 64, REQUESTS = 12 };

/* A second for a step; a chunk of 4 as long as two. */
static const edgellm_costs slow = {.step = 1e9,
                                   .step_margin = 1e8,
                                   .n_chunks = 1,
                                   .chunk_tokens = {4},
                                   .chunk = {2e9},
                                   .chunk_margin = 1e8,
                                   .n_passes = 1,
                                   .pass_sessions = {4},
                                   .pass = {2e9}};

/* What came of a request. */
typedef struct answer {
    uint64_t id;
    uint32_t tokens[MOST], n;
    uint32_t first_turn; /* after which its first token was there */
    edgellm_finish finish;
} answer;

typedef struct desk {
    edgellm_engine *engine;
    edgellm_scheduler *scheduler;
    answer answers[REQUESTS];
    uint32_t n, turns, prompt_tokens, shared; /* shared: passes of several */
} desk;

static inline desk begin(tiny_file file, edgellm_scheduler_options o)
{
    const edgellm_engine_options with = {.grammars = o.session.grammar};
    desk d = {.engine = NULL};
    edgellm_error err;
    assert_ok(edgellm_engine_open(tiny_file_path(file), &with, &d.engine, &err));
    if (o.session.context == 0) o.session.context = CONTEXT;
    if (o.session.threads == 0) o.session.threads = 1;
    assert_ok(edgellm_scheduler_open(d.engine, &o, &d.scheduler, &err));
    return d;
}

static inline void end(desk *d)
{
    edgellm_scheduler_close(d->scheduler);
    edgellm_engine_close(d->engine);
}

static inline void fill_prompt(uint32_t *tokens, uint32_t n, uint32_t seed)
{
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (seed * 101 + i * 37 + i * i * seed) % EL_TINY_VOCAB;
}

static inline edgellm_sampler_options sampler_of(uint32_t seed)
{
    edgellm_sampler_options o = edgellm_sampler_defaults();
    o.seed = seed;
    return o;
}

static inline edgellm_status submit(desk *d, const edgellm_request *r, edgellm_error *err)
{
    uint64_t id = 0;
    edgellm_status status = edgellm_scheduler_submit(d->scheduler, r, &id, NULL, err);
    assert_true((status == EDGELLM_OK) == (id != 0));
    if (status == EDGELLM_OK) d->answers[d->n++].id = id;
    return status;
}

static inline void note(desk *d, const edgellm_event *e)
{
    answer *a = d->answers;
    while (a < d->answers + d->n && a->id != e->id)
        a++;
    assert_true(a < d->answers + d->n && a->finish == EDGELLM_FINISH_NOT);
    assert_true(e->has_token || e->finish != EDGELLM_FINISH_NOT);
    if (e->has_token && a->n == 0) a->first_turn = d->turns;
    if (e->has_token) a->tokens[a->n++] = e->token;
    a->finish = e->finish;
}

/* False: there was nothing to compute. */
static inline bool turn(desk *d)
{
    edgellm_turn t;
    edgellm_error err;
    assert_ok(edgellm_scheduler_turn(d->scheduler, &t, &err));
    d->turns++;
    d->prompt_tokens += t.prompt_tokens;
    d->shared += t.steps > 1;
    assert_true(t.prompt_tokens == 0 || t.steps == 0);
    for (uint32_t i = 0; i < t.n_events; i++)
        note(d, &t.events[i]);
    return t.prompt_tokens + t.steps > 0;
}

static inline void run(desk *d)
{
    while (turn(d))
        assert_true(d->turns < 10000);
}

/* The same request by a session alone. */
static inline void assert_as_alone(const desk *d, const answer *a, const edgellm_request *r,
                                   bool exact)
{
    const edgellm_session_options o = {.context = CONTEXT, .threads = 1, .exact = exact};
    edgellm_session *session = NULL;
    edgellm_error err;
    assert_ok(edgellm_session_open(d->engine, &o, &session, &err));
    assert_ok(edgellm_session_set_sampler(session, r->sampler, &err));
    assert_ok(edgellm_session_eval(session, r->tokens, r->count, NULL, &err));
    assert_true(a->n >= 1);
    for (uint32_t i = 0; i < a->n; i++) {
        const uint32_t token = edgellm_session_sample(session);
        assert_int_equal(a->tokens[i], token);
        if (i + 1 < a->n) assert_ok(edgellm_session_eval(session, &token, 1, NULL, &err));
    }
    edgellm_session_close(session);
}

static const uint32_t few[40];

/* Of so many tokens of those, and a deadline in so many seconds. */
static inline edgellm_request dated(uint32_t prompt, uint32_t tokens, double seconds)
{
    return (edgellm_request){.tokens = few,
                             .count = prompt,
                             .max_tokens = tokens,
                             .deadline_ns = el_clock_now() + (uint64_t)(seconds * 1e9)};
}

#endif
