/*
 * test_adapters.c: sessions with different adapters and scales share passes and a scheduler and get
 * the bits that each gets alone; what was computed with one is never taken for another's. And files
 * whose checksums are right, but nothing else.
 */
#include "support/test_help.h"

#include <stdlib.h>

#include "base/crc32.h"
#include "quant/adapter.h"
#include "quant/quantize.h"

#define BASE    EL_TEST_DATA "/conformance_llama3.gguf"
#define SOURCE  EL_TEST_DATA "/lora_llama3_second.gguf"
#define MODEL   EL_TEST_OUT "/adapters.tm2.bin"
#define ADAPTER EL_TEST_OUT "/adapters.tma"
#define CHANGED EL_TEST_OUT "/adapters_changed.tma"
#define SAVED   EL_TEST_OUT "/adapters.els"

enum { SETS = 4, STEPS = 6, PROMPT = 5, CONTEXT = 32, HEADER = 128, AT_BODY = 24, AT_CRC = 124 };

static const float sets[SETS][2] = {{1, 0.5f}, {0, 0}, {-0.75f, 0}, {1, 0.5f}};

static edgellm_engine *open_engine(void)
{
    const edgellm_adapter adapters[2] = {{ADAPTER, 1}, {ADAPTER, 0.5f}};
    const edgellm_engine_options with = {.adapters = adapters, .n_adapters = 2};
    edgellm_engine *engine = NULL;
    edgellm_error err;
    assert_ok(edgellm_engine_open(MODEL, &with, &engine, &err));
    return engine;
}

static edgellm_session *open_session(const edgellm_engine *engine, uint32_t set, bool exact)
{
    const edgellm_session_options options = {
        .context = CONTEXT, .batch = 8, .threads = 1, .exact = exact};
    edgellm_session *session = NULL;
    edgellm_error err;
    assert_ok(edgellm_session_open(engine, &options, &session, &err));
    assert_ok(edgellm_session_set_adapters(session, sets[set], &err));
    return session;
}

static uint32_t vocab_of(const edgellm_engine *engine)
{
    edgellm_model_info info;
    edgellm_engine_info(engine, &info);
    assert_int_equal(info.adapters, 2);
    return info.vocab;
}

static int set_up(void **state)
{
    const el_quantize_options options = {.group = 32, .embedding_group = 32};
    el_quantize_result result;
    el_adapter_made made;
    edgellm_error err;
    (void)state;
    assert_ok(el_quantize(BASE, MODEL, &options, &result, &err));
    assert_ok(el_adapter_make(SOURCE, el_gguf_open, MODEL, ADAPTER, &made, &err));
    assert_int_equal(made.rank, 3);
    assert_int_equal(made.matrices, 8);
    return 0;
}

static void check_together(bool exact)
{
    edgellm_engine *engine = open_engine();
    const uint32_t vocab = vocab_of(engine);
    edgellm_session *together[SETS], *alone[SETS];
    float *logits = calloc((size_t)SETS * vocab, sizeof *logits);
    edgellm_error err;
    assert_non_null(logits);
    for (uint32_t i = 0; i < SETS; i++) {
        together[i] = open_session(engine, i, exact);
        alone[i] = open_session(engine, i, exact);
    }
    for (uint32_t step = 0; step < STEPS; step++) {
        const uint32_t token = 7 + 31 * step, tokens[SETS] = {token, token, token, token};
        assert_ok(edgellm_sessions_eval(together, tokens, SETS, logits, &err));
        for (uint32_t i = 0; i < SETS; i++) {
            assert_ok(edgellm_session_eval(alone[i], &token, 1, NULL, &err));
            assert_memory_equal(edgellm_session_logits(alone[i]), logits + (size_t)i * vocab,
                                vocab * sizeof *logits);
        }
    }
    for (uint32_t i = 1; i < SETS - 1; i++) /* they are not all the same */
        assert_memory_not_equal(logits, logits + (size_t)i * vocab, vocab * sizeof *logits);
    for (uint32_t i = 0; i < SETS; i++) {
        edgellm_session_close(together[i]);
        edgellm_session_close(alone[i]);
    }
    free(logits);
    edgellm_engine_close(engine);
}

static void test_together(void **state)
{
    (void)state;
    check_together(false);
    check_together(true);
}

static const uint32_t prompt[PROMPT] = {3, 90, 41, 200, 17};

static uint64_t hash_alone(const edgellm_engine *engine, uint32_t set)
{
    const edgellm_sampler_options greedy = {
        .top_p = 1, .typical_p = 1, .repeat_penalty = 1, .dry_base = 1.75f};
    edgellm_session *s = open_session(engine, set, false);
    uint64_t hash = EDGELLM_HASH_START;
    uint32_t token;
    edgellm_error err;
    assert_ok(edgellm_session_set_sampler(s, &greedy, &err));
    assert_ok(edgellm_session_eval(s, prompt, PROMPT, NULL, &err));
    for (uint32_t i = 0; i < STEPS; i++) {
        hash = edgellm_hash_logits(hash, edgellm_session_logits(s), vocab_of(engine));
        token = edgellm_session_sample(s);
        if (i + 1 < STEPS) assert_ok(edgellm_session_eval(s, &token, 1, NULL, &err));
    }
    edgellm_session_close(s);
    return hash;
}

