/*
 * The numeric and the memory contract, held on a tiny model: one file, one list of tokens and one
 * seed give the same bits on every kernel level, number of threads, way of cutting the prompt and
 * host environment; and the token path neither allocates nor calls the system.
 */
#include <fenv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fpenv.h"
#include "base/threads.h"
#include "edgellm.h"
#include "quant/quantize.h"
#include "support/tiny_file.h"
#include "support/tiny_model.h"
#include "support/token_path.h"

enum { PROMPT = 70, STEPS = 24 };

typedef struct way {
    const char *kernel; /* NULL: the best */
    uint32_t threads, batch;
    uint32_t cached; /* tokens of the prompt that come from a cached prefix */
    bool exact;
    bool copy; /* of the weights */
} way;

static void fill_prompt(uint32_t *tokens, uint32_t vocab)
{
    uint32_t state = 12345;
    for (int i = 0; i < PROMPT; i++) {
        state = state * 1664525u + 1013904223u;
        tokens[i] = (state >> 8) % vocab;
    }
}

static uint32_t vocab_of(const edgellm_engine *engine)
{
    edgellm_model_info info;
    edgellm_engine_info(engine, &info);
    return info.vocab;
}

static edgellm_engine *open_as(const char *path, const edgellm_engine_options *options)
{
    edgellm_engine *engine = NULL;
    edgellm_error err = {0};
    if (edgellm_engine_open(path, options, &engine, &err) != EDGELLM_OK)
        fail_msg("%s", err.message);
    return engine;
}

static edgellm_engine *open_engine(const char *path, const char *kernel)
{
    return open_as(path, &(edgellm_engine_options){.kernel = kernel});
}

static edgellm_session *open_session(const edgellm_engine *engine, const way *w)
{
    edgellm_session_options options = {
        .context = 128, .batch = w->batch, .threads = w->threads, .exact = w->exact};
    edgellm_session *session = NULL;
    edgellm_error err = {0};
    if (edgellm_session_open(engine, &options, &session, &err) != EDGELLM_OK)
        fail_msg("%s", err.message);
    return session;
}

static void eval(edgellm_session *session, const uint32_t *tokens, size_t n)
{
    edgellm_error err = {0};
    if (edgellm_session_eval(session, tokens, n, NULL, &err) != EDGELLM_OK)
        fail_msg("%s", err.message);
}

/* Sanitizers call the system on their own account; allocations are counted there too. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TRAP_SYSTEM_CALLS false
#elif defined(__has_feature)
#define TRAP_SYSTEM_CALLS !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define TRAP_SYSTEM_CALLS true
#endif

/* Puts something else behind the cached prefix first, so that stale cache would show. */
static void eval_prompt(edgellm_session *session, const uint32_t *prompt, uint32_t cached)
{
    if (cached > 0) {
        eval(session, prompt, cached);
        eval(session, prompt + 3, 20);
        assert_int_equal(edgellm_session_truncate(session, cached, NULL), EDGELLM_OK);
    }
    eval(session, prompt + cached, PROMPT - cached);
}

/* Hash over the logits after the prompt and after each sampled token. */
static uint64_t run(const char *path, const way *w)
{
    edgellm_engine *engine =
        open_as(path, &(edgellm_engine_options){.kernel = w->kernel, .copy = w->copy});
    edgellm_session *session = open_session(engine, w);
    edgellm_sampler_options sampler = edgellm_sampler_defaults();
    uint32_t prompt[PROMPT], vocab = vocab_of(engine);
    uint64_t hash = EDGELLM_HASH_START;
    sampler.seed = 99;
    fill_prompt(prompt, vocab);
    assert_int_equal(edgellm_session_set_sampler(session, &sampler, NULL), EDGELLM_OK);
    eval_prompt(session, prompt, w->cached);
    for (int i = 0; i < STEPS; i++) {
        hash = edgellm_hash_logits(hash, edgellm_session_logits(session), vocab);
        uint32_t token = edgellm_session_sample(session);
        eval(session, &token, 1);
    }
    hash = edgellm_hash_logits(hash, edgellm_session_logits(session), vocab);
    edgellm_session_close(session);
    edgellm_engine_close(engine);
    return hash;
}

