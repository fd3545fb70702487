/*
 * test_float_model.c: the source opened and read, its errors, and whole models in float32 against
 * the engine in exact mode, which is what they stand for.
 */
#include "support/test_help.h"

#include <math.h>
#include <stdlib.h>

#include "format/ggml_types.h"
#include "quant/quantize.h"
#include "support/float_model.h"
#include "support/tiny_model.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define SOURCE        EL_TEST_OUT "/float_model.gguf"
#define CONVERTED     EL_TEST_OUT "/float_model.tm2.bin"

/* ---- against the engine ------------------------------------------------------------------ */

static void convert(const el_tiny_spec *spec)
{
    edgellm_error err;
    el_quantize_result result;
    const el_quantize_options keep = {.group = 32, .embedding_group = 32};
    assert_true(el_tiny_write(spec, SOURCE));
    assert_ok(el_quantize(SOURCE, CONVERTED, &keep, &result, &err));
    assert_int_equal(result.rounded, 0); /* else the engine has other weights */
}

static float_distance distance_of(uint32_t length, uint32_t chunks)
{
    edgellm_error err;
    edgellm_engine *engine;
    el_source source;
    float_model m;
    float_distance d = {0};
    el_random r = {length};
    uint32_t tokens[64];
    assert_true(length <= LENGTH(tokens));
    assert_ok(edgellm_engine_open(CONVERTED, NULL, &engine, &err));
    assert_ok(el_source_open(&source, SOURCE, &err));
    assert_ok(float_model_open(&m, &source, length, &err));
    for (uint32_t c = 0; c < chunks; c++) {
        for (uint32_t i = 0; i < length; i++)
            tokens[i] = el_random_below(&r, EL_TINY_VOCAB);
        assert_ok(float_model_compare(&m, engine, tokens, &d, &err));
    }
    float_model_close(&m);
    el_source_close(&source);
    edgellm_engine_close(engine);
    assert_int_equal(d.positions, length * chunks);
    return d;
}

static const struct {
    uint32_t dim, ffn, layers, heads, kv_heads, matrix, embedding;
    bool separate;
    uint32_t length;
    const char *architecture;
    uint32_t window, turned;
    el_tiny_scaling scaling;
} models[] = {
    {64, 96, 2, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, NULL, 0, 0, EL_TINY_UNSCALED},
    {96, 32, 3, 2, 1, EL_GGML_Q8_0, EL_GGML_Q8_0, true, 33, NULL, 0, 0, EL_TINY_UNSCALED},
    {32, 160, 1, 4, 4, EL_GGML_Q4_0, EL_GGML_Q4_1, false, 1, NULL, 0, 0, EL_TINY_UNSCALED},
    {160, 64, 2, 5, 1, EL_GGML_Q4_1, EL_GGML_Q4_0, true, 17, NULL, 0, 0, EL_TINY_UNSCALED},
    {64, 96, 3, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, "qwen2", 0, 0, EL_TINY_UNSCALED},
    {96, 32, 2, 3, 1, EL_GGML_Q8_0, EL_GGML_Q8_0, true, 33, "qwen2", 0, 0, EL_TINY_UNSCALED},
    {64, 96, 3, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, "qwen3", 0, 0, EL_TINY_UNSCALED},
    {96, 32, 2, 3, 3, EL_GGML_Q4_0, EL_GGML_Q8_0, true, 33, "qwen3", 0, 0, EL_TINY_UNSCALED},
    {64, 96, 3, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, "gemma2", 0, 0, EL_TINY_UNSCALED},
    {96, 32, 4, 3, 1, EL_GGML_Q8_0, EL_GGML_Q8_0, true, 33, "gemma2", 0, 0, EL_TINY_UNSCALED},
    {64, 96, 3, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, "gemma3", 0, 0, EL_TINY_UNSCALED},
    {96, 32, 2, 3, 1, EL_GGML_Q8_0, EL_GGML_Q8_0, true, 33, "gemma3", 0, 0, EL_TINY_UNSCALED},
    {64, 96, 3, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, "phi3", 0, 0, EL_TINY_UNSCALED},
    {96, 32, 2, 3, 1, EL_GGML_Q8_0, EL_GGML_Q8_0, true, 33, "phi3", 0, 24, EL_TINY_UNSCALED},
    {64, 96, 5, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, "smollm3", 0, 0, EL_TINY_UNSCALED},
    {64, 96, 3, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, "bitnet", 0, 0, EL_TINY_UNSCALED},
    {64, 96, 3, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, "bitnet-b1.58", 0, 0,
     EL_TINY_UNSCALED},
    /* windows, and positions stretched in every way */
    {64, 96, 2, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, NULL, 9, 0, EL_TINY_UNSCALED},
    {64, 96, 2, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, "phi3", 31, 0, EL_TINY_UNSCALED},
    {64, 96, 2, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, NULL, 0, 12, EL_TINY_LINEAR},
    {64, 96, 2, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, NULL, 0, 0, EL_TINY_FACTORS},
    {64, 96, 2, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, "qwen2", 0, 0, EL_TINY_YARN},
    {64, 96, 2, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, "phi3", 0, 0, EL_TINY_LONGROPE},
    {64, 96, 2, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 33, "phi3", 0, 0, EL_TINY_LONGROPE},
    {64, 96, 2, 4, 2, EL_GGML_Q4_1, EL_GGML_Q8_0, false, 64, "gemma3", 0, 0, EL_TINY_LINEAR}};

