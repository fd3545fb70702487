/*
 * test_gguf.c: the GGUF reader: a tiny model value by value, and what configurations and
 * vocabularies mean. Damaged files: test_gguf_bad.c. Types of tensors: test_ggml.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "format/gguf.h"
#include "format/gguf_value.h"
#include "support/hand_gguf.h"
#include "support/test_help.h"

#define PATH EL_TEST_OUT "/test.gguf"

/* ---- a tiny model ---------------------------------------------------------------------- */

static el_tiny_spec small_spec(void)
{
    el_tiny_spec spec = el_tiny_defaults();
    spec.dim = spec.ffn_dim = 32;
    spec.layers = 1;
    spec.heads = 2;
    spec.kv_heads = 1;
    return spec;
}

static void check_config(const el_gguf *file, const el_tiny_spec *spec)
{
    edgellm_error err;
    el_config c;
    assert_ok(el_gguf_config(file, &c, &err));
    assert_string_equal(c.architecture, "llama");
    assert_string_equal(c.name, "Tiny");
    assert_int_equal(c.layers, spec->layers);
    assert_int_equal(c.dim, spec->dim);
    assert_int_equal(c.ffn_dim, spec->ffn_dim);
    assert_int_equal(c.heads, spec->heads);
    assert_int_equal(c.kv_heads, spec->kv_heads);
    assert_int_equal(c.head_dim, spec->dim / spec->heads);
    assert_int_equal(c.rotary_dim, spec->dim / spec->heads);
    assert_int_equal(c.vocab, EL_TINY_VOCAB);
    assert_int_equal(c.context, spec->context);
    assert_true(c.rope_base == 10000.0f && c.norm_eps == 1e-5f);
}

static void test_tiny(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        el_tiny_spec spec = el_tiny_defaults();
        spec.version = version;
        spec.separate_head = version == 3;
        edgellm_error err;
        el_gguf file;
        assert_true(el_tiny_write(&spec, PATH));
        assert_ok(el_gguf_open(&file, PATH, &err));
        assert_int_equal(file.version, version);
        assert_int_equal(file.n_tensors, 2 + 9 * spec.layers + spec.separate_head);
        check_config(&file, &spec);
        const el_gguf_tensor *k = el_gguf_find(&file, "blk.1.attn_k.weight");
        assert_non_null(k);
        assert_int_equal(k->rows, 32);
        assert_int_equal(k->cols, 64);
        assert_int_equal(k->type, EL_GGML_Q4_1);
        assert_int_equal(k->bytes, 32 * 2 * 20);
        const el_gguf_tensor *norm = el_gguf_find(&file, "output_norm.weight");
        assert_non_null(norm);
        assert_int_equal(norm->rows, 1);
        assert_int_equal(norm->cols, 64);
        assert_true(spec.separate_head == (el_gguf_find(&file, "output.weight") != NULL));
        el_gguf_close(&file);
    }
}

/* The weights that come out are those that went in, as far as the type can hold them. */
static void test_tiny_types(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        float tolerance;
    } rows[] = {
        {EL_GGML_F16, 2e-4f}, {EL_GGML_Q4_0, 0.04f}, {EL_GGML_Q4_1, 0.02f}, {EL_GGML_Q8_0, 2e-3f}};
    static float exact[64 * 64], other[64 * 64];
    for (size_t i = 0; i <= sizeof rows / sizeof *rows; i++) {
        edgellm_error err;
        el_gguf file;
        el_tiny_spec spec = el_tiny_defaults();
        spec.matrix_type = spec.embedding_type = i ? rows[i - 1].type : EL_GGML_F32;
        assert_true(el_tiny_write(&spec, PATH));
        assert_ok(el_gguf_open(&file, PATH, &err));
        const el_gguf_tensor *q = el_gguf_find(&file, "blk.0.attn_q.weight");
        assert_non_null(q);
        const el_ggml_type *type = el_ggml_type_of(q->type);
        assert_int_equal(q->bytes, 64 * 64 / type->block_weights * type->block_bytes);
        type->dequantize(q->data, 64 * 64 / type->block_weights, i ? other : exact);
        for (int w = 0; i && w < 64 * 64; w++) {
            float d = other[w] - exact[w];
            assert_true(d <= rows[i - 1].tolerance && d >= -rows[i - 1].tolerance);
        }
        el_gguf_close(&file);
    }
}