static uint32_t two_threads(void)
{
    return el_cores_allowed() >= 2 ? 2 : 1;
}

/* How the prompt is cut, and from how many threads on. Bits are the business of the release build:
 * the one that looks for bad accesses is ten times as slow. */
static const struct {
    uint32_t batch, cached;
} cuts[] = {
    {7, 33},
#ifndef __SANITIZE_ADDRESS__
    {1, 0},
    {64, 0},
    {512, 33},
#endif
};

static uint32_t fewest_threads(void)
{
#ifndef __SANITIZE_ADDRESS__
    return 1;
#else
    return two_threads();
#endif
}

static void check_all_ways(const char *path, bool exact)
{
    const way reference = {.kernel = "scalar", .threads = 1, .batch = 64, .exact = exact};
    const uint64_t expected = run(path, &reference);
    const char *kernel;
    for (uint32_t level = 0; (kernel = edgellm_kernel_name(level)); level++)
        for (uint32_t threads = fewest_threads(); threads <= two_threads(); threads++)
            for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
                way w = {kernel, threads, cuts[c].batch, cuts[c].cached, exact, false};
                assert_true(run(path, &w) == expected);
            }
}

static void test_bits_do_not_depend_on_the_way(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_FILES; i++)
        if (i != TINY_ROTATED) /* TINY_CUT has its bits: see below */
            check_all_ways(tiny_file_path((tiny_file)i), false);
}

static void test_a_copy_of_the_weights_has_their_bits(void **state)
{
    (void)state;
    const char *path = tiny_file_path(TINY_KEPT);
    const way mapped = {.threads = 1, .batch = 64};
    const way copied = {.threads = 1, .batch = 64, .copy = true};
    assert_true(run(path, &copied) == run(path, &mapped));
}

static void test_exact_mode_keeps_the_contract_too(void **state)
{
    (void)state;
    check_all_ways(tiny_file_path(TINY_KEPT), true);
    check_all_ways(tiny_file_path(TINY_BYTE_3), true);
    check_all_ways(tiny_file_path(TINY_CUT), true);
    check_all_ways(tiny_file_path(TINY_MIXED), true);
}

static void test_files_differ_where_weights_differ(void **state)
{
    const way w = {.threads = 1, .batch = 64};
    (void)state;
    uint64_t kept = run(tiny_file_path(TINY_KEPT), &w);
    assert_true(kept != run(tiny_file_path(TINY_BYTE_3), &w));
    assert_true(kept != run(tiny_file_path(TINY_OFFSET_4), &w));
}

static void test_a_cut_table_changes_no_bit(void **state)
{
    (void)state;
    for (int exact = 0; exact < 2; exact++) {
        const way w = {.threads = 1, .batch = 64, .exact = exact};
        assert_true(run(tiny_file_path(TINY_ROTATED), &w) == run(tiny_file_path(TINY_CUT), &w));
    }
}

#if defined(__x86_64__)
#include <xmmintrin.h>
static unsigned hostile_environment(void)
{
    _mm_setcsr(_mm_getcsr() | 0x8040u | 0x4000u); /* FTZ, DAZ, round up */
    return _mm_getcsr();
}
static unsigned environment(void)
{
    return _mm_getcsr();
}
#else
static unsigned hostile_environment(void)
{
    fesetround(FE_UPWARD);
    return (unsigned)fegetround();
}
static unsigned environment(void)
{
    return (unsigned)fegetround();
}
#endif

static void test_the_hosts_float_environment_changes_nothing(void **state)
{
    const way w = {.threads = two_threads(), .batch = 64};
    (void)state;
    uint64_t expected = run(tiny_file_path(TINY_KEPT), &w);
    el_fpenv saved = el_fpenv_enter();
    unsigned host = hostile_environment();
    uint64_t hash = run(tiny_file_path(TINY_KEPT), &w);
    unsigned after = environment();
    el_fpenv_leave(saved);
    assert_true(hash == expected);
    assert_int_equal(host & ~0x3fu, after & ~0x3fu); /* sticky exception flags may differ */
}

