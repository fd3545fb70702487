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
    float rope_factor;        /* of all wave lengths; 0: there is none */
    const char *rope_name;    /* of the tensor of it; NULL: the usual one */
    float local_rope_base, stretch, attention_cap,
        logit_cap;        /* stretch: the config's rope_factor */
    const char *without;  /* a tensor that is left out */
    const char *of, *add; /* tensor `of` once more, under the name `add` */
    struct {
        const char *name;
        uint32_t rows, cols;
    } zero[3];      /* tensors of 8-bit zeroes, in the place of what had the name */
    bool otherwise; /* with some of its codes different */
} change;

static el_config changed_config(const el_tm2 *source, const change *c)
{
    el_config config = source->config;
    if (c->architecture)
        snprintf(config.architecture, sizeof config.architecture, "%s", c->architecture);
    if (c->rope_base != 0) config.rope_base = c->rope_base;
    config.local_rope_base = c->local_rope_base;
    config.rope_factor = c->stretch;
    config.attention_cap = c->attention_cap;
    config.logit_cap = c->logit_cap;
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

static void add_rope_factors(el_tm2_writer *writer, const el_config *config, const char *name,
                             float factor)
{
    static float factors[64];
    const uint32_t n = config->rotary_dim / 2;
    assert_in_range(n, 1, 64);
    const el_tensor t = {.name = name ? name : "rope_freqs.weight",
                         .rows = 1,
                         .cols = n,
                         .data = (const uint8_t *)factors,
                         .bytes = n * sizeof *factors};
    edgellm_error err;
    for (uint32_t i = 0; i < n; i++)
        factors[i] = factor;
    assert_ok(el_tm2_put(writer, &t, &err));
}

static bool is_left_out(const change *c, const char *name)
{
    const char *const names[] = {c->without, c->zero[0].name, c->zero[1].name, c->zero[2].name};
    for (int i = 0; i < 4; i++)
        if (names[i] && strcmp(names[i], name) == 0) return true;
    return false;
}

static void add_zeroes(el_tm2_writer *writer, const change *c)
{
    edgellm_error err;
    for (int i = 0; i < 3 && c->zero[i].name; i++) {
        el_matrix_layout layout;
        assert_int_equal(el_matrix_measure(c->zero[i].rows, c->zero[i].cols, EL_CODEC_I8,
                                           EL_SCALE_F16, 32, &layout),
                         0);
        uint8_t *data = calloc(1, (size_t)layout.bytes);
        assert_non_null(data);
        const el_tensor t = {.name = c->zero[i].name,
                             .rows = c->zero[i].rows,
                             .cols = c->zero[i].cols,
                             .group = 32,
                             .codec = EL_CODEC_I8,
                             .data = data,
                             .bytes = layout.bytes};
        assert_ok(el_tm2_put(writer, &t, &err));
        free(data);
    }
}

static void make(const change *c)
{
    edgellm_error err;
    el_tm2 source;
    el_tm2_writer *writer;
    assert_ok(el_tm2_open(&source, tiny_file_path(TINY_KEPT), true, &err));
    el_config config = changed_config(&source, c);
    assert_ok(el_tm2_create(&writer, PATH, &config, &source.vocab, source.n_tensors + 3, &err));
    for (uint32_t i = 0; i < source.n_tensors; i++) {
        el_tensor t;
        el_tm2_tensor(&source, i, &t);
        if (is_left_out(c, t.name)) continue;
        assert_ok(el_tm2_put(writer, &t, &err));
    }
    if (c->add) add_tensor(writer, &source, c);
    if (c->rope_factor != 0) add_rope_factors(writer, &config, c->rope_name, c->rope_factor);
    add_zeroes(writer, c);
    assert_ok(el_tm2_finish(writer, "{}", NULL, NULL, &err));
    el_tm2_close(&source);
}

typedef struct refusal {
    change change;
    edgellm_status status;
    const char *part; /* of the message */
} refusal;

static void assert_refused(const refusal *r)
{
    edgellm_engine *engine = NULL;
    edgellm_error err = {0};
    make(&r->change);
    assert_int_equal(edgellm_engine_open(PATH, NULL, &engine, &err), r->status);
    assert_contains(err.message, r->part);
    assert_contains(err.message, PATH);
    assert_null(engine);
}

static void test_what_cannot_be_run_is_refused(void **state)
{
    (void)state;
    static const refusal rows[] = {
        {{.architecture = "mamba"}, EDGELLM_ERR_UNSUPPORTED, "architecture \"mamba\""},
        {{.rope_base = 0.5f}, EDGELLM_ERR_UNSUPPORTED, "rope_base 0.5"},
        {{.local_rope_base = 0.5f}, EDGELLM_ERR_UNSUPPORTED, "local_rope_base 0.5 is below 1"},
        {{.stretch = 0.5f}, EDGELLM_ERR_UNSUPPORTED, "rope_factor 0.5 is below 1"},
        {{.attention_cap = 1e-4f}, EDGELLM_ERR_UNSUPPORTED, "attention_cap 0.0001; this version"},
        {{.logit_cap = 1e30f}, EDGELLM_ERR_UNSUPPORTED, "logit_cap 1e+30; this version"},
        {{.of = "output_norm.weight", .add = "rope_freqs.weight"},
         EDGELLM_ERR_FORMAT,
         "'rope_freqs.weight' is (1, 64)"},
        {{.rope_factor = 0.5f}, EDGELLM_ERR_UNSUPPORTED, "column 0: the factor 0.5 is below 1"},
        {{.rope_factor = 2, .rope_name = "rope_factors_long.weight"},
         EDGELLM_ERR_FORMAT,
         "rope factors of short and of long contexts belong together"},
        {{.rope_factor = 2, .rope_name = "rope_factors_short.weight"},
         EDGELLM_ERR_FORMAT,
         "rope factors of short and of long contexts belong together"},
        {{.of = "output_norm.weight", .add = "blk.1.attn_k.bias"},
         EDGELLM_ERR_UNSUPPORTED,
         "'blk.1.attn_k.bias': not supported for models of architecture llama"},
        {{.of = "output_norm.weight", .add = "blk.1.attn_q_norm.weight"},
         EDGELLM_ERR_UNSUPPORTED,
         "'blk.1.attn_q_norm.weight': not supported"},
        {{.architecture = "qwen2"}, EDGELLM_ERR_FORMAT, "'blk.0.attn_q.bias' is missing"},
        {{.architecture = "qwen3"}, EDGELLM_ERR_FORMAT, "'blk.0.attn_q_norm.weight' is missing"},
        {{.architecture = "bitnet"}, EDGELLM_ERR_FORMAT, "'blk.0.attn_sub_norm.weight' is missing"},
        {{.of = "output_norm.weight", .add = "blk.1.ffn_sub_norm.weight"},
         EDGELLM_ERR_UNSUPPORTED,
         "'blk.1.ffn_sub_norm.weight': not supported for models of architecture llama"},
        {{.of = "output_norm.weight", .add = "blk.0.ffn_down.scale"},
         EDGELLM_ERR_UNSUPPORTED,
         "'blk.0.ffn_down.scale': not supported"},
        {{.without = "blk.1.ffn_up.weight"},
         EDGELLM_ERR_FORMAT,
         "'blk.1.ffn_up.weight' is missing"},
        {{.without = "token_embd.weight"}, EDGELLM_ERR_FORMAT, "'token_embd.weight' is missing"},
        {{.without = "output_norm.weight"}, EDGELLM_ERR_FORMAT, "'output_norm.weight' is missing"},
        {{.of = "blk.0.ffn_norm.weight", .add = "output.weight"},
         EDGELLM_ERR_FORMAT,
         "'output.weight' is (1, 64)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_refused(&rows[i]);
}

#define FIRST "token_embd.weight"
#define REST  "token_embd.rest.weight"
#define LAST  "token_embd.last.weight"

/* 300 tokens of 64 numbers. */
static void test_tables_that_are_cut_badly_are_refused(void **state)
{
    (void)state;
    static const refusal rows[] = {
        {{.zero = {{FIRST, 150, 64}, {REST, 150, 64}}},
         EDGELLM_ERR_FORMAT,
         "'token_embd.weight' has 150 rows; where 'token_embd.rest.weight' follows it must be a "
         "multiple of 16"},
        {{.zero = {{FIRST, 8, 64}, {REST, 292, 64}}},
         EDGELLM_ERR_FORMAT,
         "'token_embd.weight' has 8 rows; where"},
        {{.zero = {{FIRST, 288, 64}, {REST, 12, 64}}},
         EDGELLM_ERR_FORMAT,
         "'token_embd.rest.weight' has 12 rows; it needs at least 16"},
        {{.zero = {{FIRST, 160, 64}, {REST, 139, 64}}},
         EDGELLM_ERR_FORMAT,
         "the 2 parts of 'token_embd.weight' have 299 rows together; the model needs 300"},
        {{.zero = {{FIRST, 160, 64}, {REST, 120, 64}, {LAST, 20, 64}}},
         EDGELLM_ERR_FORMAT,
         "'token_embd.rest.weight' has 120 rows; where 'token_embd.last.weight' follows it must be "
         "a "
         "multiple of 16"},
        {{.zero = {{FIRST, 160, 64}, {REST, 128, 64}, {LAST, 12, 64}}},
         EDGELLM_ERR_FORMAT,
         "'token_embd.last.weight' has 12 rows; it needs at least 16"},
        {{.zero = {{FIRST, 160, 64}, {REST, 112, 64}, {LAST, 29, 64}}},
         EDGELLM_ERR_FORMAT,
         "the 3 parts of 'token_embd.weight' have 301 rows together; the model needs 300"},
        {{.zero = {{FIRST, 272, 64}, {LAST, 28, 64}}},
         EDGELLM_ERR_FORMAT,
         "'token_embd.last.weight' continues 'token_embd.rest.weight', which is missing"},
        {{.zero = {{FIRST, 160, 64}, {REST, 140, 32}}},
         EDGELLM_ERR_FORMAT,
         "'token_embd.rest.weight' is (140, 32) in codec i8; the model needs (140, 64)"},
        {{.zero = {{FIRST, 160, 32}, {REST, 140, 64}}},
         EDGELLM_ERR_FORMAT,
         "'token_embd.weight' is (160, 32) in codec i8; the model needs (160, 64)"},
        {{.zero = {{FIRST, 160, 64}}},
         EDGELLM_ERR_FORMAT,
         "'token_embd.weight' is (160, 64) in codec i8; the model needs (300, 64)"},
        {{.without = FIRST, .zero = {{REST, 140, 64}}},
         EDGELLM_ERR_FORMAT,
         "'token_embd.rest.weight' continues 'token_embd.weight', which is missing"},
        {{.zero = {{"output.rest.weight", 140, 64}}},
         EDGELLM_ERR_FORMAT,
         "'output.rest.weight' continues 'output.weight', which is missing"},
        {{.zero = {{"output.weight", 160, 64}, {"output.rest.weight", 32, 64}}},
         EDGELLM_ERR_FORMAT,
         "the 2 parts of 'output.weight' have 192 rows together; the model needs 300"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_refused(&rows[i]);
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

/* The hash is the whole's for a table in two parts, and in three. */
static void check_cut(const char *path, const char *const names[3], uint32_t rows, uint64_t whole)
{
    const char *cut = EL_TEST_OUT "/models_cut.tm2.bin";
    const char *twice = EL_TEST_OUT "/models_cut_twice.tm2.bin";
    tiny_file_cut(path, cut, names[0], names[1], rows);
    assert_true(hash_of(cut) == whole);
    tiny_file_cut(cut, twice, names[1], names[2], 16);
    assert_true(hash_of(twice) == whole);
}

/* A head in parts gives the bits of the head in one, and has nothing of the embedding. */
static void test_tables_can_be_cut(void **state)
{
    (void)state;
    static const char *const head[] = {"output.weight", "output.rest.weight", "output.last.weight"};
    static const char *const embedding[] = {FIRST, REST, LAST};
    static const uint32_t rows[] = {16, 160, 256};
    make(&(change){.of = "token_embd.weight", .add = "output.weight", .otherwise = true});
    const uint64_t apart = hash_of(PATH), tied = hash_of(tiny_file_path(TINY_KEPT));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_cut(PATH, head, rows[i], apart);
        check_cut(tiny_file_path(TINY_KEPT), embedding, rows[i], tied);
    }
}

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

/* The model of `base` with a head of `rows` rows of one embedding and the others of another. */
static void make_with_head(const el_tm2 *base, const el_tm2 *first, const el_tm2 *rest,
                           uint32_t rows, const char *path)
{
    edgellm_error err;
    el_tm2_writer *writer;
    el_tensor t;
    assert_ok(el_tm2_create(&writer, path, &base->config, &base->vocab, base->n_tensors + 2, &err));
    for (uint32_t i = 0; i < base->n_tensors; i++) {
        el_tm2_tensor(base, i, &t);
        assert_ok(el_tm2_put(writer, &t, &err));
    }
    assert_true(el_tm2_find(first, FIRST, &t));
    tiny_file_put_rows(writer, &t, "output.weight", 0, rows);
    assert_true(el_tm2_find(rest, FIRST, &t));
    if (rows < t.rows) tiny_file_put_rows(writer, &t, "output.rest.weight", rows, t.rows - rows);
    assert_ok(el_tm2_finish(writer, "{}", NULL, NULL, &err));
}

/* Each part computes its columns of the logits with its own codec. */
static void test_parts_of_a_head_have_codecs_of_their_own(void **state)
{
    (void)state;
    enum { CUT = 96 };
    const char *source = EL_TEST_OUT "/models_4.gguf", *other = EL_TEST_OUT "/models_4.tm2.bin";
    const el_quantize_options options = {.bits = 4, .scales = EL_SCALE_BYTE};
    const el_tiny_spec spec = el_tiny_defaults();
    static float fine[LOGITS], coarse[LOGITS], both[LOGITS];
    edgellm_error err;
    el_tm2 i8, s4;
    assert_true(el_tiny_write(&spec, source));
    assert_ok(el_quantize(source, other, &options, NULL, &err));
    assert_ok(el_tm2_open(&i8, tiny_file_path(TINY_KEPT), true, &err));
    assert_ok(el_tm2_open(&s4, other, true, &err));
    for (int exact = 0; exact < 2; exact++) {
        make_with_head(&i8, &i8, &i8, EL_TINY_VOCAB, PATH);
        logits_of(PATH, exact, fine);
        make_with_head(&i8, &s4, &s4, EL_TINY_VOCAB, PATH);
        logits_of(PATH, exact, coarse);
        make_with_head(&i8, &i8, &s4, CUT, PATH);
        logits_of(PATH, exact, both);
        for (int i = 0; i < LOGITS; i++) {
            assert_true(fine[i] != coarse[i]);
            assert_true(both[i] == (i % EL_TINY_VOCAB < CUT ? fine[i] : coarse[i]));
        }
    }
    el_tm2_close(&s4);
    el_tm2_close(&i8);
}

/* ---- rotation ---- */

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

/* The model at PATH computes what the one at `path` does. */
static void assert_computes(const char *path, const char *what)
{
    static const double limit[] = {0.03, 1e-5}; /* activations are rounded to int8, or not */
    static float want[LOGITS], got[LOGITS];
    for (int exact = 0; exact < 2; exact++) {
        logits_of(path, exact, want);
        logits_of(PATH, exact, got);
        if (distance(got, want) < limit[exact]) continue;
        fail_msg("%s: distance %g, exact mode %d", what, distance(got, want), exact);
    }
}

static void test_a_rotated_model_computes_what_it_stands_for(void **state)
{
    (void)state;
    const char *plain = EL_TEST_OUT "/models_plain.tm2.bin";
    const char *unsaid = EL_TEST_OUT "/models_unsaid.tm2.bin";
    static float want[LOGITS], nonsense[LOGITS];
    make_at_8_bits(false, plain);
    make_at_8_bits(true, unsaid);
    tiny_file_say_rotated(unsaid, PATH, NULL);
    assert_computes(plain, "rotated");
    for (int exact = 0; exact < 2; exact++) {
        logits_of(plain, exact, want);
        logits_of(unsaid, exact, nonsense);
        assert_true(distance(nonsense, want) > 0.5);
    }
}

/* Tensors of `base`, but those that have `part` in their name are of `other`. */
static void make_mixed(const el_tm2 *base, const el_tm2 *other, const char *part)
{
    edgellm_error err;
    el_tm2_writer *writer;
    assert_ok(el_tm2_create(&writer, PATH, &base->config, &base->vocab, base->n_tensors, &err));
    for (uint32_t i = 0; i < base->n_tensors; i++) {
        el_tensor t;
        el_tm2_tensor(base, i, &t);
        if (strstr(t.name, part)) assert_true(el_tm2_find(other, t.name, &t));
        assert_ok(el_tm2_put(writer, &t, &err));
    }
    assert_ok(el_tm2_finish(writer, "{}", NULL, NULL, &err));
}

/* Of matrices that meet the same input each meets it its own way, rotated or not. */
static void test_matrices_are_rotated_each_by_itself(void **state)
{
    (void)state;
    static const char *const parts[] = {"attn_q",   "attn_k", "attn_v",   "attn_output",
                                        "ffn_gate", "ffn_up", "ffn_down", "token_embd"};
    const char *plain = EL_TEST_OUT "/models_plain.tm2.bin";
    const char *unsaid = EL_TEST_OUT "/models_unsaid.tm2.bin";
    const char *said = EL_TEST_OUT "/models_said.tm2.bin";
    edgellm_error err;
    el_tm2 files[2];
    make_at_8_bits(false, plain);
    make_at_8_bits(true, unsaid);
    tiny_file_say_rotated(unsaid, said, NULL);
    assert_ok(el_tm2_open(&files[0], plain, true, &err));
    assert_ok(el_tm2_open(&files[1], said, true, &err));
    for (size_t i = 0; i < 2 * sizeof parts / sizeof parts[0]; i++) {
        make_mixed(&files[i % 2], &files[1 - i % 2], parts[i / 2]);
        assert_computes(plain, parts[i / 2]);
    }
    for (int i = 0; i < 2; i++) {
        make_with_head(&files[i], &files[i], &files[1 - i], 96, PATH);
        assert_computes(plain, "a head in two parts");
    }
    el_tm2_close(&files[0]);
    el_tm2_close(&files[1]);
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

/* Of all tensors, and of one. */
static uint64_t bytes_of(const edgellm_engine *engine, const char *name, uint64_t *one)
{
    uint64_t all = 0;
    edgellm_model_info info;
    edgellm_tensor_info t;
    edgellm_error err;
    edgellm_engine_info(engine, &info);
    for (uint32_t i = 0; i < info.tensors; i++) {
        assert_ok(edgellm_engine_tensor(engine, i, &t, &err));
        all += t.bytes;
        if (strcmp(t.name, name) == 0) *one = t.bytes;
    }
    return all;
}

static void test_bytes_that_a_token_reads(void **state)
{
    (void)state;
    static const tiny_file tied[] = {TINY_KEPT, TINY_CUT};
    edgellm_model_info info;
    uint64_t all, table = 0;
    for (size_t i = 0; i < sizeof tied / sizeof tied[0]; i++) {
        edgellm_engine *engine = tiny_file_open(tied[i]);
        edgellm_engine_info(engine, &info);
        assert_true(info.token_bytes == bytes_of(engine, "token_embd.weight", &table));
        edgellm_engine_close(engine);
    }
    make(&(change){.of = "token_embd.weight", .add = "output.weight"});
    edgellm_engine *engine = NULL;
    edgellm_error err;
    assert_ok(edgellm_engine_open(PATH, NULL, &engine, &err));
    edgellm_engine_info(engine, &info);
    all = bytes_of(engine, "token_embd.weight", &table);
    assert_true(info.token_bytes == all - table + table / info.vocab);
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
        cmocka_unit_test(test_tables_that_are_cut_badly_are_refused),
        cmocka_unit_test(test_a_head_of_its_own_is_used),
        cmocka_unit_test(test_tables_can_be_cut),
        cmocka_unit_test(test_parts_of_a_head_have_codecs_of_their_own),
        cmocka_unit_test(test_a_rotated_model_computes_what_it_stands_for),
        cmocka_unit_test(test_matrices_are_rotated_each_by_itself),
        cmocka_unit_test(test_tensors_beyond_the_last_are_refused),
        cmocka_unit_test(test_bytes_that_a_token_reads),
        cmocka_unit_test(test_a_kernel_above_the_mask_is_refused),
    };
    return cmocka_run_group_tests_name("models", tests, tiny_files_make, NULL);
}