static void assert_token(const el_vocab *v, uint32_t id, const char *bytes, size_t len)
{
    assert_true(id < v->n_tokens);
    assert_int_equal(v->starts[id + 1] - v->starts[id], len);
    assert_memory_equal(v->bytes + v->starts[id], bytes, len);
}

static void test_vocab(void **state)
{
    (void)state;
    edgellm_error err;
    el_gguf file;
    el_vocab v;
    el_tiny_spec spec = small_spec();
    assert_true(el_tiny_write(&spec, PATH));
    assert_ok(el_gguf_open(&file, PATH, &err));
    assert_ok(el_gguf_vocab(&file, &v, &err));
    assert_int_equal(v.n_tokens, EL_TINY_VOCAB);
    assert_token(&v, EL_TINY_IM_START, "<|im_start|>", 12);
    for (uint32_t byte = 0; byte < 256; byte++) {
        assert_token(&v, 3 + byte, &(char){(char)byte}, 1);
        assert_int_equal(v.types[3 + byte], EL_TOKEN_NORMAL);
    }
    assert_int_equal(v.types[EL_TINY_IM_END], EL_TOKEN_CONTROL);
    assert_int_equal(v.n_merges, EL_TINY_VOCAB - 259);
    for (uint32_t i = 0; i < v.n_merges; i++) { /* tiny: merge i makes token 259 + i */
        char joined[16];
        uint32_t left = v.merges[i].left, right = v.merges[i].right;
        uint32_t n = v.starts[left + 1] - v.starts[left], m = v.starts[right + 1] - v.starts[right];
        memcpy(joined, v.bytes + v.starts[left], n);
        memcpy(joined + n, v.bytes + v.starts[right], m);
        assert_token(&v, 259 + i, joined, n + m);
    }
    assert_token(&v, 259 + 6, " the", 4);
    assert_string_equal(v.pretokenizer, "smollm");
    assert_non_null(strstr(v.chat_template, "<|im_start|>"));
    assert_int_equal(v.bos, EL_TINY_IM_START);
    assert_int_equal(v.eos, EL_TINY_IM_END);
    assert_int_equal(v.unk, EL_TINY_END_OF_TEXT);
    assert_int_equal(v.pad, EL_TINY_IM_END);
    assert_int_equal(v.add_bos, 0);
    el_gguf_close(&file);
}

/* A file that is sound as a file, but not as a model. */
typedef struct bad_model {
    void (*add)(el_hand *);
    edgellm_status status;
    const char *part; /* of the message */
} bad_model;

static el_gguf open_bad(const bad_model *row, el_hand h)
{
    edgellm_error err;
    el_gguf file;
    row->add(&h);
    assert_true(el_hand_save(&h, PATH));
    assert_ok(el_gguf_open(&file, PATH, &err));
    return file;
}

static void check_refused(const bad_model *row, el_gguf *file, edgellm_status status,
                          const edgellm_error *err)
{
    assert_contains(err->message, row->part);
    assert_int_equal(status, row->status);
    el_gguf_close(file);
}

static void add_config(el_hand *h)
{
    el_hand_text(h, "general.architecture", "xyz");
    el_hand_u32(h, "xyz.block_count", 2);
    el_hand_u32(h, "xyz.context_length", 128);
    el_hand_u32(h, "xyz.embedding_length", 64);
    el_hand_u32(h, "xyz.feed_forward_length", 80);
    el_gguf_put_f32(&h->values, "xyz.attention.layer_norm_rms_epsilon", 1e-6f);
    h->n_values++;
}

