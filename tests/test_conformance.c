/*
 * The engine held to transformers' logits of tiny random models, one of each architecture, computed
 * beforehand (tools/conformance/vectors.py): in exact mode to those in float32, with int8
 * activations to those under the int8 contract written a second time. And `edgellm perplexity` held
 * to the logits of the library.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edgellm.h"
#include "quant/quantize.h"

#define SOURCE EL_TEST_DATA "/conformance_tiny.gguf"
#define MODEL  EL_TEST_OUT "/conformance_tiny.tm2.bin"

enum { MAX_TOKENS = 96 };

typedef struct vectors {
    edgellm_engine *engine;
    uint32_t tokens, vocab;
    uint32_t ids[MAX_TOKENS];
    float *exact, *contract; /* (tokens, vocab) expected; in one piece, owned */
    float *got;              /* (tokens, vocab) owned */
} vectors;

/* Of which model: the tests' set-up has no argument. */
static const char *model_name;
/* Tokens until a rounding to int8 falls differently in sums of another order, which all later ones
 * see (docs/CONFORMANCE.md); 0: none of them. */
static uint32_t alike;

static const char *path_of(const char *folder, const char *ending)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/conformance_%s%s", folder, model_name, ending);
    return path;
}

static void read_vectors(vectors *v)
{
    FILE *in = fopen(path_of(EL_TEST_DATA, ".bin"), "rb");
    assert_non_null(in);
    assert_int_equal(fread(&v->tokens, 4, 1, in), 1);
    assert_int_equal(fread(&v->vocab, 4, 1, in), 1);
    assert_in_range(v->tokens, 1, MAX_TOKENS);
    assert_in_range(v->vocab, 2, 4096);
    assert_int_equal(fread(v->ids, 4, v->tokens, in), v->tokens);
    size_t values = (size_t)v->tokens * v->vocab;
    v->exact = calloc(2 * values, sizeof *v->exact);
    v->got = calloc(values, sizeof *v->got);
    assert_non_null(v->exact);
    assert_non_null(v->got);
    assert_int_equal(fread(v->exact, sizeof *v->exact, 2 * values, in), 2 * values);
    v->contract = v->exact + values;
    fclose(in);
}

static int set_up(void **state)
{
    static vectors v;
    el_quantize_options options = {.group = 32, .embedding_group = 32};
    el_quantize_result result;
    edgellm_error err = {0};
    edgellm_model_info info;
    char source[512];
    snprintf(source, sizeof source, "%s", path_of(EL_TEST_DATA, ".gguf"));
    const char *model = path_of(EL_TEST_OUT, ".tm2.bin");
    assert_int_equal(el_quantize(source, model, &options, &result, &err), EDGELLM_OK);
    assert_int_equal(result.rounded, 0);
    assert_int_equal(edgellm_engine_open(model, NULL, &v.engine, &err), EDGELLM_OK);
    read_vectors(&v);
    edgellm_engine_info(v.engine, &info);
    assert_int_equal(info.vocab, v.vocab);
    *state = &v;
    return 0;
}

static int tear_down(void **state)
{
    vectors *v = *state;
    edgellm_engine_close(v->engine);
    free(v->exact);
    free(v->got);
    return 0;
}

/* ---- judging ------------------------------------------------------------------------------- */

/* log of the sum of the exponentials of n logits. */
static double log_sum(const float *logits, uint32_t n)
{
    double top = logits[0], sum = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > top) top = logits[i];
    for (uint32_t i = 0; i < n; i++)
        sum += exp(logits[i] - top);
    // cppcheck-suppress invalidFunctionArg ; the sum holds exp(0)
    return top + log(sum);
}

static double divergence(const float *expected, const float *got, uint32_t n)
{
    double p_sum = log_sum(expected, n), q_sum = log_sum(got, n), kl = 0;
    for (uint32_t i = 0; i < n; i++) {
        double p = expected[i] - p_sum, q = got[i] - q_sum;
        kl += exp(p) * (p - q);
    }
    return kl;
}

