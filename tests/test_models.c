/*
 * test_models.c: which models an engine runs. Files that are sound as TM2 files, made from a tiny
 * one by one change each: what would compute something else than the model means is refused, and a
 * head of its own is used.
 */
#include "edgellm.h"

#include <math.h>
#include <stdlib.h>

#include "format/ggml_types.h"
#include "format/tm2.h"
#include "quant/quantize.h"
#include "support/test_help.h"
#include "support/tiny_file.h"
#include "support/tiny_model.h"

#define PATH EL_TEST_OUT "/models.tm2.bin"

/* What the copy has that the source has not, or the other way round. */
typedef struct change {
    const char *architecture; /* NULL: as it is */
    float rope_base;          /* 0: as it is */
    const char *without;      /* a tensor that is left out */
    const char *of, *add;     /* tensor `of` once more, under the name `add` */
    const char *rotated;      /* a tensor that is said to be rotated */
    bool otherwise;           /* with some of its codes different */
} change;

static el_config changed_config(const el_tm2 *source, const change *c)
{
    el_config config = source->config;
    if (c->architecture)
        snprintf(config.architecture, sizeof config.architecture, "%s", c->architecture);
    if (c->rope_base != 0) config.rope_base = c->rope_base;
    return config;
}

/* The tensor's data; otherwise the first 64 bytes of codes are those that follow them. */
static uint8_t *copy_data(const el_tensor *t, bool otherwise)
{
    uint8_t *data = malloc((size_t)t->bytes);
    assert_non_null(data);
    memcpy(data, t->data, (size_t)t->bytes);
    if (otherwise) memcpy(data, t->data + 64, 64);
    return data;
}

static void add_tensor(el_tm2_writer *writer, const el_tm2 *source, const change *c)
{
    edgellm_error err;
    el_tensor t;
    assert_true(el_tm2_find(source, c->of, &t));
    uint8_t *data = copy_data(&t, c->otherwise);
    t.name = c->add;
    t.data = data;
    assert_ok(el_tm2_put(writer, &t, &err));
    free(data);
}

static void make(const change *c)
{
    edgellm_error err;
    el_tm2 source;
    el_tm2_writer *writer;
    assert_ok(el_tm2_open(&source, tiny_file_path(TINY_KEPT), true, &err));
    el_config config = changed_config(&source, c);
    assert_ok(el_tm2_create(&writer, PATH, &config, &source.vocab, source.n_tensors + 1, &err));
    for (uint32_t i = 0; i < source.n_tensors; i++) {
        el_tensor t;
        el_tm2_tensor(&source, i, &t);
        if (c->without && strcmp(t.name, c->without) == 0) continue;
        if (c->rotated && strcmp(t.name, c->rotated) == 0) t.rotation = EL_ROTATION_HADAMARD64;
        assert_ok(el_tm2_put(writer, &t, &err));
    }
    if (c->add) add_tensor(writer, &source, c);
    assert_ok(el_tm2_finish(writer, "{}", NULL, NULL, &err));
    el_tm2_close(&source);
}

static void test_what_cannot_be_run_is_refused(void **state)
{
    (void)state;
    static const struct {
        change change;
        edgellm_status status;
        const char *part;
    } rows[] = {
        {{.architecture = "mamba"}, EDGELLM_ERR_UNSUPPORTED, "architecture \"mamba\""},
        {{.rope_base = 0.5f}, EDGELLM_ERR_UNSUPPORTED, "rope_base 0.5"},
        {{.of = "output_norm.weight", .add = "rope_freqs.weight"},
         EDGELLM_ERR_UNSUPPORTED,
         "rope_freqs.weight"},
        {{.of = "output_norm.weight", .add = "blk.1.attn_k.bias"},
         EDGELLM_ERR_UNSUPPORTED,
         "blk.1.attn_k.bias: biases"},
        {{.without = "blk.1.ffn_up.weight"},
         EDGELLM_ERR_FORMAT,
         "'blk.1.ffn_up.weight' is missing"},
        {{.without = "token_embd.weight"}, EDGELLM_ERR_FORMAT, "'token_embd.weight' is missing"},
        {{.without = "output_norm.weight"}, EDGELLM_ERR_FORMAT, "'output_norm.weight' is missing"},
        {{.of = "blk.0.ffn_norm.weight", .add = "output.weight"},
         EDGELLM_ERR_FORMAT,
         "'output.weight' is (1, 64)"},
        {{.rotated = "blk.0.attn_q.weight"},
         EDGELLM_ERR_FORMAT,
         "'blk.0.attn_k.weight' has rotation none, but 'blk.0.attn_q.weight', which meets the same "
         "input, has hadamard64"},
        {{.rotated = "blk.1.attn_v.weight"},
         EDGELLM_ERR_FORMAT,
         "'blk.1.attn_v.weight' has rotation hadamard64, but 'blk.1.attn_q.weight'"},
        {{.rotated = "blk.1.ffn_gate.weight"},
         EDGELLM_ERR_FORMAT,
         "'blk.1.ffn_up.weight' has rotation none, but 'blk.1.ffn_gate.weight'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        edgellm_engine *engine = NULL;
        edgellm_error err = {0};
        make(&rows[i].change);
        assert_int_equal(edgellm_engine_open(PATH, NULL, &engine, &err), rows[i].status);
        assert_contains(err.message, rows[i].part);
        assert_contains(err.message, PATH);
        assert_null(engine);
    }
}

/* The hash over the logits of a few tokens. */
static uint64_t hash_of(const char *path)
{
    static const uint32_t tokens[] = {5, 250, 17, 99, 3};
    const edgellm_session_options options = {.context = 16, .threads = 1};
    edgellm_engine *engine = NULL;
    edgellm_session *session = NULL;
    edgellm_model_info info;
    edgellm_error err;
    assert_ok(edgellm_engine_open(path, NULL, &engine, &err));
    assert_ok(edgellm_session_open(engine, &options, &session, &err));
    edgellm_engine_info(engine, &info);
    uint64_t hash = EDGELLM_HASH_START;
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        assert_ok(edgellm_session_eval(session, &tokens[i], 1, NULL, &err));
        hash = edgellm_hash_logits(hash, edgellm_session_logits(session), info.vocab);
    }
    edgellm_session_close(session);
    edgellm_engine_close(engine);
    return hash;
}