/* Numbers of every width and sign serve as u32, if they fit. */
static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        uint32_t type, bytes;
        uint64_t bits;
        bool fits;
        uint32_t value;
    } rows[] = {{0, 1, 200, true, 200},
                {1, 1, 100, true, 100},
                {1, 1, 0xff, false, 0},
                {2, 2, 60000, true, 60000},
                {3, 2, 0x8000, false, 0},
                {5, 4, 0xffffffff, false, 0},
                {5, 4, 77, true, 77},
                {10, 8, 1ull << 32, false, 0},
                {10, 8, 0xfffffffe, true, 0xfffffffe},
                {11, 8, 5, true, 5},
                {11, 8, ~0ull, false, 0},
                {7, 1, 1, false, 0},
                {6, 4, 0x3f800000, false, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        edgellm_error err;
        el_gguf file;
        el_hand h = el_hand_start();
        el_bytes_text(&h.values, "k");
        el_bytes_u32(&h.values, rows[i].type);
        for (uint32_t b = 0; b < rows[i].bytes; b++) {
            el_bytes_put(&h.values, &(uint8_t){(uint8_t)(rows[i].bits >> 8 * b)}, 1);
        }
        h.n_values = 1;
        assert_true(el_hand_save(&h, PATH));
        assert_ok(el_gguf_open(&file, PATH, &err));
        uint32_t value = 12345;
        assert_true(el_gguf_u32(&file, "k", &value) == rows[i].fits);
        assert_int_equal(value, rows[i].fits ? rows[i].value : 12345);
        assert_false(el_gguf_u32(&file, "missing", &value));
        el_gguf_close(&file);
    }
}

/* Doubles serve as floats, if they fit. */
static void test_wide_floats(void **state)
{
    (void)state;
    static const struct {
        double wide;
        bool fits;
    } rows[] = {{10000.0, true}, {-0.1, true}, {1e300, false}, {-1e39, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        edgellm_error err;
        el_gguf file;
        el_hand h = el_hand_start();
        float value = 77;
        el_bytes_text(&h.values, "k");
        el_bytes_u32(&h.values, EL_GGUF_F64);
        el_bytes_put(&h.values, &rows[i].wide, sizeof rows[i].wide);
        h.n_values++;
        assert_true(el_hand_save(&h, PATH));
        assert_ok(el_gguf_open(&file, PATH, &err));
        assert_true(el_gguf_f32(&file, "k", &value) == rows[i].fits);
        assert_true(value == (rows[i].fits ? (float)rows[i].wide : 77));
        el_gguf_close(&file);
    }
}

static void test_alignment(void **state)
{
    (void)state;
    for (uint32_t alignment = 8; alignment <= 1024; alignment *= 2) {
        edgellm_error err;
        el_gguf file;
        el_hand h = el_hand_start();
        h.alignment = alignment;
        el_hand_u32(&h, "general.alignment", alignment);
        el_hand_tensor(&h, "t", 8, EL_GGML_F32, 0);
        for (uint32_t i = 0; i < 8; i++)
            el_bytes_u32(&h.data, 0x01020304 + i);
        assert_true(el_hand_save(&h, PATH));
        assert_ok(el_gguf_open(&file, PATH, &err));
        const el_gguf_tensor *t = el_gguf_find(&file, "t");
        assert_non_null(t);
        for (uint32_t i = 0; i < 8; i++)
            assert_int_equal(el_gguf_load(t->data + (size_t)i * 4, 4), 0x01020304 + i);
        el_gguf_close(&file);
    }
}

static void test_config_defaults(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "b", "ab"};
    edgellm_error err;
    el_gguf file;
    el_config c;
    el_hand h = el_hand_start();
    add_config(&h);
    el_hand_u32(&h, "xyz.attention.head_count", 4);
    el_hand_texts(&h, "tokenizer.ggml.tokens", 3, tokens);
    assert_true(el_hand_save(&h, PATH));
    assert_ok(el_gguf_open(&file, PATH, &err));
    assert_ok(el_gguf_config(&file, &c, &err));
    assert_string_equal(c.architecture, "xyz");
    assert_string_equal(c.name, "");
    assert_int_equal(c.kv_heads, 4);
    assert_int_equal(c.head_dim, 16);
    assert_int_equal(c.rotary_dim, 16);
    assert_int_equal(c.vocab, 3);
    assert_true(c.rope_base == 10000.0f);
    el_gguf_close(&file);
}

