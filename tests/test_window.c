/*
 * test_window.c: layers with a window keep a ring of positions, not the whole context. Held to the
 * same model with a batch so large that there is no ring: the same bits, the same files, less
 * memory; and who goes back further than the ring holds is told, or computes it again.
 */
#include "edgellm.h"

#include <stdlib.h>
#include <string.h>

#include "engine/session.h"
#include "model/cache.h"
#include "quant/quantize.h"
#include "support/test_help.h"
#include "support/tiny_model.h"

#define MODEL  EL_TEST_OUT "/window.tm2.bin"
#define FILE_A EL_TEST_OUT "/window_a.els"
#define FILE_B EL_TEST_OUT "/window_b.els"

enum { CONTEXT = 256, BATCH = 8, TOKENS = 250, VOCAB = 291, RING = 128 };

static const char *const sources[] = {EL_TEST_DATA "/conformance_gemma3.gguf",
                                      EL_TEST_DATA "/conformance_mistral.gguf"};
static const uint32_t windows[] = {24, 24}, local_layers[] = {6, 2};
enum { PLANE_BYTES = 72 }; /* of a position: key and value in one block of 32, and their scales */

static edgellm_engine *engine_of(size_t source)
{
    const el_quantize_options options = {.group = 32, .embedding_group = 32};
    el_quantize_result result;
    edgellm_engine *engine;
    edgellm_error err;
    assert_ok(el_quantize(sources[source], MODEL, &options, &result, &err));
    assert_ok(edgellm_engine_open(MODEL, NULL, &engine, &err));
    return engine;
}

static edgellm_session *open_session(const edgellm_engine *engine, edgellm_session_options o,
                                     bool ring)
{
    edgellm_session *session;
    edgellm_error err;
    edgellm_memory_plan plan;
    o.context = CONTEXT;
    o.threads = 1;
    o.batch = ring ? BATCH : CONTEXT;
    assert_ok(edgellm_session_open(engine, &o, &session, &err));
    edgellm_session_plan(session, &plan);
    assert_int_equal(plan.window_positions, ring ? RING : 0);
    return session;
}

static void fill_tokens(uint32_t *tokens, uint32_t n, uint32_t seed)
{
    el_random random = {seed};
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = el_random_below(&random, VOCAB);
}

/* Logits after each of the tokens from the session's position on are `want`. */
static void assert_goes_on(edgellm_session *s, const uint32_t *tokens, uint32_t n,
                           const float *want)
{
    edgellm_error err;
    float *got = malloc((size_t)n * VOCAB * sizeof *got);
    assert_non_null(got);
    assert_ok(edgellm_session_eval(s, tokens, n, got, &err));
    assert_memory_equal(got, want, (size_t)n * VOCAB * sizeof *got);
    free(got);
}

typedef struct pair {
    edgellm_engine *engine;
    edgellm_session *whole, *ring;
    uint32_t tokens[CONTEXT];
    float *want; /* (TOKENS, VOCAB) */
} pair;

/* Both have computed all tokens. */
static pair begin(size_t source, edgellm_session_options o)
{
    pair p = {.engine = engine_of(source)};
    edgellm_error err;
    fill_tokens(p.tokens, CONTEXT, 5);
    p.want = malloc((size_t)TOKENS * VOCAB * sizeof *p.want);
    assert_non_null(p.want);
    p.whole = open_session(p.engine, o, false);
    p.ring = open_session(p.engine, o, true);
    assert_ok(edgellm_session_eval(p.whole, p.tokens, TOKENS, p.want, &err));
    assert_goes_on(p.ring, p.tokens, TOKENS, p.want);
    return p;
}

static void end(pair *p)
{
    edgellm_session_close(p->whole);
    edgellm_session_close(p->ring);
    edgellm_engine_close(p->engine);
    free(p->want);
}

static const float *after(const pair *p, uint32_t position)
{
    return p->want + (size_t)position * VOCAB;
}

/* ---- bits and memory ------------------------------------------------------------------------- */

static void test_same_bits(void **state)
{
    (void)state;
    static const edgellm_session_options ways[] = {
        {.context = 0}, {.exact = true}, {.constant_time = true}};
    for (size_t source = 0; source < 2; source++) {
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            edgellm_error err;
            pair p = begin(source, ways[i]);
            assert_ok(edgellm_session_truncate(p.ring, 0, &err));
            for (uint32_t at = 0; at < TOKENS; at++) /* one by one */
                assert_goes_on(p.ring, p.tokens + at, 1, after(&p, at));
            end(&p);
        }
    }
}

