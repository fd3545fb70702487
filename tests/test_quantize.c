/* test_quantize.c: whole files: a tiny GGUF model to TM2, read back weight by weight. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crc32.h"
#include "base/fpenv.h"
#include "format/gguf.h"
#include "format/tm2.h"
#include "quant/manifest.h"
#include "quant/quantize.h"
#include "quant/round.h"
#include "support/tiny_model.h"

#define SOURCE EL_TEST_OUT "/quantize_source.gguf"
#define TARGET EL_TEST_OUT "/quantize_target.tm2.bin"
#define OTHER  EL_TEST_OUT "/quantize_other.tm2.bin"

static void write_source(uint32_t matrix_type, uint32_t embedding_type, bool separate_head)
{
    el_tiny_spec spec = el_tiny_defaults();
    spec.matrix_type = matrix_type;
    spec.embedding_type = embedding_type;
    spec.separate_head = separate_head;
    assert_true(el_tiny_write(&spec, SOURCE));
}

static el_quantize_result quantize(const char *target, const el_quantize_options *options)
{
    edgellm_error err;
    el_quantize_result result;
    edgellm_status status = el_quantize(SOURCE, target, options, &result, &err);
    if (status != EDGELLM_OK) fail_msg("%s", err.message);
    return result;
}

static edgellm_status expect_error(const el_quantize_options *options, const char *words)
{
    edgellm_error err = {0};
    el_quantize_result result = {.tensors = 12345};
    edgellm_status status = el_quantize(SOURCE, TARGET, options, &result, &err);
    assert_int_equal(result.tensors, 12345);
    if (!strstr(err.message, words)) fail_msg("\"%s\" lacks \"%s\"", err.message, words);
    return status;
}

/* ---- reading back ---- */

/* Weights of a tensor of either file, (rows, cols) floats. */
static float *source_weights(const el_gguf_tensor *t)
{
    const el_ggml_type *type = el_ggml_type_of(t->type);
    size_t n = (size_t)t->rows * t->cols;
    float *w = malloc(n * sizeof *w);
    type->dequantize(t->data, n / type->block_weights, w);
    return w;
}

static float *target_weights(const el_tensor *t)
{
    size_t n = (size_t)t->rows * t->cols;
    float *w = malloc(n * sizeof *w);
    if (t->codec == EL_CODEC_F32) {
        memcpy(w, t->data, n * sizeof *w);
        return w;
    }
    el_matrix m;
    assert_int_equal(el_matrix_view(&m, t->data, t->rows, t->cols, (el_codec)t->codec,
                                    (el_scale_kind)t->scale_kind, t->group),
                     0);
    for (uint32_t row = 0; row < t->rows; row++)
        el_matrix_row(&m, row, w + (size_t)row * t->cols);
    return w;
}

typedef struct pair {
    el_gguf gguf;
    el_tm2 tm2;
} pair;

static pair open_pair(const char *target)
{
    pair p;
    edgellm_error err;
    assert_int_equal(el_gguf_open(&p.gguf, SOURCE, &err), EDGELLM_OK);
    if (el_tm2_open(&p.tm2, target, true, &err)) fail_msg("%s", err.message);
    assert_int_equal(p.gguf.n_tensors, p.tm2.n_tensors);
    return p;
}

static void close_pair(pair *p)
{
    el_gguf_close(&p->gguf);
    el_tm2_close(&p->tm2);
}

static el_tensor find(const pair *p, const char *name)
{
    el_tensor t;
    assert_true(el_tm2_find(&p->tm2, name, &t));
    return t;
}