static void start_gemma(el_hand *h, const char *name, uint32_t layers)
{
    static const char *const numbers[] = {"block_count",
                                          "context_length",
                                          "embedding_length",
                                          "feed_forward_length",
                                          "attention.head_count",
                                          "attention.key_length",
                                          "attention.sliding_window",
                                          "vocab_size"};
    const uint32_t window = strncmp(name, "gemma", 5) == 0 ? 16 : 0;
    const uint32_t values[] = {layers, 64, 64, 32, 4, 8, window, 3};
    char key[96];
    el_hand_text(h, "general.architecture", name);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(key, sizeof key, "%s.%s", name, numbers[i]);
        el_hand_u32(h, key, values[i]);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", name);
    el_gguf_put_f32(&h->values, key, 1e-6f);
    h->n_values++;
}

static el_config config_of_file(el_hand *h)
{
    edgellm_error err;
    el_gguf file;
    el_config c;
    assert_true(el_hand_save(h, PATH));
    assert_ok(el_gguf_open(&file, PATH, &err));
    assert_ok(el_gguf_config(&file, &c, &err));
    el_gguf_close(&file);
    return c;
}

/* What files of Gemma leave out, and what they may say. */
static void test_config_of_gemma(void **state)
{
    (void)state;
    el_hand h = el_hand_start();
    start_gemma(&h, "gemma3", 12);
    el_config c = config_of_file(&h);
    assert_true(c.window == 16 && c.pattern == 6 && c.head_dim == 8 && c.rotary_dim == 8);
    assert_true(c.rope_base == 1e6f && c.local_rope_base == 1e4f && c.rope_factor == 0);
    assert_true(c.attention_scale == 0 && c.attention_cap == 0 && c.logit_cap == 0);

    h = el_hand_start();
    start_gemma(&h, "gemma2", 26);
    c = config_of_file(&h);
    assert_true(c.window == 16 && c.pattern == 2 && c.rope_base == 1e4f);
    assert_true(c.local_rope_base == 0 && c.attention_cap == 50 && c.logit_cap == 30);

    h = el_hand_start(); /* Gemma 3 of 27 B scales by another width */
    start_gemma(&h, "gemma3", 62);
    el_hand_text(&h, "gemma3.rope.scaling.type", "linear");
    el_gguf_put_f32(&h.values, "gemma3.rope.scaling.factor", 8);
    el_gguf_put_f32(&h.values, "gemma3.rope.freq_base_swa", 500);
    h.n_values += 2;
    c = config_of_file(&h);
    assert_true(c.attention_scale == 0.25f && c.rope_factor == 8 && c.local_rope_base == 500);
}

/* One architecture, two names. */
static void test_names_of_bitnet(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"bitnet-25", "bitnet-b1.58"}, {"bitnet-b1.58", "bitnet-b1.58"}, {"bitnet", "bitnet"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        el_hand h = el_hand_start();
        start_gemma(&h, names[i][0], 2);
        const el_config c = config_of_file(&h);
        assert_string_equal(c.architecture, names[i][1]);
        assert_true(c.dim == 64 && c.layers == 2); /* keys have the file's own name */
    }
}

static void no_window(el_hand *h)
{
    h->values.size = 0;
    h->n_values = 0;
    start_gemma(h, "gemma3", 6);
    el_hand_u32(h, "gemma3.attention.sliding_window_pattern", 0);
}