static void test_less_memory(void **state)
{
    (void)state;
    for (size_t source = 0; source < 2; source++) {
        pair p = begin(source, (edgellm_session_options){.context = 0});
        edgellm_memory_plan whole, ring;
        edgellm_model_info info;
        edgellm_engine_info(p.engine, &info);
        edgellm_session_plan(p.whole, &whole);
        edgellm_session_plan(p.ring, &ring);
        const uint64_t planes = (uint64_t)local_layers[source] * p.ring->forward.cache.kv_heads;
        assert_int_equal(whole.kv_cache - ring.kv_cache, planes * (CONTEXT - RING) * PLANE_BYTES);
        assert_true(p.ring->engine->file.config.window == windows[source]);
        end(&p);
    }
}

/* ---- going back ------------------------------------------------------------------------------ */

/* What stays of a full context is computed again from the beginning, where its window is gone. */
static void test_shift(void **state)
{
    (void)state;
    edgellm_error err;
    pair p = begin(0, (edgellm_session_options){.context = 0});
    uint32_t dropped[2];
    assert_ok(edgellm_session_shift(p.whole, 40, &dropped[0], &err));
    assert_ok(edgellm_session_shift(p.ring, 40, &dropped[1], &err));
    assert_int_equal(dropped[0], (TOKENS - 40) / 2);
    assert_int_equal(dropped[1], dropped[0]);
    const uint32_t n = edgellm_session_position(p.ring);
    assert_int_equal(n, TOKENS - dropped[0]);
    assert_memory_equal(edgellm_session_tokens(p.ring), edgellm_session_tokens(p.whole),
                        n * sizeof(uint32_t));
    assert_true(edgellm_hash_logits(0, edgellm_session_logits(p.ring), VOCAB) ==
                edgellm_hash_logits(0, edgellm_session_logits(p.whole), VOCAB));
    end(&p);
}

static void test_going_back(void **state)
{
    (void)state;
    edgellm_error err;
    pair p = begin(0, (edgellm_session_options){.context = 0});
    assert_ok(edgellm_session_truncate(p.ring, TOKENS - BATCH, &err));
    assert_goes_on(p.ring, p.tokens + TOKENS - BATCH, BATCH, after(&p, TOKENS - BATCH));
    const uint32_t furthest = TOKENS - (RING - 24) - 2; /* a position of its window is gone */
    assert_int_equal(edgellm_session_truncate(p.ring, furthest, &err), EDGELLM_ERR_CONTEXT);
    assert_contains(err.message, "with a window of 24 have gone on to 250");
    assert_int_equal(edgellm_session_position(p.ring), TOKENS);
    assert_ok(edgellm_session_truncate(p.ring, furthest + 1, &err));
    assert_goes_on(p.ring, p.tokens + furthest + 1, TOKENS - furthest - 1, after(&p, furthest + 1));
    assert_ok(edgellm_session_truncate(p.ring, 0, &err));
    assert_goes_on(p.ring, p.tokens, 60, p.want);
    assert_ok(edgellm_session_truncate(p.ring, 3, &err)); /* nothing was overwritten yet */
    assert_goes_on(p.ring, p.tokens + 3, TOKENS - 3, after(&p, 3));
    assert_ok(edgellm_session_truncate(p.whole, 1, &err));
    end(&p);
}