/* Relative squared difference over all matrices; vectors must be the same. */
static double compare_weights(const pair *p)
{
    double error = 0, size = 0;
    for (uint32_t i = 0; i < p->gguf.n_tensors; i++) {
        const el_gguf_tensor *s = &p->gguf.tensors[i];
        el_tensor t = find(p, s->name);
        assert_int_equal(t.rows, s->rows);
        assert_int_equal(t.cols, s->cols);
        float *a = source_weights(s), *b = target_weights(&t);
        size_t n = (size_t)s->rows * s->cols;
        if (s->rows == 1) {
            assert_int_equal(t.codec, EL_CODEC_F32);
            assert_memory_equal(a, b, n * sizeof *a);
        }
        for (size_t k = 0; k < n && s->rows > 1; k++) {
            error += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
            size += (double)a[k] * a[k];
        }
        free(a);
        free(b);
    }
    return error / size;
}

/* ---- taking over and rounding ---- */

static void test_kept_files(void **state)
{
    (void)state;
    static const struct {
        uint32_t matrix, embedding;
        el_codec matrix_codec, embedding_codec;
    } cases[] = {
        {EL_GGML_Q4_1, EL_GGML_Q8_0, EL_CODEC_O4, EL_CODEC_I8},
        {EL_GGML_Q4_0, EL_GGML_Q4_0, EL_CODEC_Z4, EL_CODEC_Z4},
        {EL_GGML_Q8_0, EL_GGML_Q4_1, EL_CODEC_I8, EL_CODEC_O4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_source(cases[i].matrix, cases[i].embedding, i == 1);
        /* Options for rounding must not matter where everything can be kept. */
        el_quantize_options options = {.group = i == 2 ? 128 : 0, .scales = EL_SCALE_BYTE};
        el_quantize_result r = quantize(TARGET, &options);
        pair p = open_pair(TARGET);
        assert_true(compare_weights(&p) == 0);
        assert_int_equal(r.kept, i == 1 ? 16 : 15);
        assert_int_equal(r.rounded, 0);
        assert_int_equal(r.tensors, p.gguf.n_tensors);
        assert_int_equal(r.parameters, p.tm2.parameters);
        assert_int_equal(r.source_bytes, p.gguf.map.size);
        assert_int_equal(r.file_bytes, p.tm2.map.size);
        el_tensor t = find(&p, "blk.1.ffn_down.weight");
        assert_int_equal(t.codec, cases[i].matrix_codec);
        assert_int_equal(t.group, 32);
        t = find(&p, "token_embd.weight");
        assert_int_equal(t.codec, cases[i].embedding_codec);
        assert_int_equal(t.scale_kind, EL_SCALE_F16);
        assert_int_equal(p.tm2.config.dim, 64);
        assert_int_equal(p.tm2.vocab.n_tokens, EL_TINY_VOCAB);
        close_pair(&p);
    }
}

/* Blocks of 256 weights in a model wide enough for them. */
static void test_kept_ternary_files(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        el_codec codec;
    } cases[] = {{EL_GGML_TQ1_0, EL_CODEC_T1}, {EL_GGML_TQ2_0, EL_CODEC_T2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        el_tiny_spec spec = el_tiny_defaults();
        spec.dim = spec.ffn_dim = 256;
        spec.matrix_type = cases[i].type;
        spec.embedding_type = EL_GGML_Q8_0;
        assert_true(el_tiny_write(&spec, SOURCE));
        el_quantize_result r = quantize(TARGET, &(el_quantize_options){.group = 32});
        assert_int_equal(r.rounded, 0);
        pair p = open_pair(TARGET);
        assert_true(compare_weights(&p) == 0);
        el_tensor t = find(&p, "blk.1.ffn_down.weight");
        assert_int_equal(t.codec, cases[i].codec);
        assert_int_equal(t.group, 128);
        close_pair(&p);
    }
}

static void test_what_cannot_be_kept_is_rounded(void **state)
{
    (void)state;
    static const uint32_t types[] = {EL_GGML_F32, EL_GGML_F16};
    for (int i = 0; i < 2; i++) {
        write_source(types[i], EL_GGML_Q8_0, false);
        el_quantize_options options = {.group = 64};
        el_quantize_result r = quantize(TARGET, &options);
        assert_int_equal(r.kept, 1);
        assert_int_equal(r.rounded, 14);
        pair p = open_pair(TARGET);
        double e = compare_weights(&p);
        assert_true(e > 0 && e < 1e-4);
        el_tensor t = find(&p, "blk.0.attn_k.weight");
        assert_int_equal(t.codec, EL_CODEC_I8);
        assert_int_equal(t.group, 64);
        assert_int_equal(find(&p, "token_embd.weight").group, 32);
        close_pair(&p);
    }
}

/* The tensor in the file is what el_round_matrix() makes of the source's weights. */
static void check_rounded(const pair *p, const char *name, el_codec codec, el_scale_kind kind,
                          uint32_t group)
{
    el_tensor t = find(p, name);
    assert_int_equal(t.codec, codec);
    assert_int_equal(t.scale_kind, kind);
    assert_int_equal(t.group, group);
    el_matrix_layout layout;
    assert_int_equal(el_matrix_measure(t.rows, t.cols, codec, kind, group, &layout), 0);
    assert_int_equal(t.bytes, layout.bytes);
    uint8_t *data = calloc(1, layout.bytes);
    float *w = source_weights(el_gguf_find(&p->gguf, name));
    el_round_matrix(w, t.rows, t.cols, codec, kind, group, data);
    assert_memory_equal(t.data, data, layout.bytes);
    free(data);
    free(w);
}

static void test_rounded_files(void **state)
{
    (void)state;
    static const struct {
        el_quantize_options options;
        el_codec codec, embedding;
        double error;
    } cases[] = {
        {{.bits = 2,
          .embedding_bits = 0,
          .group = 64,
          .embedding_group = 32,
          .offset = false,
          .scales = EL_SCALE_BYTE},
         EL_CODEC_S2,
         EL_CODEC_S2,
         0.10},
        {{.bits = 3,
          .embedding_bits = 4,
          .group = 32,
          .embedding_group = 0,
          .offset = false,
          .scales = EL_SCALE_F16},
         EL_CODEC_S3,
         EL_CODEC_S4,
         0.03},
        {{.bits = 4,
          .embedding_bits = 8,
          .group = 128,
          .embedding_group = 64,
          .offset = true,
          .scales = EL_SCALE_F16},
         EL_CODEC_O4,
         EL_CODEC_O8,
         0.006},
        {{.bits = 8,
          .embedding_bits = 2,
          .group = 0,
          .embedding_group = 128,
          .offset = true,
          .scales = EL_SCALE_BYTE},
         EL_CODEC_O8,
         EL_CODEC_O2,
         0.10},
        {{.bits = 0,
          .embedding_bits = 3,
          .group = 0,
          .embedding_group = 32,
          .offset = true,
          .scales = EL_SCALE_BYTE},
         EL_CODEC_O8,
         EL_CODEC_O3,
         0.03},
    };
    write_source(EL_GGML_F32, EL_GGML_Q8_0, true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const el_quantize_options *o = &cases[i].options;
        el_quantize_result r = quantize(TARGET, o);
        assert_int_equal(r.rounded, 16);
        pair p = open_pair(TARGET);
        check_rounded(&p, "blk.0.attn_v.weight", cases[i].codec, o->scales, o->group);
        check_rounded(&p, "blk.1.ffn_down.weight", cases[i].codec, o->scales, o->group);
        check_rounded(&p, "token_embd.weight", cases[i].embedding, o->scales, o->embedding_group);
        check_rounded(&p, "output.weight", cases[i].embedding, o->scales, o->embedding_group);
        double e = compare_weights(&p);
        assert_true(e > 0 && e < cases[i].error);
        close_pair(&p);
    }
}

/* ---- the same bytes ---- */

static el_bytes load(const char *path)
{
    el_bytes b;
    assert_true(el_bytes_load(&b, path));
    return b;
}

static void assert_same_files(const char *a, const char *b)
{
    el_bytes x = load(a), y = load(b);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    free(x.data);
    free(y.data);
}

static void test_same_input_same_bytes(void **state)
{
    (void)state;
    write_source(EL_GGML_F16, EL_GGML_Q4_1, false);
    el_quantize_options options = {.bits = 3, .group = 32, .offset = true, .scales = EL_SCALE_BYTE};
    quantize(TARGET, &options);
    quantize(OTHER, &options);
    assert_same_files(TARGET, OTHER);
}

/* A host that flushes subnormals to zero, or rounds otherwise, must not change the file. */
static void test_host_environment_does_not_matter(void **state)
{
    (void)state;
#if defined(__x86_64__)
    write_source(EL_GGML_F32, EL_GGML_Q8_0, false);
    el_quantize_options options = {.bits = 4, .group = 64, .offset = true};
    quantize(TARGET, &options);
    unsigned saved = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(saved | 0x8040 | 0x6000); /* FTZ, DAZ, towards zero */
    unsigned host = __builtin_ia32_stmxcsr();        /* what an emulator kept of it */
    edgellm_status status = el_quantize(SOURCE, OTHER, &options, NULL, NULL);
    unsigned after = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(saved);
    assert_int_equal(status, EDGELLM_OK);
    assert_int_equal(after & ~0x3fu, host & ~0x3fu);
    assert_same_files(TARGET, OTHER);
#else
    skip();
#endif
}

static void test_manifest_of_file(void **state)
{
    (void)state;
    write_source(EL_GGML_Q4_1, EL_GGML_Q8_0, false);
    el_quantize_options options = {
        .embedding_bits = 4, .embedding_group = 64, .group = 128, .scales = EL_SCALE_BYTE};
    quantize(TARGET, &options);
    pair p = open_pair(TARGET);
    char want[1024];
    snprintf(want, sizeof want,
             "{\"tool\":\"edgellm %s\",\"source\":{\"file\":\"quantize_source.gguf\","
             "\"bytes\":%zu,\"crc32\":\"%08x\"},\"options\":{\"bits\":0,\"embedding_bits\":4,"
             "\"group\":128,\"embedding_group\":64,\"offset\":false,\"scales\":\"byte\","
             "\"calibrate\":\"none\"},"
             "\"tensors\":{\"f32\":5,\"s4/byte/64\":1,\"o4/f16/32\":14}}",
             edgellm_version(), p.gguf.map.size, el_crc32(0, p.gguf.map.data, p.gguf.map.size));
    assert_string_equal(p.tm2.manifest, want);
    close_pair(&p);
}

static void test_manifest_escapes(void **state)
{
    (void)state;
    el_quantize_options options = {.bits = 2};
    el_codec_counts counts = {0};
    el_codec_count(&counts, EL_CODEC_S2, EL_SCALE_BYTE, 0);
    char *text = el_manifest_build("/somewhere/a\"b\\c\n\x7f\xc3\xa9\xff\xe2\x82.gguf", 5, 1,
                                   &options, &counts);
    assert_non_null(strstr(text, "{\"file\":\"a\\\"b\\\\c\\u000a\\u007f\xc3\xa9"
                                 "\\ufffd\\ufffd\\ufffd.gguf\",\"bytes\":5,"
                                 "\"crc32\":\"00000001\"}"));
    assert_non_null(strstr(text, "\"tensors\":{\"s2/byte/row\":1}}"));
    assert_null(strstr(text, "somewhere"));
    free(text);
}

/* ---- stopping and failing ---- */

typedef struct watcher {
    uint32_t calls, stop_at, total;
    char last[64];
} watcher;

static bool watch(void *context, uint32_t done, uint32_t total, const char *tensor)
{
    watcher *w = context;
    assert_int_equal(done, ++w->calls);
    w->total = total;
    snprintf(w->last, sizeof w->last, "%s", tensor);
    return done != w->stop_at;
}

/* The target holds `text`, and no temporary lies beside it. */
static void put_old_target(void)
{
    el_bytes old = {0};
    el_bytes_put(&old, "old", 3);
    assert_true(el_bytes_save(&old, TARGET));
    free(old.data);
}

static void assert_old_target(void)
{
    el_bytes b = load(TARGET);
    assert_int_equal(b.size, 3);
    assert_memory_equal(b.data, "old", 3);
    free(b.data);
    assert_int_not_equal(access(TARGET ".tmp-edgellm", F_OK), 0);
}

static void test_progress_and_stop(void **state)
{
    (void)state;
    write_source(EL_GGML_Q4_0, EL_GGML_Q8_0, false);
    watcher w = {0};
    el_quantize_options options = {.bits = 4, .progress = watch, .progress_context = &w};
    el_quantize_result r = quantize(TARGET, &options);
    assert_int_equal(w.calls, r.tensors);
    assert_int_equal(w.total, r.tensors);
    assert_string_equal(w.last, "output_norm.weight");
    put_old_target();
    for (uint32_t stop = 1; stop <= r.tensors; stop += r.tensors - 1) {
        w = (watcher){.stop_at = stop};
        assert_int_equal(expect_error(&options, "stopped"), EDGELLM_ERR_INTERRUPTED);
        assert_int_equal(w.calls, stop);
        assert_old_target();
    }
}

static void test_options_refused(void **state)
{
    (void)state;
    write_source(EL_GGML_Q4_0, EL_GGML_Q8_0, false);
    put_old_target();
    static const struct {
        el_quantize_options options;
        const char *words;
    } cases[] = {
        {{.bits = 6}, "6 bits: must be 1, 16 for 1.6, 2, 3, 4, 8"},
        {{.bits = 1, .offset = true}, "1 and 1.6 bits have no offset"},
        {{.bits = 4, .embedding_bits = EL_ROUND_TERNARY, .offset = true}, "have no offset"},
        {{.bits = 5}, "5 bits: must be"},
        {{.bits = 17}, "17 bits: must be"},
        {{.bits = 4, .embedding_bits = 7}, "7 bits for the embedding: must be"},
        {{.bits = 4, .group = 16}, "group 16: must be 32, 64, 128"},
        {{.bits = 4, .group = 256}, "group 256: must be"},
        {{.bits = 4, .embedding_group = 33}, "group 33 for the embedding: must be"},
        {{.bits = 4, .scales = EL_SCALE_KINDS}, "scales"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(expect_error(&cases[i].options, cases[i].words), EDGELLM_ERR_USAGE);
    }
    assert_old_target();
}

static void test_paths_refused(void **state)
{
    (void)state;
    edgellm_error err;
    const char *link = EL_TEST_OUT "/quantize_link.gguf";
    el_quantize_options options = {0};
    write_source(EL_GGML_Q4_0, EL_GGML_Q8_0, false);
    el_bytes before = load(SOURCE);
    unlink(link);
    assert_int_equal(symlink(SOURCE, link), 0);
    assert_int_equal(el_quantize(SOURCE, SOURCE, &options, NULL, &err), EDGELLM_ERR_USAGE);
    assert_int_equal(el_quantize(SOURCE, link, &options, NULL, &err), EDGELLM_ERR_USAGE);
    assert_non_null(strstr(err.message, "another name"));
    assert_int_equal(unlink(link), 0);
    assert_int_equal(el_quantize(SOURCE, EL_TEST_OUT, &options, NULL, &err), EDGELLM_ERR_IO);
    assert_int_equal(el_quantize(SOURCE, EL_TEST_OUT "/no/such/x.bin", &options, NULL, &err),
                     EDGELLM_ERR_IO);
    assert_int_equal(el_quantize(EL_TEST_OUT "/none.gguf", TARGET, &options, NULL, &err),
                     EDGELLM_ERR_IO);
    el_bytes after = load(SOURCE);
    assert_int_equal(after.size, before.size);
    assert_memory_equal(after.data, before.data, before.size);
    free(before.data);
    free(after.data);
}

static void test_full_disk(void **state)
{
    (void)state;
    write_source(EL_GGML_Q4_1, EL_GGML_Q8_0, false);
    el_quantize_options options = {0};
    uint64_t bytes = quantize(OTHER, &options).file_bytes;
    put_old_target();
    struct rlimit limit, saved;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &saved), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (uint64_t room = 0; room < bytes; room += bytes / 7) {
        limit = saved;
        limit.rlim_cur = room;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        edgellm_error err;
        edgellm_status status = el_quantize(SOURCE, TARGET, &options, NULL, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &saved), 0);
        assert_int_equal(status, EDGELLM_ERR_IO);
        assert_old_target();
    }
    signal(SIGXFSZ, SIG_DFL);
}