static void scaled_gemma2(el_hand *h)
{
    h->values.size = 0;
    h->n_values = 0;
    start_gemma(h, "gemma2", 6);
    el_hand_text(h, "gemma2.rope.scaling.type", "linear");
}

static void long_architecture(el_hand *h)
{
    h->n_values = 0; /* in place of the one that is there */
    h->values.size = 0;
    el_hand_text(h, "general.architecture", "an-architecture-of-many-bytes");
}

static void bad_heads(el_hand *h)
{
    el_hand_u32(h, "xyz.attention.head_count", 4);
    el_hand_u32(h, "xyz.attention.head_count_kv", 3);
    el_hand_u32(h, "xyz.vocab_size", 3);
}

static void no_heads(el_hand *h)
{
    el_hand_u32(h, "xyz.attention.head_count", 0);
}

static void missing_heads(el_hand *h)
{
    el_hand_u32(h, "xyz.vocab_size", 3);
}

static void text_for_number(el_hand *h)
{
    el_hand_text(h, "xyz.attention.head_count", "4");
}

static void wide_rotation(el_hand *h)
{
    el_hand_u32(h, "xyz.attention.head_count", 4);
    el_hand_u32(h, "xyz.rope.dimension_count", 18);
    el_hand_u32(h, "xyz.vocab_size", 3);
}

static void scaled_positions(el_hand *h)
{
    el_hand_u32(h, "xyz.attention.head_count", 4);
    el_hand_text(h, "xyz.rope.scaling.type", "dynamic");
    el_hand_u32(h, "xyz.vocab_size", 3);
}

static void huge_vocab(el_hand *h)
{
    el_hand_u32(h, "xyz.attention.head_count", 4);
    el_hand_u32(h, "xyz.vocab_size", 1u << 30);
}

static void infinite_base(el_hand *h)
{
    el_hand_u32(h, "xyz.attention.head_count", 4);
    el_hand_u32(h, "xyz.vocab_size", 3);
    el_gguf_put_f32(&h->values, "xyz.rope.freq_base", el_float_of_bits(0x7f800000));
    h->n_values++;
}

