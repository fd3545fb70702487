/*
 * test_together.c: sessions that compute their tokens in one pass get the bits that each gets
 * alone, whatever their contexts, positions and batches are; what cannot be computed together is
 * refused, and leaves them as they were. And threads that meet for such a pass.
 */
#include "support/test_help.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/threads.h"
#include "offline/calibrate_together.h"
#include "support/tiny_file.h"
#include "support/tiny_model.h"

enum { SESSIONS = 5, STEPS = 11 };

static const struct {
    uint32_t context, batch, prompt; /* prompt: tokens that it knows before */
} kinds[SESSIONS] = {{40, 16, 3}, {96, 8, 0}, {64, 64, 29}, {96, 5, 70}, {33, 16, 17}};

typedef struct choir {
    edgellm_engine *engine;
    edgellm_session *sessions[SESSIONS];
    float *logits; /* (SESSIONS, vocab) */
} choir;

static uint32_t token_of(uint32_t session, uint32_t position)
{
    return (session * 101 + position * 37) % EL_TINY_VOCAB;
}

static edgellm_session *open_session(const choir *c, uint32_t i, unsigned threads, bool exact)
{
    const edgellm_session_options options = {
        .context = kinds[i].context, .batch = kinds[i].batch, .threads = threads, .exact = exact};
    edgellm_session *session = NULL;
    edgellm_error err;
    assert_ok(edgellm_session_open(c->engine, &options, &session, &err));
    for (uint32_t p = 0; p < kinds[i].prompt; p++) {
        uint32_t token = token_of(i, p);
        assert_ok(edgellm_session_eval(session, &token, 1, NULL, &err));
    }
    return session;
}

static choir begin(tiny_file file, unsigned threads, bool exact)
{
    choir c = {.engine = tiny_file_open(file)};
    for (uint32_t i = 0; i < SESSIONS; i++)
        c.sessions[i] = open_session(&c, i, threads, exact);
    c.logits = malloc(SESSIONS * EL_TINY_VOCAB * sizeof *c.logits);
    assert_non_null(c.logits);
    return c;
}

static void end(choir *c)
{
    for (int i = 0; i < SESSIONS; i++)
        edgellm_session_close(c->sessions[i]);
    edgellm_engine_close(c->engine);
    free(c->logits);
}

static void next_tokens(const choir *c, uint32_t *tokens)
{
    for (uint32_t i = 0; i < SESSIONS; i++)
        tokens[i] = token_of(i, edgellm_session_position(c->sessions[i]));
}

static void assert_same_logits(const edgellm_session *a, const edgellm_session *b)
{
    assert_memory_equal(edgellm_session_logits(a), edgellm_session_logits(b),
                        EL_TINY_VOCAB * sizeof(float));
}

/* Logits of one session, which goes on alone. */
static void assert_alone(edgellm_session *alone, uint32_t i, const float *logits)
{
    edgellm_error err;
    uint32_t token = token_of(i, edgellm_session_position(alone));
    assert_ok(edgellm_session_eval(alone, &token, 1, NULL, &err));
    assert_memory_equal(logits, edgellm_session_logits(alone), EL_TINY_VOCAB * sizeof *logits);
}

static void check_bits(tiny_file file, unsigned threads, bool exact)
{
    choir together = begin(file, threads, exact), alone = begin(file, 1, exact);
    edgellm_error err;
    uint32_t tokens[SESSIONS];
    for (int step = 0; step < STEPS; step++) {
        next_tokens(&together, tokens);
        assert_ok(
            edgellm_sessions_eval(together.sessions, tokens, SESSIONS, together.logits, &err));
        for (uint32_t i = 0; i < SESSIONS; i++) {
            edgellm_session *s = together.sessions[i];
            const uint32_t position = kinds[i].prompt + (uint32_t)step + 1;
            assert_alone(alone.sessions[i], i, together.logits + i * EL_TINY_VOCAB);
            assert_same_logits(s, alone.sessions[i]);
            assert_int_equal(edgellm_session_position(s), position);
            assert_int_equal(edgellm_session_tokens(s)[position - 1], tokens[i]);
        }
    }
    for (uint32_t i = 0; i < SESSIONS; i++) { /* each can go on alone */
        const uint32_t token = tokens[i];
        assert_ok(edgellm_session_eval(together.sessions[i], &token, 1, NULL, &err));
        assert_ok(edgellm_session_eval(alone.sessions[i], &token, 1, NULL, &err));
        assert_same_logits(together.sessions[i], alone.sessions[i]);
    }
    end(&together);
    end(&alone);
}

