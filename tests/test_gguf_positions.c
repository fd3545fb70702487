/*
 * test_gguf_positions.c: how GGUF files say that positions are stretched or that layers attend to a
 * window, what of it is refused, and projections that lie in one tensor.
 */
#include "format/gguf.h"

#include <math.h>
#include <string.h>

#include "support/hand_gguf.h"
#include "support/test_help.h"

#define PATH EL_TEST_OUT "/positions.gguf"

/* A file of architecture `name`: 4 layers, 2 heads of 8 and 1 KV head, context 256. */
static el_hand start(const char *name)
{
    static const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {{"block_count", 4},
                   {"context_length", 256},
                   {"embedding_length", 16},
                   {"feed_forward_length", 12},
                   {"attention.head_count", 2},
                   {"attention.head_count_kv", 1},
                   {"vocab_size", 3}};
    char key[96];
    el_hand h = el_hand_start();
    el_hand_text(&h, "general.architecture", name);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(key, sizeof key, "%s.%s", name, numbers[i].key);
        el_hand_u32(&h, key, numbers[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", name);
    el_gguf_put_f32(&h.values, key, 1e-6f);
    h.n_values++;
    return h;
}

static void put_f32(el_hand *h, const char *key, float value)
{
    el_gguf_put_f32(&h->values, key, value);
    h->n_values++;
}

static edgellm_status read_config(el_hand *h, el_config *c, edgellm_error *err)
{
    el_gguf file;
    assert_true(el_hand_save(h, PATH));
    assert_int_equal(el_gguf_open(&file, PATH, err), EDGELLM_OK);
    edgellm_status status = el_gguf_config(&file, c, err);
    el_gguf_close(&file);
    return status;
}

static el_config config_of(el_hand h)
{
    edgellm_error err;
    el_config c;
    assert_ok(read_config(&h, &c, &err));
    return c;
}

static void refuse(el_hand h, edgellm_status status, const char *part)
{
    edgellm_error err;
    el_config c;
    assert_int_equal(read_config(&h, &c, &err), status);
    assert_contains(err.message, part);
}

/* ---- stretched positions --------------------------------------------------------------------- */

static void test_linear(void **state)
{
    (void)state;
    el_hand h = start("llama");
    el_hand_text(&h, "llama.rope.scaling.type", "linear");
    put_f32(&h, "llama.rope.scaling.factor", 2.5f);
    el_config c = config_of(h);
    assert_true(c.rope_factor == 2.5f && c.rope_gain == 0 && c.rope_context == 0);
    assert_true(c.yarn_fast == 0 && c.window == 0);

    h = start("qwen2"); /* without a type */
    put_f32(&h, "qwen2.rope.scale_linear", 4);
    assert_true(config_of(h).rope_factor == 4);

    h = start("llama");
    put_f32(&h, "llama.rope.scaling.factor", 0);
    assert_true(config_of(h).rope_factor == 0);

    h = start("llama");
    el_hand_text(&h, "llama.rope.scaling.type", "none");
    put_f32(&h, "llama.rope.scaling.factor", 8);
    assert_true(config_of(h).rope_factor == 0);

    h = start("llama");
    el_hand_text(&h, "llama.rope.scaling.type", "linear");
    refuse(h, EDGELLM_ERR_FORMAT, "'llama.rope.scaling.factor' is missing");
}

static el_hand start_yarn(void)
{
    el_hand h = start("qwen3");
    el_hand_text(&h, "qwen3.rope.scaling.type", "yarn");
    put_f32(&h, "qwen3.rope.scaling.factor", 4);
    return h;
}

static void test_yarn(void **state)
{
    (void)state;
    el_hand h = start_yarn();
    el_hand_u32(&h, "qwen3.rope.scaling.original_context_length", 64);
    el_config c = config_of(h);
    assert_true(c.rope_factor == 4 && c.rope_context == 64 && c.yarn_fast == 32 &&
                c.yarn_slow == 1);
    assert_true(fabsf(c.rope_gain - 1.1386294f) < 1e-6f);

    h = start_yarn();
    el_hand_u32(&h, "qwen3.rope.scaling.original_context_length", 64);
    put_f32(&h, "qwen3.rope.scaling.yarn_attn_factor", 1);
    put_f32(&h, "qwen3.rope.scaling.yarn_beta_fast", 16);
    put_f32(&h, "qwen3.rope.scaling.yarn_beta_slow", 2);
    c = config_of(h);
    assert_true(c.rope_gain == 0 && c.yarn_fast == 16 && c.yarn_slow == 2);

    refuse(start_yarn(), EDGELLM_ERR_FORMAT, "original_context_length' is missing");
    static const char *const others[] = {"qwen3.rope.scaling.yarn_ext_factor",
                                         "qwen3.rope.scaling.yarn_log_multiplier"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        h = start_yarn();
        el_hand_u32(&h, "qwen3.rope.scaling.original_context_length", 64);
        put_f32(&h, others[i], 0.5f);
        refuse(h, EDGELLM_ERR_UNSUPPORTED, others[i]);
    }
    h = start_yarn();
    el_hand_u32(&h, "qwen3.rope.scaling.original_context_length", 0);
    refuse(h, EDGELLM_ERR_FORMAT, "YaRN needs all of them");
}

static void test_longrope(void **state)
{
    (void)state;
    el_hand h = start("phi3"); /* as llama.cpp's converter: tensors, but no type */
    el_hand_u32(&h, "phi3.rope.scaling.original_context_length", 64);
    el_hand_tensor(&h, "rope_factors_long.weight", 4, EL_GGML_F32, 0);
    el_bytes_put(&h.data, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    el_config c = config_of(h);
    assert_true(c.rope_context == 64 && c.rope_factor == 0);
    assert_true(fabsf(c.rope_gain - 1.1547005f) < 1e-6f); /* sqrt(1 + ln 4 / ln 64) */

    h = start("phi3");
    el_hand_text(&h, "phi3.rope.scaling.type", "longrope");
    el_hand_u32(&h, "phi3.rope.scaling.original_context_length", 64);
    put_f32(&h, "phi3.rope.scaling.attn_factor", 1.25f);
    assert_true(config_of(h).rope_gain == 1.25f);

    h = start("phi3"); /* Phi-3-mini-4k: the number alone means nothing */
    el_hand_u32(&h, "phi3.rope.scaling.original_context_length", 256);
    c = config_of(h);
    assert_true(c.rope_context == 0 && c.rope_gain == 0);

    h = start("llama");
    el_hand_text(&h, "llama.rope.scaling.type", "su");
    refuse(h, EDGELLM_ERR_UNSUPPORTED, "llama.rope.scaling.type is 'su'");
}

/* ---- windows --------------------------------------------------------------------------------- */

static void test_windows(void **state)
{
    (void)state;
    el_hand h = start("llama");
    el_hand_u32(&h, "llama.attention.sliding_window", 100);
    el_config c = config_of(h);
    assert_true(c.window == 100 && c.pattern == 5); /* no layer is the fifth */

    h = start("phi3");
    el_hand_u32(&h, "phi3.attention.sliding_window", 256); /* all that there is */
    c = config_of(h);
    assert_true(c.window == 0 && c.pattern == 0);

    h = start("qwen2");
    el_hand_u32(&h, "qwen2.attention.sliding_window", 100);
    refuse(h, EDGELLM_ERR_UNSUPPORTED, "qwen2.attention.sliding_window is 100");
}

/* ---- projections in one tensor --------------------------------------------------------------- */

/* Vectors of bytes' numbers serve: rows of one element. */
static el_gguf open_with(const char *const *names, const uint32_t *counts, el_config *c)
{
    edgellm_error err;
    el_gguf file;
    uint64_t at = 0;
    el_hand h = start("phi3");
    for (size_t i = 0; names[i]; i++) {
        el_hand_tensor(&h, names[i], counts[i], EL_GGML_F32, at);
        for (uint32_t k = 0; k < (counts[i] + 7) / 8 * 8; k++) {
            const float value = (float)k;
            el_bytes_put(&h.data, &value, sizeof value);
        }
        at += (uint64_t)(counts[i] + 7) / 8 * 32;
    }
    assert_true(el_hand_save(&h, PATH));
    assert_ok(el_gguf_open(&file, PATH, &err));
    assert_ok(el_gguf_config(&file, c, &err));
    return file;
}

static void check_part(const el_gguf *file, const char *name, uint32_t count, float first)
{
    const el_gguf_tensor *t = el_gguf_find(file, name);
    float value;
    assert_non_null(t);
    assert_int_equal(t->rows, 1);
    assert_int_equal(t->cols, count);
    assert_int_equal(t->bytes, count * sizeof value);
    memcpy(&value, t->data, sizeof value);
    assert_true(value == first);
}

static void test_split(void **state)
{
    (void)state;
    static const char *const names[] = {"blk.0.attn_qkv.weight", "blk.3.attn_qkv.bias",
                                        "blk.0.ffn_up.weight", "output_norm.weight", NULL};
    static const uint32_t counts[] = {32, 32, 24, 16};
    edgellm_error err;
    el_config c;
    el_gguf file = open_with(names, counts, &c);
    assert_ok(el_gguf_split(&file, &c, &err));
    assert_int_equal(file.n_tensors, 9);
    check_part(&file, "blk.0.attn_q.weight", 16, 0);
    check_part(&file, "blk.0.attn_k.weight", 8, 16);
    check_part(&file, "blk.0.attn_v.weight", 8, 24);
    check_part(&file, "blk.3.attn_v.bias", 8, 24);
    check_part(&file, "blk.0.ffn_gate.weight", 12, 0);
    check_part(&file, "blk.0.ffn_up.weight", 12, 12);
    check_part(&file, "output_norm.weight", 16, 0);
    assert_null(el_gguf_find(&file, "blk.0.attn_qkv.weight"));
    assert_ok(el_gguf_split(&file, &c, &err)); /* nothing is left to take apart */
    assert_int_equal(file.n_tensors, 9);
    el_gguf_close(&file);
}

static void refuse_split(const char *const *names, const uint32_t *counts, const char *part)
{
    edgellm_error err;
    el_config c;
    el_gguf file = open_with(names, counts, &c);
    const uint32_t before = file.n_tensors;
    assert_int_equal(el_gguf_split(&file, &c, &err), EDGELLM_ERR_FORMAT);
    assert_contains(err.message, part);
    assert_int_equal(file.n_tensors, before);
    el_gguf_close(&file);
}

static void test_bad_fusions(void **state)
{
    (void)state;
    static const char *const odd[] = {"blk.0.attn_qkv.weight", NULL};
    static const char *const both[] = {"blk.0.attn_qkv.weight", "blk.0.attn_k.weight", NULL};
    static const char *const high[] = {"blk.0.ffn_up.weight", NULL};
    static const uint32_t counts[] = {31, 8}, right[] = {32, 8};
    refuse_split(odd, counts, "'blk.0.attn_qkv.weight' has shape (1, 31); its parts have 32 rows");
    refuse_split(both, right, "has the rows of 'blk.0.attn_k.weight' too");
    refuse_split(high, counts, "its parts have 24 rows");
    char many[16][32];
    const char *names[17] = {NULL};
    uint32_t all[16];
    for (int i = 0; i < 16; i++) { /* 3 of each of 4 layers are the most */
        snprintf(many[i], sizeof many[i], "blk.%d.attn_qkv.weight", i);
        names[i] = many[i];
        all[i] = 32;
    }
    refuse_split(names, all, "more such tensors than the 4 layers have");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),   cmocka_unit_test(test_yarn),
        cmocka_unit_test(test_longrope), cmocka_unit_test(test_windows),
        cmocka_unit_test(test_split),    cmocka_unit_test(test_bad_fusions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