static void test_bad_configs(void **state)
{
    (void)state;
    static const bad_model rows[] = {
        {long_architecture, EDGELLM_ERR_UNSUPPORTED, "general.architecture has 29 bytes"},
        {bad_heads, EDGELLM_ERR_FORMAT, "4 heads cannot share 3"},
        {no_heads, EDGELLM_ERR_FORMAT, "0 heads"},
        {missing_heads, EDGELLM_ERR_FORMAT, "'xyz.attention.head_count' is missing"},
        {text_for_number, EDGELLM_ERR_FORMAT, "'xyz.attention.head_count' is not a number"},
        {wide_rotation, EDGELLM_ERR_FORMAT, "rotary_dim is 18"},
        {scaled_positions, EDGELLM_ERR_UNSUPPORTED, "xyz.rope.scaling.type is 'dynamic'"},
        {huge_vocab, EDGELLM_ERR_FORMAT, "vocab is 1073741824"},
        {infinite_base, EDGELLM_ERR_FORMAT, "rope_base inf"},
        {no_window, EDGELLM_ERR_FORMAT, "a window of 16 positions in layers of a pattern of 0"},
        {scaled_gemma2, EDGELLM_ERR_FORMAT, "'gemma2.rope.scaling.factor' is missing"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        edgellm_error err = {0};
        el_config c = {.dim = 77};
        el_hand h = el_hand_start();
        add_config(&h);
        el_gguf file = open_bad(&rows[i], h);
        check_refused(&rows[i], &file, el_gguf_config(&file, &c, &err), &err);
        assert_int_equal(c.dim, 77);
    }
}

/* ---- vocabularies made by hand --------------------------------------------------------- */

static void test_vocab_defaults(void **state)
{
    (void)state;
    static const char *const tokens[] = {"\xc4\xa0",     "a", "\xc4\xa0\x61", /* " a" */
                                         "\xe2\x82\xac", "",  "a b"};
    static const char *const merges[] = {"\xc4\xa0 a"};
    edgellm_error err;
    el_gguf file;
    el_vocab v;
    el_hand h = el_hand_start();
    el_hand_text(&h, "tokenizer.ggml.model", "gpt2");
    el_hand_texts(&h, "tokenizer.ggml.tokens", 6, tokens);
    el_hand_texts(&h, "tokenizer.ggml.merges", 1, merges);
    el_hand_u32(&h, "tokenizer.ggml.bos_token_id", UINT32_MAX);
    assert_true(el_hand_save(&h, PATH));
    assert_ok(el_gguf_open(&file, PATH, &err));
    assert_ok(el_gguf_vocab(&file, &v, &err));
    assert_ok(el_gguf_vocab(&file, &v, &err)); /* again: replaces the first */
    assert_token(&v, 0, " ", 1);
    assert_token(&v, 2, " a", 2);
    assert_token(&v, 3, "\xe2\x82\xac", 3); /* outside the mapping: literal */
    assert_token(&v, 4, "", 0);
    assert_token(&v, 5, "a b", 3); /* a raw space is outside the mapping too */
    assert_int_equal(v.types[0], EL_TOKEN_NORMAL);
    assert_int_equal(v.merges[0].left, 0);
    assert_int_equal(v.merges[0].right, 1);
    assert_string_equal(v.pretokenizer, "gpt2");
    assert_string_equal(v.chat_template, "");
    assert_true(v.bos == EL_TOKEN_NONE && v.eos == EL_TOKEN_NONE);
    el_gguf_close(&file);
}

/* ---- pieces with scores ------------------------------------------------------------------ */

static void add_pieces(el_hand *h, const char *byte, float score)
{
    const char *const tokens[] = {"<bos>",
                                  byte,
                                  "\xe2\x96\x81",
                                  "a",
                                  "\xe2\x96\x81\x61\xe2\x96",
                                  "<start_of_turn>",
                                  "\xe2\x96\x81\xe2\x96\x81"};
    static const uint32_t types[] = {3, 6, 1, 1, 1, 4, 4};
    const float scores[] = {5, 0, -3, -1, score, 9, 8};
    el_hand_pieces(h, "llama", 7, tokens, types, scores);
    el_hand_u32(h, "tokenizer.ggml.bos_token_id", 0);
}

static void test_pieces(void **state)
{
    (void)state;
    edgellm_error err;
    el_gguf file;
    el_vocab v;
    el_hand h = el_hand_start();
    add_pieces(&h, "<0xC3>", -1);
    assert_true(el_hand_save(&h, PATH));
    assert_ok(el_gguf_open(&file, PATH, &err));
    assert_ok(el_gguf_vocab(&file, &v, &err));
    assert_string_equal(v.pretokenizer, "spm");
    assert_token(&v, 0, "<bos>", 5);
    assert_token(&v, 1, "\xc3", 1);
    assert_token(&v, 2, " ", 1);
    assert_token(&v, 4, " a\xe2\x96", 4); /* what is no whole U+2581 stays */
    assert_token(&v, 6, "  ", 2);
    assert_int_equal(v.types[1], EL_TOKEN_BYTE);
    assert_int_equal(v.types[5], EL_TOKEN_CONTROL); /* a border of turns, whatever the file says */
    assert_int_equal(v.types[6], EL_TOKEN_USER);
    static const uint32_t ranks[] = {0, 0, 1, 0, 0, 0, 0}; /* equal ones are equal */
    assert_memory_equal(v.ranks, ranks, sizeof ranks);
    assert_true(v.add_bos && v.space_first && v.n_merges == 0); /* unless the file says */
    el_gguf_close(&file);

    h = el_hand_start();
    add_pieces(&h, "<0x00>", 7);
    el_gguf_put_bool(&h.values, "tokenizer.ggml.add_space_prefix", false);
    el_gguf_put_bool(&h.values, "tokenizer.ggml.add_bos_token", false);
    h.n_values += 2;
    assert_true(el_hand_save(&h, PATH));
    assert_ok(el_gguf_open(&file, PATH, &err));
    assert_ok(el_gguf_vocab(&file, &v, &err));
    assert_token(&v, 1, "\0", 1);
    assert_true(v.ranks[4] == 0 && v.ranks[3] == 1 && v.ranks[2] == 2);
    assert_true(!v.add_bos && !v.space_first);
    el_gguf_close(&file);
}

static void odd_byte(el_hand *h)
{
    add_pieces(h, "<0xc3>", 0); /* in small letters: never written so */
}

static void score_of_nothing(el_hand *h)
{
    add_pieces(h, "<0x41>", __builtin_nanf(""));
}

static void no_types(el_hand *h)
{
    static const char *const tokens[] = {"a", "b"};
    el_hand_text(h, "tokenizer.ggml.model", "llama");
    el_hand_texts(h, "tokenizer.ggml.tokens", 2, tokens);
}

static void no_scores(el_hand *h)
{
    no_types(h);
    el_hand_array(h, "tokenizer.ggml.token_type", 5, 2);
    el_bytes_u32(&h->values, EL_TOKEN_NORMAL);
    el_bytes_u32(&h->values, EL_TOKEN_NORMAL);
}

static void shorter_spaces(el_hand *h)
{
    add_pieces(h, "<0x41>", 0);
    el_gguf_put_bool(&h->values, "tokenizer.ggml.remove_extra_whitespaces", true);
    h->n_values++;
}

static void other_letters(el_hand *h)
{
    add_pieces(h, "<0x41>", 0);
    el_hand_array(h, "tokenizer.ggml.precompiled_charsmap", 0, 1);
    el_bytes_put(&h->values, "x", 1);
}

/* ---- vocabularies that are refused --------------------------------------------------------- */

static void add_two_tokens(el_hand *h)
{
    static const char *const tokens[] = {"a", "b"};
    el_hand_text(h, "tokenizer.ggml.model", "gpt2");
    el_hand_texts(h, "tokenizer.ggml.tokens", 2, tokens);
}

/* Names that other programs use for the same rule. */
static void test_pretokenizer_names(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"default", "gpt2"}, {"gpt-2", "gpt2"}, {"llama-bpe", "llama3"}, {"qwen2", "qwen2"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        edgellm_error err;
        el_gguf file;
        el_vocab v;
        el_hand h = el_hand_start();
        add_two_tokens(&h);
        el_hand_text(&h, "tokenizer.ggml.pre", rows[i][0]);
        assert_true(el_hand_save(&h, PATH));
        assert_ok(el_gguf_open(&file, PATH, &err));
        assert_ok(el_gguf_vocab(&file, &v, &err));
        assert_string_equal(v.pretokenizer, rows[i][1]);
        el_gguf_close(&file);
    }
}