static void test_the_engine_says_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(models); i++) {
        el_tiny_spec s = el_tiny_defaults();
        s.dim = models[i].dim, s.ffn_dim = models[i].ffn, s.layers = models[i].layers;
        s.heads = models[i].heads, s.kv_heads = models[i].kv_heads;
        s.matrix_type = models[i].matrix, s.embedding_type = models[i].embedding;
        s.separate_head = models[i].separate;
        s.architecture = models[i].architecture;
        s.window = models[i].window, s.turned = models[i].turned, s.scaling = models[i].scaling;
        convert(&s);
        float_distance d = distance_of(models[i].length, 2);
        if (!(fabs(d.sum / d.positions) < 1e-10 && d.largest < 1e-9))
            fail_msg("row %zu: mean KL %g, largest %g", i, d.sum / d.positions, d.largest);
    }
}

/* That other weights are seen: a norm that is not the file's. */
static void test_other_weights_are_seen(void **state)
{
    (void)state;
    el_tiny_spec spec = el_tiny_defaults();
    convert(&spec);
    spec.seed = 2;
    assert_true(el_tiny_write(&spec, SOURCE));
    float_distance d = distance_of(16, 1);
    assert_true(d.sum / d.positions > 1e-2);
}

/* ---- reading ----------------------------------------------------------------------------- */

static void test_types_and_rows(void **state)
{
    (void)state;
    static const uint32_t types[] = {EL_GGML_F32, EL_GGML_F16, EL_GGML_Q4_0, EL_GGML_Q4_1,
                                     EL_GGML_Q8_0};
    for (size_t i = 0; i < LENGTH(types); i++) {
        edgellm_error err;
        el_source s;
        float all[32 * 64], some[3 * 64];
        el_tiny_spec spec = el_tiny_defaults();
        spec.matrix_type = types[i];
        assert_true(el_tiny_write(&spec, SOURCE));
        assert_ok(el_source_open(&s, SOURCE, &err));
        assert_ptr_equal(s.head, s.embedding);
        const el_gguf_tensor *t = el_source_part(&s, 1, EL_PART_K);
        assert_string_equal(t->name, "blk.1.attn_k.weight");
        assert_int_equal(t->rows * t->cols, LENGTH(all));
        assert_ok(el_source_load(t, all, &err));
        el_source_rows(t, 5, 3, some);
        assert_memory_equal(some, all + 5 * 64, sizeof some);
        el_source_close(&s);
    }
}

static void test_a_head_of_its_own(void **state)
{
    (void)state;
    edgellm_error err;
    el_source s;
    el_tiny_spec spec = el_tiny_defaults();
    spec.separate_head = true;
    assert_true(el_tiny_write(&spec, SOURCE));
    assert_ok(el_source_open(&s, SOURCE, &err));
    assert_string_equal(s.head->name, "output.weight");
    assert_string_equal(s.embedding->name, "token_embd.weight");
    el_source_close(&s);
}

/* ---- errors ------------------------------------------------------------------------------ */