static void test_bits_are_those_of_each_alone(void **state)
{
    (void)state;
    const unsigned most = el_cores_allowed() >= 2 ? 2 : 1;
    for (unsigned threads = 1; threads <= most; threads++)
        for (int exact = 0; exact < 2; exact++) {
            check_bits(TINY_KEPT, threads, exact);
            check_bits(TINY_MIXED, threads, exact);
        }
}

/* ---- refusals ---------------------------------------------------------------------------- */

static void assert_refused(const choir *c, edgellm_session *const *sessions, const uint32_t *tokens,
                           uint32_t count, edgellm_status status, const char *part)
{
    edgellm_error err = {0};
    uint32_t before[SESSIONS];
    for (int i = 0; i < SESSIONS; i++)
        before[i] = edgellm_session_position(c->sessions[i]);
    assert_int_equal(edgellm_sessions_eval(sessions, tokens, count, c->logits, &err), status);
    assert_contains(err.message, part);
    for (int i = 0; i < SESSIONS; i++)
        assert_int_equal(edgellm_session_position(c->sessions[i]), before[i]);
}

static void test_what_cannot_be_together_is_refused(void **state)
{
    (void)state;
    choir c = begin(TINY_KEPT, 1, false), other = begin(TINY_KEPT, 1, true);
    edgellm_session *exact = open_session(&c, 0, 1, true);
    uint32_t tokens[SESSIONS], bad[SESSIONS] = {0, 0, EL_TINY_VOCAB};
    edgellm_session *twice[] = {c.sessions[0], c.sessions[1], c.sessions[0]};
    edgellm_session *foreign[] = {c.sessions[0], other.sessions[1]};
    edgellm_session *of_two_kinds[] = {c.sessions[0], exact};
    next_tokens(&c, tokens);
    assert_refused(&c, c.sessions, tokens, 0, EDGELLM_ERR_USAGE, "no tokens");
    assert_refused(&c, twice, tokens, 3, EDGELLM_ERR_USAGE, "session 2 is session 0 once more");
    assert_refused(&c, foreign, tokens, 2, EDGELLM_ERR_USAGE, "session 1 is of another engine");
    assert_refused(&c, of_two_kinds, tokens, 2, EDGELLM_ERR_USAGE,
                   "of sessions 0 and 1 only one is exact");
    assert_refused(&c, c.sessions, bad, SESSIONS, EDGELLM_ERR_USAGE, "session 2: token 300");
    edgellm_session_close(exact);
    end(&other);
    end(&c);
}

/* The one with the largest context does the work, and its batch is too small. */
static void test_a_small_batch_is_refused(void **state)
{
    (void)state;
    choir c = begin(TINY_KEPT, 1, false);
    edgellm_session *more = open_session(&c, 0, 1, false);
    edgellm_session *sessions[SESSIONS + 1] = {c.sessions[3], c.sessions[0], c.sessions[1],
                                               c.sessions[2], c.sessions[4], more};
    const uint32_t tokens[SESSIONS + 1] = {0};
    assert_refused(&c, sessions, tokens, SESSIONS + 1, EDGELLM_ERR_USAGE,
                   "6 sessions, but that with the largest context was opened with a batch of 5");
    edgellm_session_close(more);
    end(&c);
}

