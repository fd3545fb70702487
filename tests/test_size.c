/* test_size.c: the bytes that size.h and plan.h foretell are those of files that are then written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "format/tm2.h"
#include "quant/plan.h"
#include "quant/quantize.h"
#include "quant/size.h"
#include "support/tiny_model.h"

#define SOURCE EL_TEST_OUT "/size_source.gguf"
#define TARGET EL_TEST_OUT "/size_target.tm2.bin"

static uint64_t foretell(const el_tm2 *file)
{
    const el_vocab *v = &file->vocab;
    el_size size;
    el_size_begin(&size, el_size_vocab(v), strlen(v->chat_template) + 1);
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        el_tensor t;
        el_tm2_tensor(file, i, &t);
        const el_size_form form = {(el_codec)t.codec, (el_scale_kind)t.scale_kind, t.group};
        assert_int_equal(el_size_put(&size, t.rows, t.cols, &form), 0);
        assert_int_equal(el_size_tensor(t.rows, t.cols, &form), t.bytes);
    }
    return el_size_finish(&size, strlen(file->manifest) + 1);
}

static void write_source(uint32_t dim, uint32_t ffn_dim, bool separate_head)
{
    el_tiny_spec spec = el_tiny_defaults();
    spec.dim = dim;
    spec.ffn_dim = ffn_dim;
    spec.separate_head = separate_head;
    assert_true(el_tiny_write(&spec, SOURCE));
}

static void quantize(const el_quantize_options *options, el_tm2 *file)
{
    edgellm_error err = {0};
    el_quantize_result result;
    if (el_quantize(SOURCE, TARGET, options, &result, &err)) fail_msg("%s", err.message);
    if (el_tm2_open(file, TARGET, false, &err)) fail_msg("%s", err.message);
    assert_int_equal(result.file_bytes, file->map.size);
}

static void check_file(const el_quantize_options *options)
{
    el_tm2 file;
    quantize(options, &file);
    assert_int_equal(foretell(&file), file.map.size);
    el_tm2_close(&file);
}

static void every_form_is_foretold(void **state)
{
    static const unsigned bits[] = {0, 1, EL_ROUND_TERNARY, 2, 3, 4, 8};
    static const uint32_t groups[] = {0, 32, 64, 128};
    (void)state;
    write_source(96, 160, false);
    for (int i = 0; i < 7 * 4 * 2 * 2; i++) {
        const unsigned b = bits[i / 16];
        const bool may_have_offset = b == 0 || el_round_codec(b, true) != EL_CODEC_F32;
        const el_quantize_options options = {.bits = b,
                                             .group = groups[i / 4 % 4],
                                             .embedding_group = groups[(i / 4 + 1) % 4],
                                             .embedding_bits = b,
                                             .offset = i / 2 % 2 && may_have_offset,
                                             .scales = (el_scale_kind)(i % 2)};
        check_file(&options);
    }
}

static void every_shape_is_foretold(void **state)
{
    static const el_quantize_options three = {.bits = 3, .group = 64, .embedding_group = 32};
    static const el_quantize_options fives = {.bits = EL_ROUND_TERNARY, .group = 64};
    (void)state;
    for (uint32_t dim = 32; dim <= 160; dim += 32) {
        write_source(dim, 3 * dim + 32, dim % 64 == 0);
        check_file(&three);
        check_file(&fives); /* a run of five blocks, and what is left of one */
    }
}

static void what_no_file_can_hold_is_refused(void **state)
{
    const uint32_t most = 1u << 24;
    const el_size_form good = {EL_CODEC_I8, EL_SCALE_F16, 32}, odd = {EL_CODEC_S2, EL_SCALE_F16, 5};
    const el_size_form vector = {EL_CODEC_F32, EL_SCALE_F16, 0};
    el_size size;
    (void)state;
    el_size_begin(&size, 0, 0);
    const uint64_t before = size.bytes;
    assert_int_equal(el_size_put(&size, 0, 5, &good), -1);
    assert_int_equal(el_size_put(&size, 5, most + 1, &good), -1);
    assert_int_equal(el_size_put(&size, 5, 64, &odd), -1);
    assert_int_equal(el_size_put(&size, UINT32_MAX, UINT32_MAX, &vector), -1);
    assert_int_equal(el_size_put(&size, 1u << 31, 1u << 31, &vector), -1); /* 2^64 bytes */
    assert_int_equal(size.bytes, before);
    assert_int_equal(size.tensors, 0);
    int status = 0, n = 0;
    while (status == 0 && n < (1 << 20)) {
        status = el_size_put(&size, most, most, &good);
        n++;
    }
    assert_int_equal(status, -1); /* before 64 bits overflow */
    assert_true(n > 1000);
    assert_true(el_size_finish(&size, 1) > size.bytes);
}