/* The name of a tensor in a file: its length stands before it. */
static uint8_t *find(const el_bytes *file, const char *name)
{
    el_bytes text = {0};
    el_bytes_text(&text, name);
    uint8_t *at = memmem(file->data, file->size, text.data, text.size);
    free(text.data);
    assert_non_null(at);
    return at + sizeof(uint64_t);
}

static el_bytes tiny(uint32_t matrix_type, bool separate_head)
{
    el_bytes file = {0};
    el_tiny_spec spec = el_tiny_defaults();
    spec.matrix_type = matrix_type;
    spec.separate_head = separate_head;
    el_tiny_gguf(&spec, &file);
    return file;
}

static void check_refused(el_bytes *file, edgellm_status status, const char *const says[3])
{
    edgellm_error err = {0};
    el_source s;
    assert_true(el_bytes_save(file, SOURCE));
    free(file->data);
    assert_int_equal(el_source_open(&s, SOURCE, &err), status);
    for (int i = 0; i < 3 && says[i]; i++)
        assert_contains(err.message, says[i]);
}

static void test_missing_tensors(void **state)
{
    (void)state;
    static const char *const names[] = {
        "token_embd.weight",      "output_norm.weight",      "blk.0.attn_q.weight",
        "blk.1.attn_norm.weight", "blk.1.ffn_norm.weight",   "blk.0.attn_k.weight",
        "blk.0.attn_v.weight",    "blk.1.ffn_gate.weight",   "blk.1.ffn_up.weight",
        "blk.1.ffn_down.weight",  "blk.1.attn_output.weight"};
    for (size_t i = 0; i < LENGTH(names); i++) {
        el_bytes file = tiny(EL_GGML_Q4_1, false);
        find(&file, names[i])[0] = 'X';
        check_refused(&file, EDGELLM_ERR_FORMAT,
                      (const char *const[]){names[i], "is missing", NULL});
    }
}

/* Tensors become smaller: their data stays within the file. */
static void test_wrong_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t cols, rows; /* 0 rows: a vector */
        const char *shape, *needed;
    } rows[] = {{"blk.1.attn_q.weight", 64, 32, "(32, 64)", "(64, 64)"},
                {"blk.0.ffn_down.weight", 64, 64, "(64, 64)", "(64, 96)"},
                {"blk.0.attn_norm.weight", 32, 0, "(1, 32)", "(1, 64)"},
                {"output_norm.weight", 32, 0, "(1, 32)", "(1, 64)"},
                {"output.weight", 64, 299, "(299, 64)", "(300, 64)"},
                {"token_embd.weight", 32, 300, "(300, 32)", "(300, 64)"}};
    for (size_t i = 0; i < LENGTH(rows); i++) {
        el_bytes file = tiny(EL_GGML_Q4_1, true);
        const uint64_t shape[2] = {rows[i].cols, rows[i].rows};
        uint8_t *at = find(&file, rows[i].name) + strlen(rows[i].name) + 4; /* 4: dimensions */
        memcpy(at, shape, rows[i].rows ? 16 : 8);
        check_refused(&file, EDGELLM_ERR_FORMAT,
                      (const char *const[]){rows[i].name, rows[i].shape, rows[i].needed});
    }
}

static void test_other_architectures(void **state)
{
    (void)state;
    el_bytes file = tiny(EL_GGML_Q4_1, false);
    const uint8_t *table = find(&file, "token_embd.weight");
    uint8_t *at = file.data;
    while ((at = memmem(at, (size_t)(table - at), "llama", 5)))
        memcpy(at, "gemma", 5);
    check_refused(&file, EDGELLM_ERR_UNSUPPORTED,
                  (const char *const[]){"'gemma'", "only llama, qwen2,", "bitnet-b1.58 can"});
    file = tiny(EL_GGML_Q4_1, false);
    table = find(&file, "token_embd.weight");
    at = file.data;
    while ((at = memmem(at, (size_t)(table - at), "llama", 5)))
        memcpy(at, "qwen2", 5);
    check_refused(&file, EDGELLM_ERR_FORMAT,
                  (const char *const[]){"blk.0.attn_q.bias", "is missing", NULL});
}