static void test_all_logits_equal_those_of_single_steps(void **state)
{
    (void)state;
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    const way w = {.threads = 1, .batch = 16};
    edgellm_session *together = open_session(engine, &w), *single = open_session(engine, &w);
    uint32_t prompt[PROMPT], vocab = vocab_of(engine);
    float *all = malloc(PROMPT * (size_t)vocab * sizeof *all);
    fill_prompt(prompt, vocab);
    assert_int_equal(edgellm_session_eval(together, prompt, PROMPT, all, NULL), EDGELLM_OK);
    for (int i = 0; i < PROMPT; i++) {
        eval(single, &prompt[i], 1);
        assert_memory_equal(all + (size_t)i * vocab, edgellm_session_logits(single),
                            vocab * sizeof *all);
    }
    assert_memory_equal(edgellm_session_logits(together), edgellm_session_logits(single),
                        vocab * sizeof *all);
    free(all);
    edgellm_session_close(together);
    edgellm_session_close(single);
    edgellm_engine_close(engine);
}

static void check_token_path(const char *grammar)
{
    for (uint32_t threads = 1; threads <= two_threads(); threads++) {
        token_path_result r =
            token_path_measure(tiny_file_path(TINY_KEPT), grammar, threads, 200, TRAP_SYSTEM_CALLS);
        assert_false(r.killed_by_a_system_call);
        assert_int_equal(r.tokens, 200);
        assert_int_equal(r.allocations, 0);
    }
}

static void test_the_token_path_allocates_and_calls_nothing(void **state)
{
    (void)state;
    check_token_path(NULL);
    /* the trap itself works: a run that does call the system is caught */
    assert_true(
        token_path_measure(tiny_file_path(TINY_KEPT), NULL, 1, -1, true).killed_by_a_system_call);
}

/* The second has so many states that they are forgotten and found again. */
static void test_nor_does_it_under_a_grammar(void **state)
{
    (void)state;
    check_token_path("root ::= \"[\" (item (\",\" item)*)? \"]\"\n"
                     "item ::= root | [a-z]{2,4} | \"\\\"\" [^\"\\\\]{0,9} \"\\\"\"\n");
    check_token_path("root ::= . root? | [a-z]{0,40} ([a-c]{1,3} | [b-z]{2,5}){3,90} \"!\"");
}

static edgellm_status try_session(const edgellm_engine *engine, const edgellm_session_options *o,
                                  edgellm_memory_plan *plan, edgellm_error *err)
{
    edgellm_session *session;
    *plan = (edgellm_memory_plan){0};
    edgellm_status status = edgellm_session_open(engine, o, &session, err);
    if (status != EDGELLM_OK) return status;
    edgellm_session_plan(session, plan);
    edgellm_session_close(session);
    return EDGELLM_OK;
}

static void test_plan_is_the_sum_of_its_parts(void **state)
{
    const char *path = tiny_file_path(TINY_KEPT);
    edgellm_session_options o = {.context = 128, .threads = 1};
    edgellm_memory_plan plan, opened;
    edgellm_error err;
    (void)state;
    assert_int_equal(edgellm_plan(path, &o, &plan, &err), EDGELLM_OK);
    assert_true(plan.total == plan.weights + plan.tables + plan.kv_cache + plan.scratch +
                                  plan.threads + plan.program);
    edgellm_engine *engine = open_engine(path, NULL);
    assert_int_equal(try_session(engine, &o, &opened, &err), EDGELLM_OK);
    assert_true(plan.total - plan.program == opened.total - opened.program);
    edgellm_engine_close(engine);
    o.max_ram = 1000;
    assert_int_equal(edgellm_plan(path, &o, &plan, &err), EDGELLM_ERR_MEMORY);
    assert_non_null(strstr(err.message, "no context fits"));
}