/* Overwrites bytes of a tensor's data in the source file. */
static void damage(const char *tensor, size_t offset, const void *bytes, size_t size)
{
    el_gguf file;
    assert_int_equal(el_gguf_open(&file, SOURCE, NULL), EDGELLM_OK);
    size_t at = (size_t)(el_gguf_find(&file, tensor)->data - file.map.data) + offset;
    el_gguf_close(&file);
    FILE *f = fopen(SOURCE, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static void test_bad_weights(void **state)
{
    (void)state;
    static const uint8_t nan32[4] = {0, 0, 0xc0, 0x7f}, inf16[2] = {0, 0x7c}, low8 = 0x80;
    el_quantize_options keep = {0}, round = {.bits = 4, .group = 32};
    put_old_target();

    write_source(EL_GGML_F32, EL_GGML_Q8_0, false);
    damage("blk.1.ffn_up.weight", 4 * (70 * 64 + 9), nan32, 4);
    assert_int_equal(
        expect_error(&round, "quantize_source.gguf': tensor 'blk.1.ffn_up.weight', row 70, column "
                             "9: the weight is not a finite number"),
        EDGELLM_ERR_FORMAT);

    write_source(EL_GGML_F32, EL_GGML_Q8_0, false);
    damage("output_norm.weight", 4 * 3, nan32, 4);
    assert_int_equal(expect_error(&keep, "tensor 'output_norm.weight', row 0, column 3"),
                     EDGELLM_ERR_FORMAT);

    write_source(EL_GGML_Q4_1, EL_GGML_Q8_0, false);
    damage("blk.0.attn_q.weight", 20 * (2 * 33 + 1), inf16, 2);
    assert_int_equal(
        expect_error(&keep, "tensor 'blk.0.attn_q.weight', row 33, block 1: its scale"),
        EDGELLM_ERR_FORMAT);
    assert_int_equal(expect_error(&round, "tensor 'blk.0.attn_q.weight', row 33, column 32"),
                     EDGELLM_ERR_FORMAT);

    write_source(EL_GGML_Q4_1, EL_GGML_Q8_0, false);
    damage("token_embd.weight", 34 * (2 * 299 + 1) + 2 + 31, &low8, 1);
    assert_int_equal(expect_error(&keep, "tensor 'token_embd.weight', row 299, block 1"),
                     EDGELLM_ERR_FORMAT);
    assert_old_target();
    quantize(TARGET, &round); /* rounding has no trouble with -128 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_files),
        cmocka_unit_test(test_kept_ternary_files),
        cmocka_unit_test(test_what_cannot_be_kept_is_rounded),
        cmocka_unit_test(test_rounded_files),
        cmocka_unit_test(test_same_input_same_bytes),
        cmocka_unit_test(test_host_environment_does_not_matter),
        cmocka_unit_test(test_manifest_of_file),
        cmocka_unit_test(test_manifest_escapes),
        cmocka_unit_test(test_progress_and_stop),
        cmocka_unit_test(test_options_refused),
        cmocka_unit_test(test_paths_refused),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_bad_weights),
    };
    return cmocka_run_group_tests_name("quantize", tests, NULL, NULL);
}