/* ---- plans ------------------------------------------------------------------------------- */

/* The tiny model's numbers, as they are in a file of it. */
static el_plan_model model_of(const el_tm2 *file)
{
    const el_config *c = &file->config;
    const el_vocab *v = &file->vocab;
    uint64_t vocab = el_size_vocab(v);
    el_tensor head;
    return (el_plan_model){.architecture = "llama",
                           .layers = c->layers,
                           .dim = c->dim,
                           .ffn_dim = c->ffn_dim,
                           .heads = c->heads,
                           .kv_heads = c->kv_heads,
                           .head_dim = c->head_dim,
                           .vocab = c->vocab,
                           .tied_embedding = !el_tm2_find(file, "output.weight", &head),
                           .tokenizer_bytes =
                               (vocab + 63) / 64 * 64 + strlen(v->chat_template) + 1};
}

/* But for the manifest, for which a plan allows more. */
static uint64_t without_manifest(const el_tm2 *file)
{
    return file->map.size - strlen(file->manifest) - 1 + EL_PLAN_MANIFEST_BYTES;
}

static void a_planned_file_has_the_bytes_planned(void **state)
{
    (void)state;
    for (int head = 0; head < 2; head++) {
        write_source(96, 160, head);
        for (int i = 0; i < EL_PLAN_LEVELS * EL_PLAN_LEVELS; i++) {
            const unsigned bits = el_plan_bits[i / EL_PLAN_LEVELS],
                           embedding_bits = el_plan_bits[i % EL_PLAN_LEVELS];
            const el_quantize_options options = {.bits = bits,
                                                 .embedding_bits = embedding_bits,
                                                 .group = 128,
                                                 .embedding_group = 128,
                                                 .scales = EL_SCALE_BYTE};
            const el_size_form body = el_plan_form(bits), embedding = el_plan_form(embedding_bits);
            el_tm2 file;
            quantize(&options, &file);
            const el_plan_model m = model_of(&file);
            assert_int_equal(m.tied_embedding, !head);
            assert_int_equal(el_plan_bytes(&m, &body, &embedding), without_manifest(&file));
            el_tm2_close(&file);
        }
    }
}

static el_plan_model tiny(void)
{
    static const el_quantize_options smallest = {
        .bits = 1, .group = 128, .embedding_group = 128, .scales = EL_SCALE_BYTE};
    const el_size_form least = el_plan_form(1);
    el_tm2 file;
    write_source(96, 160, false);
    quantize(&smallest, &file);
    el_plan_model m = model_of(&file);
    assert_int_equal(el_plan_bytes(&m, &least, &least), without_manifest(&file));
    el_tm2_close(&file);
    return m;
}

static el_plan make(const el_plan_model *m, uint64_t size)
{
    edgellm_error err = {0};
    el_plan plan;
    if (el_plan_make(m, size, &plan, &err)) fail_msg("%s", err.message);
    assert_int_equal(plan.size, size);
    assert_int_equal(plan.fits, plan.smallest_bytes <= size);
    assert_true(plan.smallest_bytes < plan.calibrated_bytes);
    assert_int_equal(plan.fixed_bytes, m->tokenizer_bytes + plan.vector_bytes + plan.frame_bytes);
    return plan;
}

static void a_byte_decides_what_fits(void **state)
{
    const el_plan_model m = tiny();
    const el_size_form coarsest = el_plan_form(1), calibrated = el_plan_form(2);
    const uint64_t smallest = el_plan_bytes(&m, &coarsest, &coarsest);
    (void)state;
    assert_int_equal(make(&m, 1).calibrated_bytes, el_plan_bytes(&m, &calibrated, &calibrated));
    assert_true(make(&m, smallest).fits);
    assert_false(make(&m, smallest - 1).fits);
    for (int i = 0; i < EL_PLAN_MIXES; i++) {
        uint64_t least = make(&m, smallest).mixes[i].least_bytes;
        assert_true(make(&m, least).mixes[i].fits);
        assert_true(make(&m, least).mixes[i].share[0] == 1.0);
        const el_plan_mix none = make(&m, least - 1).mixes[i];
        assert_false(none.fits);
        assert_true(none.share[0] == 0);
    }
}