static uint32_t largest(const float *logits, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static void check(const vectors *v, const float *expected, uint32_t tokens, double limit)
{
    for (uint32_t i = 0; i < tokens; i++) {
        const float *e = expected + (size_t)i * v->vocab, *g = v->got + (size_t)i * v->vocab;
        double kl = divergence(e, g, v->vocab);
        if (!(kl < limit)) fail_msg("token %u: KL %g, limit %g", i, kl, limit);
        assert_int_equal(largest(g, v->vocab), largest(e, v->vocab));
    }
}

static void evaluate_with(vectors *v, edgellm_session_options options, bool decode)
{
    edgellm_session *session = NULL;
    edgellm_error err = {0};
    uint32_t step = decode ? 1 : v->tokens;
    options.context = v->tokens; /* Phi-3's longer ones turn positions otherwise */
    memset(v->got, 0, (size_t)v->tokens * v->vocab * sizeof *v->got);
    assert_int_equal(edgellm_session_open(v->engine, &options, &session, &err), EDGELLM_OK);
    for (uint32_t i = 0; i < v->tokens; i += step) {
        float *out = v->got + (size_t)i * v->vocab;
        assert_int_equal(edgellm_session_eval(session, v->ids + i, step, decode ? NULL : out, &err),
                         EDGELLM_OK);
        if (decode) memcpy(out, edgellm_session_logits(session), v->vocab * sizeof *out);
    }
    edgellm_session_close(session);
}

static void evaluate(vectors *v, bool exact, bool decode)
{
    evaluate_with(v, (edgellm_session_options){.threads = 1, .exact = exact}, decode);
}

static void test_exact_prefill(void **state)
{
    vectors *v = *state;
    evaluate(v, true, false);
    check(v, v->exact, v->tokens, 1e-9);
}

static void test_exact_decode(void **state)
{
    vectors *v = *state;
    evaluate(v, true, true);
    check(v, v->exact, v->tokens, 1e-9);
}

static void test_int8_prefill(void **state)
{
    vectors *v = *state;
    evaluate(v, false, false);
    check(v, v->contract, alike ? alike : v->tokens, 1e-9);
}

static void test_int8_decode(void **state)
{
    vectors *v = *state;
    evaluate(v, false, true);
    check(v, v->contract, alike ? alike : v->tokens, 1e-9);
}

/* Token by token, in batches, on two threads, in constant time: the same bits. */
static void test_same_bits(void **state)
{
    vectors *v = *state;
    static const edgellm_session_options ways[] = {{.threads = 1},
                                                   {.threads = 1, .batch = 7},
                                                   {.threads = 1, .constant_time = true},
                                                   {.threads = 1, .exact = true}};
    const size_t bytes = (size_t)v->tokens * v->vocab * sizeof *v->got;
    float *expected = malloc(bytes);
    assert_non_null(expected);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        evaluate_with(v, (edgellm_session_options){.threads = 1, .exact = ways[i].exact}, true);
        memcpy(expected, v->got, bytes);
        evaluate_with(v, ways[i], false);
        assert_memory_equal(v->got, expected, bytes);
        evaluate_with(v, ways[i], true);
        assert_memory_equal(v->got, expected, bytes);
    }
    free(expected);
}

/* Nor do sessions of both kinds share a pass. */
static void test_lengths_share_no_pass(void **state)
{
    vectors *v = *state;
    static const uint32_t contexts[] = {64, 65, 80};
    edgellm_session *s[3];
    edgellm_error err = {0};
    for (int i = 0; i < 3; i++) {
        const edgellm_session_options o = {.threads = 1, .context = contexts[i]};
        assert_int_equal(edgellm_session_open(v->engine, &o, &s[i], &err), EDGELLM_OK);
    }
    assert_int_equal(edgellm_sessions_eval(s, v->ids, 2, v->got, &err), EDGELLM_ERR_USAGE);
    assert_non_null(strstr(err.message, "only one has a context above 64"));
    assert_int_equal(edgellm_sessions_eval(s + 1, v->ids, 2, v->got, &err), EDGELLM_OK);
    for (int i = 0; i < 3; i++)
        edgellm_session_close(s[i]);
}