/* It computes beyond the position, to the end of the context. */
static void test_calibration_leaves_what_was_there(void **state)
{
    (void)state;
    edgellm_error err;
    edgellm_costs costs;
    pair p = begin(1, (edgellm_session_options){.context = 0});
    assert_ok(edgellm_session_truncate(p.ring, 0, &err));
    assert_goes_on(p.ring, p.tokens, 100, p.want);
    assert_ok(edgellm_session_calibrate(p.ring, 1000000, &costs, &err));
    assert_int_equal(edgellm_session_position(p.ring), 100);
    assert_goes_on(p.ring, p.tokens + 100, TOKENS - 100, after(&p, 100));
    end(&p);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void assert_same_files(void)
{
    el_bytes a, b;
    assert_true(el_bytes_load(&a, FILE_A));
    assert_true(el_bytes_load(&b, FILE_B));
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    free(a.data);
    free(b.data);
}

static void test_files(void **state)
{
    (void)state;
    static const edgellm_session_options ways[] = {{.context = 0}, {.exact = true}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        edgellm_error err;
        pair p = begin(i, ways[i]);
        edgellm_session *both[] = {p.whole, p.ring};
        for (int k = 0; k < 2; k++) {
            assert_ok(edgellm_session_truncate(both[k], 200, &err));
            assert_ok(edgellm_session_save(both[k], k ? FILE_B : FILE_A, NULL, 0, &err));
        }
        assert_same_files();
        for (int k = 0; k < 2; k++) {
            assert_ok(edgellm_session_truncate(both[k], 0, &err));
            assert_goes_on(both[k], p.tokens, 70, p.want); /* something else is there */
            assert_ok(edgellm_session_load(both[k], FILE_A, &err));
            assert_int_equal(edgellm_session_truncate(both[k], 199, &err), EDGELLM_ERR_CONTEXT);
            assert_goes_on(both[k], p.tokens + 200, TOKENS - 200, after(&p, 200));
        }
        end(&p);
    }
}

static void test_prefixes(void **state)
{
    (void)state;
    edgellm_error err;
    pair p = begin(0, (edgellm_session_options){.context = 0});
    assert_int_equal(edgellm_session_save_prefix(p.ring, 100, FILE_B, NULL, 0, &err),
                     EDGELLM_ERR_CONTEXT);
    assert_contains(err.message, "a prefix of 100 tokens cannot be saved");
    assert_ok(edgellm_session_save_prefix(p.whole, 200, FILE_A, NULL, 0, &err));
    assert_ok(edgellm_session_save_prefix(p.ring, 200, FILE_B, NULL, 0, &err));
    assert_same_files();
    assert_ok(edgellm_session_truncate(p.ring, 0, &err));
    assert_ok(edgellm_session_load_prefix(p.ring, FILE_B, p.tokens, 200, NULL, 0, &err));
    assert_goes_on(p.ring, p.tokens + 200, TOKENS - 200, after(&p, 200));
    end(&p);
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* The hash of an answer; *computed: tokens of its prompt that were. */
static uint64_t ask(edgellm_scheduler *s, const uint32_t *tokens, uint32_t count,
                    uint32_t *computed)
{
    const edgellm_request r = {.tokens = tokens, .count = count, .max_tokens = 20, .hash = true};
    edgellm_error err;
    edgellm_turn turn;
    uint64_t id, hash = 0;
    *computed = 0;
    assert_ok(edgellm_scheduler_submit(s, &r, &id, NULL, &err));
    do {
        assert_ok(edgellm_scheduler_turn(s, &turn, &err));
        *computed += turn.prompt_tokens;
        for (uint32_t i = 0; i < turn.n_events; i++)
            hash = turn.events[i].hash;
    } while (turn.prompt_tokens > 0 || turn.steps > 0);
    return hash;
}

/* A slot other than the first: its ring takes the batches of the first. */
static void test_slots(void **state)
{
    (void)state;
    edgellm_engine *engine = engine_of(1);
    uint32_t tokens[CONTEXT], computed[2];
    fill_tokens(tokens, CONTEXT, 6);
    for (uint32_t shared = 30; shared <= 195; shared += 165) {
        edgellm_scheduler *s[2];
        edgellm_error err;
        uint64_t hash[2];
        for (int ring = 0; ring < 2; ring++) {
            const edgellm_scheduler_options o = {
                .slots = 2,
                .session = {.context = CONTEXT, .threads = 1, .batch = ring ? BATCH : CONTEXT}};
            assert_ok(edgellm_scheduler_open(engine, &o, &s[ring], &err));
            ask(s[ring], tokens + 50, 10, &computed[ring]); /* one slot has another text */
            ask(s[ring], tokens, 200, &computed[ring]);
            assert_int_equal(computed[ring], 200);
            tokens[shared] ^= 1; /* and goes on otherwise */
            hash[ring] = ask(s[ring], tokens, 220, &computed[ring]);
            tokens[shared] ^= 1;
            edgellm_scheduler_close(s[ring]);
        }
        assert_true(hash[0] == hash[1] && hash[0] != 0);
        assert_int_equal(computed[0], 220 - shared);
        assert_int_equal(computed[1], shared == 30 ? 220 : 220 - shared);
    }
    edgellm_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_less_memory),
        cmocka_unit_test(test_shift),
        cmocka_unit_test(test_going_back),
        cmocka_unit_test(test_calibration_leaves_what_was_there),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