static void test_a_head_of_its_own_is_used(void **state)
{
    (void)state;
    uint64_t tied = hash_of(tiny_file_path(TINY_KEPT));
    make(&(change){.of = "token_embd.weight", .add = "output.weight"});
    assert_true(hash_of(PATH) == tied); /* the same weights, the same bits */
    make(&(change){.of = "token_embd.weight", .add = "output.weight", .otherwise = true});
    assert_true(hash_of(PATH) != tied);
}

/* ---- rotation ---- */

enum { PROMPT = 12, LOGITS = PROMPT * EL_TINY_VOCAB };

/* All logits of a prompt. */
static void logits_of(const char *path, bool exact, float *logits)
{
    const edgellm_session_options options = {.context = 16, .threads = 1, .exact = exact};
    edgellm_engine *engine = NULL;
    edgellm_session *session = NULL;
    edgellm_error err;
    uint32_t tokens[PROMPT];
    for (uint32_t i = 0; i < PROMPT; i++)
        tokens[i] = i * 97 % EL_TINY_VOCAB;
    assert_ok(edgellm_engine_open(path, NULL, &engine, &err));
    assert_ok(edgellm_session_open(engine, &options, &session, &err));
    assert_ok(edgellm_session_eval(session, tokens, PROMPT, logits, &err));
    edgellm_session_close(session);
    edgellm_engine_close(engine);
}

/* Size of the difference, as a share of the size of `want`. */
static double distance(const float *got, const float *want)
{
    double error = 0, size = 0;
    for (int i = 0; i < LOGITS; i++) {
        error += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        size += (double)want[i] * (double)want[i];
    }
    return sqrt(error / size);
}

/* The same weights, at 8 bits without loss, as they are or rotated. */
static void make_at_8_bits(bool rotated, const char *path)
{
    const char *source = EL_TEST_OUT "/models_8.gguf";
    const el_quantize_options options = {.bits = 8, .group = 32, .embedding_group = 32};
    el_tiny_spec spec = el_tiny_defaults();
    edgellm_error err;
    spec.matrix_type = spec.embedding_type = EL_GGML_F32;
    spec.dim = 128;
    spec.ffn_dim = 192;
    spec.lone = true;
    spec.rotated = rotated;
    assert_true(el_tiny_write(&spec, source));
    assert_ok(el_quantize(source, path, &options, NULL, &err));
}

static void test_a_rotated_model_computes_what_it_stands_for(void **state)
{
    (void)state;
    const char *plain = EL_TEST_OUT "/models_plain.tm2.bin";
    const char *unsaid = EL_TEST_OUT "/models_unsaid.tm2.bin";
    static const double limit[] = {0.03, 1e-5}; /* activations are rounded to int8, or not */
    static float want[LOGITS], got[LOGITS], nonsense[LOGITS];
    make_at_8_bits(false, plain);
    make_at_8_bits(true, unsaid);
    tiny_file_say_rotated(unsaid, PATH);
    for (int exact = 0; exact < 2; exact++) {
        logits_of(plain, exact, want);
        logits_of(PATH, exact, got);
        logits_of(unsaid, exact, nonsense);
        assert_true(distance(got, want) < limit[exact]);
        assert_true(distance(nonsense, want) > 0.5);
    }
}

static void test_tensors_beyond_the_last_are_refused(void **state)
{
    (void)state;
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    edgellm_model_info info;
    edgellm_tensor_info tensor;
    edgellm_error err;
    edgellm_engine_info(engine, &info);
    assert_ok(edgellm_engine_tensor(engine, info.tensors - 1, &tensor, &err));
    assert_int_equal(edgellm_engine_tensor(engine, info.tensors, &tensor, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "tensor index");
    edgellm_engine_close(engine);
}

static void test_a_kernel_above_the_mask_is_refused(void **state)
{
    (void)state;
    const char *best = "scalar", *name;
    for (uint32_t i = 0; (name = edgellm_kernel_name(i)) != NULL; i++)
        best = name;
    const edgellm_engine_options options = {.kernel = best, .cpumask = "scalar"};
    const bool above = strcmp(best, "scalar") != 0;
    edgellm_engine *engine = NULL;
    edgellm_error err = {0};
    edgellm_status status = edgellm_engine_open(tiny_file_path(TINY_KEPT), &options, &engine, &err);
    assert_int_equal(status, above ? EDGELLM_ERR_USAGE : EDGELLM_OK);
    if (above) assert_contains(err.message, "is above the cpumask \"scalar\"");
    edgellm_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_cannot_be_run_is_refused),
        cmocka_unit_test(test_a_head_of_its_own_is_used),
        cmocka_unit_test(test_a_rotated_model_computes_what_it_stands_for),
        cmocka_unit_test(test_tensors_beyond_the_last_are_refused),
        cmocka_unit_test(test_a_kernel_above_the_mask_is_refused),
    };
    return cmocka_run_group_tests_name("models", tests, tiny_files_make, NULL);
}
