/*
 * test_models.c: which models an engine runs. Files that are sound as TM2 files, made from a tiny
 * one by one change each: what would compute something else than the model means is refused, and a
 * head of its own is used.
 */
#include "edgellm.h"

#include <stdlib.h>

#include "format/tm2.h"
#include "support/test_help.h"
#include "support/tiny_file.h"

#define PATH EL_TEST_OUT "/models.tm2.bin"

/* What the copy has that the source has not, or the other way round. */
typedef struct change {
    const char *architecture; /* NULL: as it is */
    float rope_base;          /* 0: as it is */
    const char *without;      /* a tensor that is left out */
    const char *of, *add;     /* tensor `of` once more, under the name `add` */
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
        cmocka_unit_test(test_tensors_beyond_the_last_are_refused),
        cmocka_unit_test(test_a_kernel_above_the_mask_is_refused),
    };
    return cmocka_run_group_tests_name("models", tests, tiny_files_make, NULL);
}