static void the_bits_left_are_what_the_fixed_bytes_leave(void **state)
{
    const el_plan_model m = tiny();
    const el_plan plan = make(&m, 1000000), same = make(&m, plan.fixed_bytes);
    const uint64_t weights = plan.body_weights + plan.embedding_weights;
    (void)state;
    /* two layers; q, k, v, o with 2 of 4 heads for k and v; three matrices of ffn */
    assert_int_equal(plan.body_weights, 2 * (96 * 96 * 3 + 3 * 96 * 160));
    assert_int_equal(plan.embedding_weights, EL_TINY_VOCAB * 96);
    assert_int_equal(plan.vector_bytes, 5 * 96 * 4);
    assert_true(same.bits_left == 0 && make(&m, 1).bits_left == 0);
    assert_true(make(&m, plan.fixed_bytes + weights).bits_left == 8);
    assert_true(make(&m, plan.fixed_bytes + weights / 4).bits_left == 2);
}

/* Half way between two levels half of the weights have the higher one; above the last all have. */
static void shares_are_linear_between_levels(void **state)
{
    const el_plan_model m = tiny();
    uint64_t bytes[EL_PLAN_LEVELS];
    (void)state;
    for (int i = 0; i < EL_PLAN_LEVELS; i++) {
        const el_size_form form = el_plan_form(el_plan_bits[i]);
        bytes[i] = el_plan_bytes(&m, &form, &form);
        const el_plan_mix exact = make(&m, bytes[i]).mixes[0];
        assert_true(exact.fits && exact.share[i] == 1.0);
    }
    for (int i = 1; i < EL_PLAN_LEVELS; i++) {
        const el_plan_mix mix = make(&m, (bytes[i - 1] + bytes[i]) / 2).mixes[0];
        assert_true(mix.share[i] > 0.499 && mix.share[i] < 0.501);
        assert_true(mix.share[i - 1] + mix.share[i] == 1.0);
    }
    const int last = EL_PLAN_LEVELS - 1;
    assert_true(make(&m, bytes[last] + 1).mixes[0].share[last] == 1.0);
}

static void biases_are_vectors(void **state)
{
    el_plan_model m = tiny();
    const el_plan without = make(&m, 1000000);
    (void)state;
    m.qkv_bias = true;
    m.architecture = "qwen2";
    const el_plan with = make(&m, 1000000);
    const uint64_t vectors = 2 * (384 + 2 * 192); /* layers x (96 + 48 + 48 floats) */
    assert_int_equal(with.vector_bytes - without.vector_bytes, vectors);
    assert_int_equal(with.smallest_bytes - without.smallest_bytes, vectors + (uint64_t)6 * 128);
    assert_int_equal(with.body_weights, without.body_weights);
}

static void expect_refusal(const el_plan_model *m, edgellm_status status, const char *words)
{
    edgellm_error err = {0};
    el_plan plan = {.size = 12345};
    assert_int_equal(el_plan_make(m, 1000000, &plan, &err), status);
    assert_int_equal(plan.size, 12345);
    if (!strstr(err.message, words)) fail_msg("\"%s\" lacks \"%s\"", err.message, words);
}

static void senseless_models_are_refused(void **state)
{
    const el_plan_model good = tiny();
    el_plan_model m = good;
    (void)state;
    m.architecture = "mamba";
    expect_refusal(&m, EDGELLM_ERR_UNSUPPORTED, "'mamba'");
    m = good;
    m.layers = 0;
    expect_refusal(&m, EDGELLM_ERR_FORMAT, "layers is 0");
    m = good;
    m.kv_heads = 3;
    expect_refusal(&m, EDGELLM_ERR_FORMAT, "3 kv_heads");
    m = good;
    m.tokenizer_bytes = UINT64_MAX;
    expect_refusal(&m, EDGELLM_ERR_FORMAT, "tokenizer_bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_foretold),
        cmocka_unit_test(every_shape_is_foretold),
        cmocka_unit_test(what_no_file_can_hold_is_refused),
        cmocka_unit_test(a_planned_file_has_the_bytes_planned),
        cmocka_unit_test(a_byte_decides_what_fits),
        cmocka_unit_test(the_bits_left_are_what_the_fixed_bytes_leave),
        cmocka_unit_test(shares_are_linear_between_levels),
        cmocka_unit_test(biases_are_vectors),
        cmocka_unit_test(senseless_models_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
