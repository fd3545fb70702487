/*
 * test_constant_time.c: sessions in which every token takes the time of a full context compute the
 * bits of those in which it does not: token by token, in batches, together, after what was there
 * has been cut off, and after weights that overflow have left infinities behind.
 */
#include "support/test_help.h"

#include <stdlib.h>

#include "engine/session.h"
#include "model/cache.h"
#include "support/tiny_file.h"
#include "support/tiny_model.h"

enum { CONTEXT = 70 };

static edgellm_session *open_session(const edgellm_engine *engine, uint32_t batch, bool constant)
{
    const edgellm_session_options o = {
        .context = CONTEXT, .batch = batch, .threads = 1, .constant_time = constant};
    edgellm_session *session = NULL;
    edgellm_error err;
    assert_ok(edgellm_session_open(engine, &o, &session, &err));
    return session;
}

static void fill(uint32_t *tokens, uint32_t n, uint32_t seed)
{
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (seed + i * 37) % EL_TINY_VOCAB;
}

/* Computes n tokens in both and compares all logits. */
static void compare(edgellm_session *one, edgellm_session *other, const uint32_t *tokens,
                    uint32_t n)
{
    float *a = malloc((size_t)n * EL_TINY_VOCAB * sizeof *a);
    float *b = malloc((size_t)n * EL_TINY_VOCAB * sizeof *b);
    edgellm_error err;
    assert_true(a && b);
    assert_ok(edgellm_session_eval(one, tokens, n, a, &err));
    assert_ok(edgellm_session_eval(other, tokens, n, b, &err));
    assert_memory_equal(a, b, (size_t)n * EL_TINY_VOCAB * sizeof *a);
    free(a);
    free(b);
}

static void test_same_bits(void **state)
{
    (void)state;
    for (tiny_file file = 0; file < TINY_FILES; file++) {
        edgellm_engine *engine = tiny_file_open(file);
        edgellm_session *plain = open_session(engine, 16, false);
        edgellm_session *constant = open_session(engine, 5, true);
        uint32_t tokens[CONTEXT];
        edgellm_error err;
        fill(tokens, CONTEXT, 3);
        compare(plain, constant, tokens, 1); /* the rest of the context is untouched */
        compare(plain, constant, tokens + 1, CONTEXT - 1);
        for (int i = 2; i >= 0; i--) { /* now it holds other tokens */
            const uint32_t cut = 23 * (uint32_t)i;
            assert_ok(edgellm_session_truncate(plain, cut, &err));
            assert_ok(edgellm_session_truncate(constant, cut, &err));
            fill(tokens, CONTEXT, cut + 50);
            compare(plain, constant, tokens, 9);
            for (uint32_t k = 0; k < 5; k++)
                compare(plain, constant, tokens + 9 + k, 1);
        }
        edgellm_session_close(constant);
        edgellm_session_close(plain);
        edgellm_engine_close(engine);
    }
}

static void test_together(void **state)
{
    (void)state;
    edgellm_engine *engine = tiny_file_open(TINY_BYTE_2);
    edgellm_session *alone = open_session(engine, 16, false);
    edgellm_session *pair[] = {open_session(engine, 16, true), open_session(engine, 16, false)};
    float *logits = malloc(2 * EL_TINY_VOCAB * sizeof *logits);
    edgellm_error err;
    assert_non_null(logits);
    for (uint32_t i = 0; i < 40; i++) {
        const uint32_t token = (i * 11) % EL_TINY_VOCAB, both[] = {token, token};
        assert_ok(edgellm_sessions_eval(pair, both, 2, logits, &err));
        assert_ok(edgellm_session_eval(alone, &token, 1, NULL, &err));
        const float *want = edgellm_session_logits(alone);
        assert_memory_equal(logits, want, EL_TINY_VOCAB * sizeof *want);
        assert_memory_equal(logits + EL_TINY_VOCAB, want, EL_TINY_VOCAB * sizeof *want);
    }
    free(logits);
    edgellm_session_close(pair[0]);
    edgellm_session_close(pair[1]);
    edgellm_session_close(alone);
    edgellm_engine_close(engine);
}

/* A pass that overflows is made up: infinities in the cache where it would have left them, and in
 * the logits; they are forgotten before anything is computed with them. */
static void test_infinities_are_forgotten(void **state)
{
    (void)state;
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    edgellm_session *plain = open_session(engine, 16, false);
    edgellm_session *constant = open_session(engine, 16, true);
    uint32_t tokens[CONTEXT];
    fill(tokens, CONTEXT, 9);
    compare(plain, constant, tokens, 20);
    el_forward *f = &constant->forward;
    for (uint32_t plane = 0; plane < el_cache_planes(f); plane++)
        for (uint32_t p = 20; p < 30; p++)
            f->cache.planes[plane].vscale[p * f->cache.planes[plane].blocks] = __builtin_inff();
    el_cache_forget(f, 20, 30);
    compare(plain, constant, tokens + 20, 5);
    edgellm_session_close(constant);
    edgellm_session_close(plain);
    edgellm_engine_close(engine);
}

static void test_not_exact(void **state)
{
    (void)state;
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    const edgellm_session_options o = {.exact = true, .constant_time = true};
    edgellm_session *session = NULL;
    edgellm_error err;
    assert_int_equal(edgellm_session_open(engine, &o, &session, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "constant_time");
    edgellm_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_infinities_are_forgotten),
        cmocka_unit_test(test_not_exact),
    };
    return cmocka_run_group_tests_name("constant_time", tests, tiny_files_make, NULL);
}