/* One prompt with each set at once, twice: what a slot holds is of its adapters alone. */
static void test_scheduler(void **state)
{
    const edgellm_sampler_options greedy = {
        .top_p = 1, .typical_p = 1, .repeat_penalty = 1, .dry_base = 1.75f};
    const edgellm_scheduler_options options = {.session = {.context = CONTEXT, .threads = 1},
                                               .slots = SETS};
    edgellm_engine *engine = open_engine();
    edgellm_scheduler *s = NULL;
    edgellm_turn turn;
    edgellm_error err;
    uint64_t ids[SETS], hashes[SETS];
    (void)state;
    assert_ok(edgellm_scheduler_open(engine, &options, &s, &err));
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < SETS; i++) {
            const edgellm_request r = {.tokens = prompt,
                                       .count = PROMPT,
                                       .max_tokens = STEPS,
                                       .sampler = &greedy,
                                       .hash = true,
                                       .adapters = sets[(i + round) % SETS]};
            assert_ok(edgellm_scheduler_submit(s, &r, &ids[i], NULL, &err));
        }
        do {
            assert_ok(edgellm_scheduler_turn(s, &turn, &err));
            for (uint32_t e = 0; e < turn.n_events; e++)
                for (uint32_t i = 0; i < SETS; i++)
                    if (turn.events[e].id == ids[i]) hashes[i] = turn.events[e].hash;
        } while (turn.n_events + turn.steps + turn.prompt_tokens > 0);
        for (uint32_t i = 0; i < SETS; i++)
            assert_true(hashes[i] == hash_alone(engine, (i + round) % SETS));
    }
    edgellm_scheduler_close(s);
    edgellm_engine_close(engine);
}

static void test_saved(void **state)
{
    edgellm_engine *engine = open_engine();
    edgellm_session *s = open_session(engine, 0, false), *other = open_session(engine, 2, false);
    edgellm_session *same = open_session(engine, 3, false);
    edgellm_error err;
    (void)state;
    assert_ok(edgellm_session_eval(s, prompt, PROMPT, NULL, &err));
    assert_ok(edgellm_session_save(s, SAVED, NULL, 0, &err));
    assert_int_equal(edgellm_session_load(other, SAVED, &err), EDGELLM_ERR_USAGE);
    assert_non_null(strstr(err.message, "other adapters"));
    assert_ok(edgellm_session_load(same, SAVED, &err));
    assert_int_equal(edgellm_session_position(same), PROMPT);
    assert_ok(edgellm_session_set_adapters(same, NULL, &err)); /* those that it has */
    assert_int_equal(edgellm_session_position(same), PROMPT);
    assert_ok(edgellm_session_set_adapters(same, sets[1], &err));
    assert_int_equal(edgellm_session_position(same), 0);
    const float none[2] = {1, 1.0f / 0.0f};
    assert_int_equal(edgellm_session_set_adapters(same, none, &err), EDGELLM_ERR_USAGE);
    edgellm_session_close(s);
    edgellm_session_close(other);
    edgellm_session_close(same);
    edgellm_engine_close(engine);
}

static void write_file(const uint8_t *bytes, size_t size)
{
    FILE *out = fopen(CHANGED, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    fclose(out);
}

/* Bytes of header and entries are others, and the checksums right: it opens, or says why not. */
static void test_changed_files(void **state)
{
    static uint8_t bytes[1 << 16], copy[1 << 16];
    const edgellm_adapter adapter = {CHANGED, 1};
    const edgellm_engine_options with = {.adapters = &adapter, .n_adapters = 1};
    uint32_t random = 1, refused = 0;
    FILE *in = fopen(ADAPTER, "rb");
    (void)state;
    assert_non_null(in);
    const size_t size = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    for (int i = 0; i < 300; i++) {
        edgellm_engine *engine = NULL;
        edgellm_error err = {0};
        memcpy(copy, bytes, size);
        for (int k = 0; k < 2; k++) {
            random = random * 1664525u + 1013904223u;
            copy[8 + (random >> 8) % (HEADER + 128)] ^= (uint8_t)(random >> 24);
        }
        uint32_t crc = el_crc32(0, copy + HEADER, size - HEADER);
        memcpy(copy + AT_BODY, &crc, sizeof crc);
        crc = el_crc32(0, copy, AT_CRC);
        memcpy(copy + AT_CRC, &crc, sizeof crc);
        write_file(copy, size);
        if (edgellm_engine_open(MODEL, &with, &engine, &err) == EDGELLM_OK)
            edgellm_engine_close(engine);
        else
            refused += err.message[0] != '\0';
    }
    assert_in_range(refused, 200, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_scheduler),
        cmocka_unit_test(test_saved),
        cmocka_unit_test(test_changed_files),
    };
    return cmocka_run_group_tests_name("adapters", tests, set_up, NULL);
}