/* The cap is sharp: the context that a refusal names fits, one token more does not. */
static void test_the_cap_refuses_and_names_what_fits(void **state)
{
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    edgellm_session_options o = {.context = 128, .threads = 1};
    edgellm_memory_plan plan;
    edgellm_error err;
    (void)state;
    assert_int_equal(try_session(engine, &o, &plan, &err), EDGELLM_OK);
    o.max_ram = plan.total;
    assert_int_equal(try_session(engine, &o, &plan, &err), EDGELLM_OK);
    o.max_ram = plan.total - plan.kv_cache / 2;
    assert_int_equal(try_session(engine, &o, &plan, &err), EDGELLM_ERR_MEMORY);
    const char *named = strstr(err.message, "context of ");
    assert_non_null(named);
    o.context = (uint32_t)strtoul(named + strlen("context of "), NULL, 10);
    assert_true(o.context > 0 && o.context < 128);
    assert_int_equal(try_session(engine, &o, &plan, &err), EDGELLM_OK);
    o.context++;
    assert_int_equal(try_session(engine, &o, &plan, &err), EDGELLM_ERR_MEMORY);
    edgellm_engine_close(engine);
}

static void test_bad_calls_are_refused_and_change_nothing(void **state)
{
    (void)state;
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    const way w = {.threads = 1, .batch = 16};
    edgellm_session *session = open_session(engine, &w);
    uint32_t tokens[129] = {1, 2, 3}, bad = vocab_of(engine);
    edgellm_error err;
    assert_int_equal(edgellm_session_eval(session, tokens, 129, NULL, &err), EDGELLM_ERR_CONTEXT);
    assert_int_equal(edgellm_session_eval(session, tokens, 0, NULL, &err), EDGELLM_ERR_USAGE);
    assert_int_equal(edgellm_session_eval(session, &bad, 1, NULL, &err), EDGELLM_ERR_USAGE);
    assert_int_equal(edgellm_session_position(session), 0);
    assert_int_equal(edgellm_session_truncate(session, 1, &err), EDGELLM_ERR_USAGE);
    eval(session, tokens, 128);
    assert_int_equal(edgellm_session_eval(session, tokens, 1, NULL, &err), EDGELLM_ERR_CONTEXT);
    assert_int_equal(edgellm_session_position(session), 128);
    edgellm_session_close(session);

    const edgellm_session_options refused[] = {
        {.context = 1u << 30}, {.batch = 513}, {.threads = el_cores_allowed() + 1}};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_int_equal(edgellm_session_open(engine, &refused[i], &session, &err),
                         EDGELLM_ERR_USAGE);
    edgellm_engine_close(engine);
    edgellm_session_close(NULL);
    edgellm_engine_close(NULL);
}

static size_t tokens_of(tiny_file file, unsigned flags, uint32_t *tokens, size_t capacity)
{
    edgellm_engine *engine = tiny_file_open(file);
    size_t count = 0;
    assert_int_equal(edgellm_tokenize(engine, "ab", 2, flags, tokens, capacity, &count, NULL),
                     EDGELLM_OK);
    edgellm_engine_close(engine);
    return count;
}

static void test_bos_comes_first_only_where_the_vocabulary_asks_for_it(void **state)
{
    uint32_t plain[8], marked[8], none[8], one[2] = {77, 77};
    (void)state;
    size_t n = tokens_of(TINY_BYTE_3, EDGELLM_TOKENIZE_PLAIN, plain, 8);
    assert_int_equal(tokens_of(TINY_BYTE_3, EDGELLM_TOKENIZE_BOS, marked, 8), n + 1);
    assert_int_equal(marked[0], 1); /* <|im_start|> */
    assert_memory_equal(marked + 1, plain, n * sizeof *plain);
    assert_int_equal(tokens_of(TINY_BYTE_3, EDGELLM_TOKENIZE_BOS, NULL, 0), n + 1);
    assert_int_equal(tokens_of(TINY_BYTE_3, EDGELLM_TOKENIZE_BOS, one, 1), n + 1);
    assert_int_equal(one[0], 1);
    assert_int_equal(one[1], 77);
    assert_int_equal(tokens_of(TINY_KEPT, EDGELLM_TOKENIZE_BOS, none, 8), n);
}