static void no_model(el_hand *h)
{
    el_hand_u32(h, "x", 1);
}

static void other_model(el_hand *h)
{
    el_hand_text(h, "tokenizer.ggml.model", "bert");
}

static void no_tokens(el_hand *h)
{
    el_hand_text(h, "tokenizer.ggml.model", "gpt2");
}

static void few_types(el_hand *h)
{
    add_two_tokens(h);
    el_hand_array(h, "tokenizer.ggml.token_type", 5, 1);
    el_bytes_u32(&h->values, 1);
}

static void odd_type(el_hand *h)
{
    add_two_tokens(h);
    el_hand_array(h, "tokenizer.ggml.token_type", 5, 2);
    el_bytes_u32(&h->values, 1);
    el_bytes_u32(&h->values, 7);
}

static void odd_merge(el_hand *h)
{
    static const char *const merges[] = {"a c"};
    add_two_tokens(h);
    el_hand_texts(h, "tokenizer.ggml.merges", 1, merges);
}

static void whole_merge(el_hand *h)
{
    static const char *const merges[] = {"ab"};
    add_two_tokens(h);
    el_hand_texts(h, "tokenizer.ggml.merges", 1, merges);
}

static void far_eos(el_hand *h)
{
    add_two_tokens(h);
    el_hand_u32(h, "tokenizer.ggml.eos_token_id", 2);
}