/* A tensor that its architecture has not, under the name of one in a file. */
static void test_tensors_of_others(void **state)
{
    (void)state;
    static const char becomes[] = "position_embd"; /* as long a name */
    el_bytes file = tiny(EL_GGML_Q4_1, true);
    memcpy(find(&file, "output.weight"), becomes, strlen(becomes));
    check_refused(&file, EDGELLM_ERR_UNSUPPORTED,
                  (const char *const[]){"'position_embd'", "not supported", NULL});
}

/* Factors below 1 would make angles that are not exact. */
static void test_factors_below_1(void **state)
{
    (void)state;
    el_tiny_spec spec = el_tiny_defaults();
    el_bytes file = {0};
    el_source s;
    edgellm_error err = {0};
    spec.scaling = EL_TINY_FACTORS;
    assert_true(el_tiny_write(&spec, SOURCE));
    assert_ok(el_source_open(&s, SOURCE, &err));
    const el_gguf_tensor *t = el_gguf_find(&s.gguf, "rope_freqs.weight");
    const size_t at = (size_t)(t->data - s.gguf.map.data) + 2 * sizeof(float);
    el_source_close(&s);
    el_tiny_gguf(&spec, &file);
    memcpy(file.data + at, &(float){0.5f}, sizeof(float));
    check_refused(&file, EDGELLM_ERR_UNSUPPORTED,
                  (const char *const[]){"'rope_freqs.weight', column 2", "below 1", NULL});
}

static void test_not_a_file(void **state)
{
    (void)state;
    edgellm_error err = {0};
    el_source s;
    assert_int_equal(el_source_open(&s, EL_TEST_OUT "/no such file.gguf", &err), EDGELLM_ERR_IO);
    assert_contains(err.message, "no such file.gguf");
    put_file(SOURCE, "no model at all");
    assert_int_equal(el_source_open(&s, SOURCE, &err), EDGELLM_ERR_FORMAT);
}

/* One weight of a tensor becomes `value`; what loading the layer says. */
static void check_not_finite(const char *name, uint32_t row, uint32_t col, float value)
{
    edgellm_error err = {0};
    el_source s;
    float_model m;
    char says[128];
    el_bytes file = tiny(EL_GGML_F32, false);
    assert_true(el_bytes_save(&file, SOURCE));
    assert_ok(el_source_open(&s, SOURCE, &err));
    const el_gguf_tensor *t = el_gguf_find(&s.gguf, name);
    size_t at = (size_t)(t->data - s.gguf.map.data) + ((size_t)row * t->cols + col) * sizeof value;
    el_source_close(&s);
    memcpy(file.data + at, &value, sizeof value);
    assert_true(el_bytes_save(&file, SOURCE));
    free(file.data);
    assert_ok(el_source_open(&s, SOURCE, &err));
    assert_ok(float_model_open(&m, &s, 1, &err));
    assert_ok(el_source_load_layer(&s, 0, &m.layer, &err));
    assert_int_equal(el_source_load_layer(&s, 1, &m.layer, &err), EDGELLM_ERR_FORMAT);
    snprintf(says, sizeof says, "'%s', row %u, column %u:", name, row, col);
    assert_contains(err.message, says);
    assert_contains(err.message, "not a finite number");
    float_model_close(&m);
    el_source_close(&s);
}

static void test_weights_that_are_no_numbers(void **state)
{
    (void)state;
    check_not_finite("blk.1.ffn_up.weight", 3, 5, NAN);
    check_not_finite("blk.1.attn_q.weight", 0, 0, INFINITY);
    check_not_finite("blk.1.ffn_down.weight", 63, 95, -INFINITY);
    check_not_finite("blk.1.ffn_norm.weight", 0, 63, NAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_engine_says_the_same),
        cmocka_unit_test(test_other_weights_are_seen),
        cmocka_unit_test(test_types_and_rows),
        cmocka_unit_test(test_a_head_of_its_own),
        cmocka_unit_test(test_missing_tensors),
        cmocka_unit_test(test_wrong_shapes),
        cmocka_unit_test(test_other_architectures),
        cmocka_unit_test(test_tensors_of_others),
        cmocka_unit_test(test_factors_below_1),
        cmocka_unit_test(test_not_a_file),
        cmocka_unit_test(test_weights_that_are_no_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