/* Phi-3's factors are those of the context: a session of the one kind cannot go on as the other. */
static void test_lengths_are_kept_apart(void **state)
{
    vectors *v = *state;
    static const struct {
        uint32_t context;
        edgellm_status status;
    } rows[] = {{72, EDGELLM_OK}, {65, EDGELLM_OK}, {64, EDGELLM_ERR_USAGE}};
    const char *path = EL_TEST_OUT "/conformance.session";
    for (size_t i = 0; i <= sizeof rows / sizeof rows[0]; i++) {
        const edgellm_session_options o = {.threads = 1, .context = i ? rows[i - 1].context : 80};
        edgellm_session *session = NULL;
        edgellm_error err = {0};
        assert_int_equal(edgellm_session_open(v->engine, &o, &session, &err), EDGELLM_OK);
        if (i == 0) {
            assert_int_equal(edgellm_session_eval(session, v->ids, 3, NULL, &err), EDGELLM_OK);
            assert_int_equal(edgellm_session_save(session, path, NULL, 0, &err), EDGELLM_OK);
        } else {
            assert_int_equal(edgellm_session_load(session, path, &err), rows[i - 1].status);
        }
        edgellm_session_close(session);
    }
}

static uint32_t best_of(const float *x, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

/* Does the best lead the second by more than 5 % of what all deviate? */
static bool leads_clearly(const float *x, uint32_t n)
{
    const uint32_t best = best_of(x, n);
    double sum = 0, squares = 0, second = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * x[i];
        if (i != best && x[i] > second) second = x[i];
    }
    const double mean = sum / n, variance = squares / n - mean * mean;
    return x[best] - second > 0.05 * sqrt(variance > 0 ? variance : 0);
}

/* Int8 is close to float32, but it is not the same: else exact mode would be what was measured. The
 * best token is the same wherever it leads clearly. */
static void test_int8_price(void **state)
{
    vectors *v = *state;
    double sum = 0;
    uint32_t clear = 0;
    evaluate(v, false, false);
    for (uint32_t i = 0; i < v->tokens; i++) {
        const float *theirs = v->exact + (size_t)i * v->vocab,
                    *ours = v->got + (size_t)i * v->vocab;
        sum += divergence(theirs, ours, v->vocab);
        if (!leads_clearly(theirs, v->vocab)) continue;
        assert_int_equal(best_of(theirs, v->vocab), best_of(ours, v->vocab));
        clear++;
    }
    assert_true(clear > v->tokens / 2);
    assert_true(sum / v->tokens < 0.02);
    assert_true(sum / v->tokens > 1e-6);
}

/* ---- perplexity ---------------------------------------------------------------------------- */

#ifdef EL_CLI
enum { CHUNK = 128, CHUNKS = 3 };

static size_t tokenize_text(const edgellm_engine *engine, uint32_t *ids, size_t capacity)
{
    static char text[16384];
    size_t count = 0;
    edgellm_error err = {0};
    FILE *in = fopen(EL_TEST_TEXT, "rb");
    assert_non_null(in);
    size_t len = fread(text, 1, sizeof text, in);
    fclose(in);
    assert_int_equal(edgellm_tokenize(engine, text, len, 0, ids, capacity, &count, &err),
                     EDGELLM_OK);
    return count;
}

/* The logits of CHUNKS chunks (CHUNKS * CHUNK, vocab), owned. */
static float *chunk_logits(const vectors *v, const uint32_t *ids, bool exact)
{
    edgellm_session_options options = {.context = CHUNK, .threads = 1, .batch = 32, .exact = exact};
    edgellm_session *session = NULL;
    edgellm_error err = {0};
    float *logits = calloc((size_t)CHUNKS * CHUNK * v->vocab, sizeof *logits);
    assert_non_null(logits);
    assert_int_equal(edgellm_session_open(v->engine, &options, &session, &err), EDGELLM_OK);
    for (size_t c = 0; c < CHUNKS; c++) {
        assert_int_equal(edgellm_session_truncate(session, 0, &err), EDGELLM_OK);
        assert_int_equal(edgellm_session_eval(session, ids + c * CHUNK, CHUNK,
                                              logits + c * CHUNK * v->vocab, &err),
                         EDGELLM_OK);
    }
    edgellm_session_close(session);
    return logits;
}

typedef struct figures {
    double ppl, source_ppl, kl, top1;
} figures;