static void bos_of_nothing(el_hand *h)
{
    add_two_tokens(h);
    el_gguf_put_bool(&h->values, "tokenizer.ggml.add_bos_token", true);
    h->n_values++;
}

static void bad_template(el_hand *h)
{
    add_two_tokens(h);
    el_hand_text(h, "tokenizer.chat_template", "\xff");
}

static void number_for_pre(el_hand *h)
{
    add_two_tokens(h);
    el_hand_u32(h, "tokenizer.ggml.pre", 1);
}

static void long_pre(el_hand *h)
{
    add_two_tokens(h);
    el_hand_text(h, "tokenizer.ggml.pre", "a-very-long-name-of-a-pre-tokenizer");
}

static void test_bad_vocabs(void **state)
{
    (void)state;
    static const bad_model rows[] = {
        {no_model, EDGELLM_ERR_FORMAT, "'tokenizer.ggml.model' is missing"},
        {other_model, EDGELLM_ERR_UNSUPPORTED, "'bert' is not supported"},
        {no_tokens, EDGELLM_ERR_FORMAT, "0 entries"},
        {few_types, EDGELLM_ERR_FORMAT, "1 token types for 2"},
        {odd_type, EDGELLM_ERR_FORMAT, "unknown type 7"},
        {odd_merge, EDGELLM_ERR_FORMAT, "merge 0 'a c'"},
        {whole_merge, EDGELLM_ERR_FORMAT, "merge 0 'ab'"},
        {far_eos, EDGELLM_ERR_FORMAT, "eos token 2"},
        {bos_of_nothing, EDGELLM_ERR_FORMAT, "bos is absent"},
        {bad_template, EDGELLM_ERR_FORMAT, "chat_template"},
        {number_for_pre, EDGELLM_ERR_FORMAT, "'tokenizer.ggml.pre' is no string"},
        {long_pre, EDGELLM_ERR_UNSUPPORTED, "a-very-long-name"},
        {odd_byte, EDGELLM_ERR_FORMAT, "token 1 is a byte, but its name '<0xc3>'"},
        {score_of_nothing, EDGELLM_ERR_FORMAT, "the score of token 4 is no number"},
        {no_types, EDGELLM_ERR_FORMAT, "'tokenizer.ggml.token_type' is missing"},
        {no_scores, EDGELLM_ERR_FORMAT, "0 scores for the tokens"},
        {shorter_spaces, EDGELLM_ERR_UNSUPPORTED, "remove_extra_whitespaces"},
        {other_letters, EDGELLM_ERR_UNSUPPORTED, "precompiled_charsmap"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        edgellm_error err = {0};
        el_vocab v = {.n_tokens = 77};
        el_gguf file = open_bad(&rows[i], el_hand_start());
        check_refused(&rows[i], &file, el_gguf_vocab(&file, &v, &err), &err);
        assert_int_equal(v.n_tokens, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_tiny_types),
        cmocka_unit_test(test_vocab),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_wide_floats),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_config_defaults),
        cmocka_unit_test(test_bad_configs),
        cmocka_unit_test(test_config_of_gemma),
        cmocka_unit_test(test_names_of_bitnet),
        cmocka_unit_test(test_vocab_defaults),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_pretokenizer_names),
        cmocka_unit_test(test_bad_vocabs),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