static void test_a_full_context_is_refused(void **state)
{
    (void)state;
    choir c = begin(TINY_KEPT, 1, false);
    edgellm_error err;
    uint32_t tokens[SESSIONS];
    while (edgellm_session_position(c.sessions[4]) < kinds[4].context) {
        next_tokens(&c, tokens);
        assert_ok(edgellm_session_eval(c.sessions[4], &tokens[4], 1, NULL, &err));
    }
    next_tokens(&c, tokens);
    assert_refused(&c, c.sessions, tokens, SESSIONS, EDGELLM_ERR_CONTEXT,
                   "session 4: 1 tokens at position 33 do not fit");
    end(&c);
}

/* ---- meeting ----------------------------------------------------------------------------- */

typedef struct member {
    pthread_t thread;
    el_together *together;
    edgellm_session *session;
    uint32_t index, steps;
    edgellm_status status;
} member;

static void *take_part(void *context)
{
    member *m = context;
    edgellm_error err;
    for (uint32_t i = 0; i < m->steps && m->status == EDGELLM_OK; i++) {
        const uint32_t token = token_of(m->index, edgellm_session_position(m->session));
        m->status = el_together_eval(m->together, m->session, token, &err);
    }
    el_together_leave(m->together);
    return NULL;
}

/* Members that leave early, and one at once, do not hold the others up. */
static void test_threads_meet(void **state)
{
    (void)state;
    static const uint32_t steps[SESSIONS] = {7, 0, 11, 3, 11};
    choir c = begin(TINY_KEPT, 1, false), alone = begin(TINY_KEPT, 1, false);
    member members[SESSIONS];
    el_together together;
    edgellm_error err;
    assert_ok(el_together_open(&together, SESSIONS, EL_TINY_VOCAB, &err));
    for (uint32_t i = 0; i < SESSIONS; i++) {
        members[i] = (member){
            .together = &together, .session = c.sessions[i], .index = i, .steps = steps[i]};
        assert_int_equal(pthread_create(&members[i].thread, NULL, take_part, &members[i]), 0);
    }
    for (uint32_t i = 0; i < SESSIONS; i++) {
        pthread_join(members[i].thread, NULL);
        assert_int_equal(members[i].status, EDGELLM_OK);
        for (uint32_t k = 0; k < steps[i]; k++) {
            const uint32_t token = token_of(i, edgellm_session_position(alone.sessions[i]));
            assert_ok(edgellm_session_eval(alone.sessions[i], &token, 1, NULL, &err));
        }
        if (steps[i]) assert_same_logits(c.sessions[i], alone.sessions[i]);
    }
    assert_true(together.passes >= 11);
    el_together_close(&together);
    end(&alone);
    end(&c);
}

/* An error of one is everybody's. */
static void test_a_failed_pass_fails_for_all(void **state)
{
    (void)state;
    choir c = begin(TINY_KEPT, 1, false);
    member members[SESSIONS];
    el_together together;
    edgellm_error err;
    assert_ok(el_together_open(&together, SESSIONS, EL_TINY_VOCAB, &err));
    for (uint32_t i = 0; i < SESSIONS; i++) { /* session 4 is full after 16 */
        members[i] = (member){
            .together = &together, .session = c.sessions[i], .index = i, .steps = i == 3 ? 5 : 20};
        assert_int_equal(pthread_create(&members[i].thread, NULL, take_part, &members[i]), 0);
    }
    for (uint32_t i = 0; i < SESSIONS; i++) {
        pthread_join(members[i].thread, NULL);
        assert_int_equal(members[i].status, i == 3 ? EDGELLM_OK : EDGELLM_ERR_CONTEXT);
    }
    el_together_close(&together);
    end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_are_those_of_each_alone),
        cmocka_unit_test(test_what_cannot_be_together_is_refused),
        cmocka_unit_test(test_a_small_batch_is_refused),
        cmocka_unit_test(test_a_full_context_is_refused),
        cmocka_unit_test(test_threads_meet),
        cmocka_unit_test(test_a_failed_pass_fails_for_all),
    };
    return cmocka_run_group_tests_name("together", tests, tiny_files_make, NULL);
}