static void test_unknown_kernels_and_files_are_refused(void **state)
{
    edgellm_engine_options options = {.kernel = "avx1024"};
    edgellm_engine *engine = NULL;
    edgellm_error err;
    (void)state;
    assert_int_equal(edgellm_engine_open(tiny_file_path(TINY_KEPT), &options, &engine, &err),
                     EDGELLM_ERR_USAGE);
    assert_int_equal(edgellm_engine_open("/nonexistent/model", NULL, &engine, &err),
                     EDGELLM_ERR_IO);
    assert_non_null(strstr(err.message, "/nonexistent/model"));
    assert_null(engine);
}

/* Processors make NaNs of different signs out of the same overflow. */
static void test_any_nan_has_the_same_hash(void **state)
{
    const uint32_t bits[3] = {0x7fc00000, 0xffc00000, 0x7fc12345};
    uint64_t hash[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        float logits[2] = {1.0f, 0.0f};
        memcpy(&logits[1], &bits[i], sizeof bits[i]);
        hash[i] = edgellm_hash_logits(EDGELLM_HASH_START, logits, 2);
    }
    assert_true(hash[0] == hash[1] && hash[0] == hash[2]);
}

static void test_a_context_beyond_the_exact_angles_is_refused(void **state)
{
    const char *gguf = EL_TEST_OUT "/contract_long.gguf";
    const char *tm2 = EL_TEST_OUT "/contract_long.tm2.bin";
    const el_quantize_options keep = {.group = 32, .embedding_group = 32};
    el_tiny_spec spec = el_tiny_defaults();
    edgellm_session_options options = {.context = (1u << 20) + 1};
    edgellm_memory_plan plan;
    edgellm_error err = {0};
    (void)state;
    spec.context = 1u << 22;
    assert_true(el_tiny_write(&spec, gguf));
    assert_int_equal(el_quantize(gguf, tm2, &keep, NULL, &err), EDGELLM_OK);
    assert_int_equal(edgellm_plan(tm2, &options, &plan, &err), EDGELLM_ERR_USAGE);
    assert_non_null(strstr(err.message, "1048576"));
    options.context = 1u << 20;
    assert_int_equal(edgellm_plan(tm2, &options, &plan, &err), EDGELLM_OK);
    assert_int_equal(plan.context, 1u << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_do_not_depend_on_the_way),
        cmocka_unit_test(test_a_copy_of_the_weights_has_their_bits),
        cmocka_unit_test(test_exact_mode_keeps_the_contract_too),
        cmocka_unit_test(test_files_differ_where_weights_differ),
        cmocka_unit_test(test_a_cut_table_changes_no_bit),
        cmocka_unit_test(test_the_hosts_float_environment_changes_nothing),
        cmocka_unit_test(test_all_logits_equal_those_of_single_steps),
        cmocka_unit_test(test_the_token_path_allocates_and_calls_nothing),
        cmocka_unit_test(test_nor_does_it_under_a_grammar),
        cmocka_unit_test(test_plan_is_the_sum_of_its_parts),
        cmocka_unit_test(test_the_cap_refuses_and_names_what_fits),
        cmocka_unit_test(test_bad_calls_are_refused_and_change_nothing),
        cmocka_unit_test(test_bos_comes_first_only_where_the_vocabulary_asks_for_it),
        cmocka_unit_test(test_unknown_kernels_and_files_are_refused),
        cmocka_unit_test(test_any_nan_has_the_same_hash),
        cmocka_unit_test(test_a_context_beyond_the_exact_angles_is_refused),
    };
    return cmocka_run_group_tests_name("contract", tests, tiny_files_make, NULL);
}