/* Positions c/2 .. c-2 of each chunk predict the token after them. */
static figures figures_by_hand(const vectors *v, const uint32_t *ids)
{
    figures sum = {0, 0, 0, 0};
    const int judged = CHUNKS * (CHUNK / 2 - 1);
    float *model = chunk_logits(v, ids, false), *source = chunk_logits(v, ids, true);
    for (size_t i = 0; i < CHUNKS * CHUNK; i++) {
        const float *m = model + i * v->vocab, *s = source + i * v->vocab;
        if (i % CHUNK < CHUNK / 2 || i % CHUNK == CHUNK - 1) continue;
        sum.ppl += log_sum(m, v->vocab) - m[ids[i + 1]];
        sum.source_ppl += log_sum(s, v->vocab) - s[ids[i + 1]];
        sum.kl += divergence(s, m, v->vocab);
        sum.top1 += largest(s, v->vocab) == largest(m, v->vocab);
    }
    free(model);
    free(source);
    return (figures){exp(sum.ppl / judged), exp(sum.source_ppl / judged), sum.kl / judged,
                     sum.top1 / judged};
}

/* What `edgellm perplexity` answers in JSON, on one line. */
static void ask_program(const char *options, char *answer, size_t size)
{
    char command[1536];
    snprintf(command, sizeof command,
             "'%s' perplexity '%s' '%s' -c %d --chunks %d -j 1 --json %s | tr -d '\\n'", EL_CLI,
             MODEL, EL_TEST_TEXT, CHUNK, CHUNKS, options);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    answer[0] = '\0';
    assert_non_null(fgets(answer, (int)size, out));
    assert_int_equal(pclose(out), 0);
}

static double number(const char *answer, const char *key)
{
    char quoted[64];
    double value = 0;
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *at = strstr(answer, quoted);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(quoted), "%lf", &value), 1);
    return value;
}

static void assert_near(double value, double expected, double most)
{
    if (!(fabs(value - expected) <= most)) fail_msg("%.12g, not %.12g", value, expected);
}

static void test_perplexity_of_program(void **state)
{
    const vectors *v = *state;
    static uint32_t ids[16384];
    char answer[2048];
    assert_true(tokenize_text(v->engine, ids, 16384) >= CHUNKS * CHUNK);
    figures expected = figures_by_hand(v, ids);
    ask_program("", answer, sizeof answer);
    assert_near(number(answer, "ppl"), expected.ppl, 1e-9 * expected.ppl);
    static const char *const sources[] = {MODEL, SOURCE};
    for (int i = 0; i < 2; i++) {
        char options[512];
        snprintf(options, sizeof options, "--cache none --against '%s'", sources[i]);
        ask_program(options, answer, sizeof answer);
        assert_near(number(answer, "ppl"), expected.ppl, 1e-9 * expected.ppl);
        assert_near(number(answer, "source_ppl"), expected.source_ppl, 1e-9 * expected.source_ppl);
        assert_near(number(answer, "ratio"), expected.ppl / expected.source_ppl, 1e-9);
        assert_near(number(answer, "kl"), expected.kl, 1e-7 + 1e-4 * expected.kl); /* 16 bits */
        assert_near(number(answer, "top1"), expected.top1, 1e-9);
        assert_true(number(answer, "kl") > 1e-6 && number(answer, "source_rounded") == 0);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_prefill), cmocka_unit_test(test_exact_decode),
        cmocka_unit_test(test_int8_prefill),  cmocka_unit_test(test_int8_decode),
        cmocka_unit_test(test_int8_price),    cmocka_unit_test(test_same_bits),
    };
    static const struct {
        const char *name;
        uint32_t alike;
    } models[] = {{"bitnet", 12}, {"bitnet-b1.58", 12}, {"gemma2", 12},  {"gemma3", 12},
                  {"llama3", 0},  {"mistral", 12},      {"phi3", 12},    {"phi4", 12},
                  {"qwen2", 0},   {"qwen3", 48},        {"smollm3", 12}, {"yarn", 12},
                  {"tiny", 0}};
    int failed = 0;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        model_name = models[i].name;
        alike = models[i].alike;
        failed += cmocka_run_group_tests_name(model_name, tests, set_up, tear_down);
    }
    model_name = "phi3";
    const struct CMUnitTest of_phi3[] = {cmocka_unit_test(test_lengths_are_kept_apart),
                                         cmocka_unit_test(test_lengths_share_no_pass)};
    failed += cmocka_run_group_tests_name(model_name, of_phi3, set_up, tear_down);
    model_name = "tiny";
#ifdef EL_CLI
    const struct CMUnitTest of_program[] = {cmocka_unit_test(test_perplexity_of_program)};
    failed += cmocka_run_group_tests_name("program", of_program, set_up, tear_down); /* of "tiny" */
#endif
    return failed;
}
