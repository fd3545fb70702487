/*
 * random_model.c: writes a TM2 model of random weights. It says nothing, but each of its tokens
 * reads as many bytes, and takes as many operations, as a trained model's.
 *
 *   random_model VOCABULARY.tm2.bin OUT.tm2.bin [CODEC [LAYERS]]
 *   random_model SHAPE OUT.tm2.bin [CODEC [LAYERS]]
 *
 * The first, for `make bench-large`: layers of Llama-3.2-1B with the vocabulary of another model;
 * 2 bits with 49152 tokens: 287 MB. The second, for `make bench-shapes`: a model of the table below
 * as it is, with a vocabulary that no merge makes. CODEC is 2 (s2), 3, 4 or 8 bits with byte scales
 * for 64 weights each, or c2 or c3, chained; or t1 or t2, three levels with a scale for a row, as
 * BitNet's are, and a table of tokens of 8 bits. 2 if it isn't given. LAYERS: that many instead of
 * the shape's own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "format/tm2.h"

enum { GROUP = 64, TENSORS_OF_A_LAYER = 18, OTHER_TENSORS = 3, BYTES = 256, NAME_ROOM = 12 };

/* What a model has besides. */
enum {
    OWN_HEAD = 1 << 0,   /* it is no embedding */
    BIASES = 1 << 1,     /* of queries, keys and values */
    HEAD_NORMS = 1 << 2, /* of queries and keys */
    POST_NORMS = 1 << 3, /* after attention and feed-forward */
    SUB_NORMS = 1 << 4   /* before the outputs of these */
};

/* Numbers of each model's config.json. */
typedef struct shape {
    const char *name, *architecture;
    uint32_t layers, dim, ffn_dim, heads, kv_heads, head_dim, vocab;
    unsigned has;
    uint32_t window, pattern; /* as in format/config.h */
    float local_rope_base, attention_cap, logit_cap;
} shape;

static const shape shapes[] = {
    {"llama-3.2-1b", "llama", 16, 2048, 8192, 32, 8, 64, 128256, .has = 0},
    {"smollm2-135m", "llama", 30, 576, 1536, 9, 3, 64, 49152, .has = 0},
    {"smollm2-360m", "llama", 32, 960, 2560, 15, 5, 64, 49152, .has = 0},
    {"qwen2-0.5b", "qwen2", 24, 896, 4864, 14, 2, 64, 151936, .has = BIASES},
    {"phi-3-mini", "phi3", 32, 3072, 8192, 32, 32, 96, 32064, .has = OWN_HEAD},
    {"bitnet-2b4t", "bitnet-b1.58", 30, 2560, 6912, 20, 5, 128, 128256, .has = SUB_NORMS},
    {"qwen3-0.6b", "qwen3", 28, 1024, 3072, 16, 8, 128, 151936, .has = HEAD_NORMS},
    {"gemma-3-1b", "gemma3", 26, 1152, 6912, 4, 1, 256, 262144, .has = HEAD_NORMS | POST_NORMS,
     .window = 512, .pattern = 6, .local_rope_base = 10000},
    {"gemma-2-2b", "gemma2", 26, 2304, 9216, 8, 4, 256, 256000, .has = POST_NORMS, .window = 4096,
     .pattern = 2, .attention_cap = 50, .logit_cap = 30},
    {"smollm3-3b", "smollm3", 36, 2048, 11008, 16, 4, 128, 128256, .has = 0},
};

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

typedef struct form {
    const char *name;
    el_codec codec, table; /* of matrices; of the embedding and the head */
    el_scale_kind scales;
    uint32_t group; /* of matrices */
} form;

static const form forms[] = {
    {"2", EL_CODEC_S2, EL_CODEC_S2, EL_SCALE_BYTE, GROUP},
    {"3", EL_CODEC_S3, EL_CODEC_S3, EL_SCALE_BYTE, GROUP},
    {"4", EL_CODEC_S4, EL_CODEC_S4, EL_SCALE_BYTE, GROUP},
    {"8", EL_CODEC_I8, EL_CODEC_I8, EL_SCALE_BYTE, GROUP},
    {"t1", EL_CODEC_T1, EL_CODEC_I8, EL_SCALE_F16, 0},
    {"t2", EL_CODEC_T2, EL_CODEC_I8, EL_SCALE_F16, 0},
    {"c2", EL_CODEC_C2, EL_CODEC_C2, EL_SCALE_BYTE, GROUP},
    {"c3", EL_CODEC_C3, EL_CODEC_C3, EL_SCALE_BYTE, GROUP},
};

enum { FORMS = sizeof forms / sizeof forms[0] };

typedef struct maker {
    el_tm2_writer *writer;
    const shape *shape;
    const form *form;
    uint32_t layer;
    uint64_t random;
} maker;

static uint64_t next_random(uint64_t *state) /* xorshift64, Marsaglia 2003 */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- tensors ------------------------------------------------------------------------------- */

static void fill_random(maker *m, uint8_t *codes, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i += 8) {
        uint64_t word = next_random(&m->random);
        memcpy(codes + i, &word, 8);
    }
}

/* Not every byte is a code: -128 is none, nor is the fourth of two bits for three levels, nor what
 * is no fraction of five levels. */
static void fill_codes(maker *m, el_codec codec, uint8_t *codes, uint64_t bytes)
{
    fill_random(m, codes, bytes);
    for (uint64_t i = 0; i < bytes; i++) {
        const uint8_t b = codes[i];
        if (codec == EL_CODEC_I8) codes[i] = b == 0x80 ? 0 : b;
        if (codec == EL_CODEC_T2) codes[i] = (uint8_t)(b & ~(b >> 1 & 0x55)); /* 3 becomes 2 */
        if (codec == EL_CODEC_T1) codes[i] = (uint8_t)((b * 243 / 256 * 256 + 242) / 243);
    }
}

/* Weights of about 0.6 / sqrt(cols), so that sums stay near 1. */
static void fill_halves(uint16_t *halves, uint64_t n, uint32_t cols, el_codec codec)
{
    const bool three = codec == EL_CODEC_T1 || codec == EL_CODEC_T2;
    const el_codec_info *info = &el_codecs[codec];
    const float levels = three          ? 1
                         : info->levels ? (float)-info->bias
                                        : (float)(1u << (info->bits - 1));
    const uint16_t half = el_half_of_float(1 / (__builtin_sqrtf((float)cols) * levels));
    for (uint64_t i = 0; i < n; i++)
        halves[i] = half;
}

/* Rows of padding keep scale 0; byte scales are left at 0, which is once the reference. */
static void fill_matrix(maker *m, uint8_t *data, const el_matrix_layout *layout, const el_tensor *t)
{
    const int halves = t->scale_kind == EL_SCALE_BYTE ? 3 : 1; /* planes: references, or scales */
    fill_codes(m, (el_codec)t->codec, data, layout->plane_bytes[0]);
    fill_halves((uint16_t *)(void *)(data + layout->plane_offset[halves]), t->rows, t->cols,
                (el_codec)t->codec);
}

static edgellm_status put_filled(maker *m, el_tensor *t, edgellm_error *err)
{
    el_matrix_layout layout;
    if (el_matrix_measure(t->rows, t->cols, (el_codec)t->codec, (el_scale_kind)t->scale_kind,
                          t->group, &layout))
        return el_fail(err, EDGELLM_ERR_INTERNAL, "tensor '%s' has no layout", t->name);
    uint8_t *data = aligned_alloc(64, (size_t)layout.bytes);
    if (!data) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for tensor '%s'", t->name);
    memset(data, 0, (size_t)layout.bytes);
    fill_matrix(m, data, &layout, t);
    t->data = data;
    t->bytes = layout.bytes;
    const edgellm_status status = el_tm2_put(m->writer, t, err);
    free(data);
    return status;
}

/* Of every token a row. */
static edgellm_status put_table(maker *m, const char *name, edgellm_error *err)
{
    el_tensor t = {.name = name,
                   .rows = m->shape->vocab,
                   .cols = m->shape->dim,
                   .group = GROUP,
                   .codec = (uint8_t)m->form->table,
                   .scale_kind = EL_SCALE_BYTE};
    return put_filled(m, &t, err);
}

static edgellm_status put_vector(maker *m, const char *name, uint32_t cols, edgellm_error *err)
{
    float *values = malloc(cols * sizeof *values);
    if (!values) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for tensor '%s'", name);
    for (uint32_t i = 0; i < cols; i++)
        values[i] = 1;
    const el_tensor t = {.name = name,
                         .rows = 1,
                         .cols = cols,
                         .codec = EL_CODEC_F32,
                         .data = (const uint8_t *)values,
                         .bytes = cols * sizeof *values};
    const edgellm_status status = el_tm2_put(m->writer, &t, err);
    free(values);
    return status;
}

/* ---- layers -------------------------------------------------------------------------------- */

typedef struct part {
    const char *name;
    uint32_t rows, cols; /* rows 1: a vector */
    unsigned of;         /* what the shape must have; 0: all have it */
} part;

static edgellm_status put_part(maker *m, const part *p, edgellm_error *err)
{
    char name[EL_TENSOR_NAME_BYTES];
    snprintf(name, sizeof name, "blk.%u.%s", m->layer, p->name);
    if (p->rows == 1) return put_vector(m, name, p->cols, err);
    el_tensor t = {.name = name,
                   .rows = p->rows,
                   .cols = p->cols,
                   .group = m->form->group,
                   .codec = (uint8_t)m->form->codec,
                   .scale_kind = (uint8_t)m->form->scales};
    return put_filled(m, &t, err);
}

static edgellm_status put_layer(maker *m, edgellm_error *err)
{
    const shape *s = m->shape;
    const uint32_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    const part parts[TENSORS_OF_A_LAYER] = {
        {"attn_q.weight", q, s->dim, 0},
        {"attn_k.weight", kv, s->dim, 0},
        {"attn_output.weight", s->dim, q, 0},
        {"attn_v.weight", kv, s->dim, 0},
        {"ffn_gate.weight", s->ffn_dim, s->dim, 0},
        {"ffn_up.weight", s->ffn_dim, s->dim, 0},
        {"ffn_down.weight", s->dim, s->ffn_dim, 0},
        {"attn_norm.weight", 1, s->dim, 0},
        {"ffn_norm.weight", 1, s->dim, 0},
        {"attn_q.bias", 1, q, BIASES},
        {"attn_k.bias", 1, kv, BIASES},
        {"attn_v.bias", 1, kv, BIASES},
        {"attn_q_norm.weight", 1, s->head_dim, HEAD_NORMS},
        {"attn_k_norm.weight", 1, s->head_dim, HEAD_NORMS},
        {"post_attention_norm.weight", 1, s->dim, POST_NORMS},
        {"post_ffw_norm.weight", 1, s->dim, POST_NORMS},
        {"attn_sub_norm.weight", 1, q, SUB_NORMS},
        {"ffn_sub_norm.weight", 1, s->ffn_dim, SUB_NORMS},
    };
    for (int i = 0; i < TENSORS_OF_A_LAYER; i++)
        if (parts[i].of == 0 || s->has & parts[i].of) EL_TRY(put_part(m, &parts[i], err));
    return EDGELLM_OK;
}

static edgellm_status put_tensors(maker *m, edgellm_error *err)
{
    EL_TRY(put_table(m, "token_embd.weight", err));
    if (m->shape->has & OWN_HEAD) EL_TRY(put_table(m, "output.weight", err));
    EL_TRY(put_vector(m, "output_norm.weight", m->shape->dim, err));
    for (m->layer = 0; m->layer < m->shape->layers; m->layer++)
        EL_TRY(put_layer(m, err));
    return EDGELLM_OK;
}

static edgellm_status write_model(const el_vocab *vocab, const char *path, const shape *s,
                                  const form *f, edgellm_error *err)
{
    el_config config = {.name = "random weights",
                        .layers = s->layers,
                        .dim = s->dim,
                        .ffn_dim = s->ffn_dim,
                        .heads = s->heads,
                        .kv_heads = s->kv_heads,
                        .head_dim = s->head_dim,
                        .rotary_dim = s->head_dim,
                        .vocab = s->vocab,
                        .context = 8192,
                        .rope_base = 500000,
                        .norm_eps = 1e-5f,
                        .window = s->window,
                        .pattern = s->pattern,
                        .local_rope_base = s->local_rope_base,
                        .attention_cap = s->attention_cap,
                        .logit_cap = s->logit_cap};
    maker m = {.shape = s, .form = f, .random = 0x9e3779b97f4a7c15u};
    snprintf(config.architecture, sizeof config.architecture, "%s", s->architecture);
    EL_TRY(el_tm2_create(&m.writer, path, &config, vocab,
                         OTHER_TENSORS + s->layers * TENSORS_OF_A_LAYER, err));
    edgellm_status status = put_tensors(&m, err);
    if (status == EDGELLM_OK)
        return el_tm2_finish(m.writer, "{\"weights\": \"random\"}", NULL, NULL, err);
    el_tm2_cancel(m.writer);
    return status;
}

/* ---- vocabularies -------------------------------------------------------------------------- */

/* The bytes, then "<N>" for every number that is left. */
static void fill_vocabulary(uint32_t n, uint8_t *bytes, uint32_t *starts, uint8_t *types)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        char text[NAME_ROOM] = {(char)i};
        const int len = i < BYTES ? 1 : snprintf(text, sizeof text, "<%u>", i);
        memcpy(bytes + at, text, (size_t)len);
        starts[i] = at;
        types[i] = EL_TOKEN_NORMAL;
        at += (uint32_t)len;
    }
    starts[n] = at;
}

static edgellm_status write_shape(const shape *s, const char *path, const form *f,
                                  edgellm_error *err)
{
    const size_t n = s->vocab;
    uint32_t *starts = malloc((n + 1) * sizeof *starts);
    uint8_t *bytes = malloc(n * NAME_ROOM), *types = malloc(n);
    edgellm_status status = el_fail(err, EDGELLM_ERR_MEMORY, "no memory for a vocabulary");
    if (starts && bytes && types) {
        fill_vocabulary(s->vocab, bytes, starts, types);
        const el_vocab vocab = {.n_tokens = s->vocab,
                                .bytes = bytes,
                                .starts = starts,
                                .types = types,
                                .pretokenizer = "gpt2",
                                .chat_template = "",
                                .bos = EL_TOKEN_NONE,
                                .eos = 0,
                                .unk = EL_TOKEN_NONE,
                                .pad = EL_TOKEN_NONE};
        status = write_model(&vocab, path, s, f, err);
    }
    free(starts);
    free(bytes);
    free(types);
    return status;
}

static edgellm_status write_beside(const char *vocabulary, shape *s, const char *path,
                                   const form *f, edgellm_error *err)
{
    el_tm2 source;
    EL_TRY(el_tm2_open(&source, vocabulary, false, err));
    s->vocab = source.vocab.n_tokens;
    const edgellm_status status = write_model(&source.vocab, path, s, f, err);
    el_tm2_close(&source);
    return status;
}

/* ---- the program --------------------------------------------------------------------------- */

static const shape *find_shape(const char *name)
{
    for (int i = 0; i < SHAPES; i++)
        if (strcmp(shapes[i].name, name) == 0) return &shapes[i];
    return NULL;
}

static const form *find_form(const char *name)
{
    for (int i = 0; i < FORMS; i++)
        if (strcmp(forms[i].name, name) == 0) return &forms[i];
    return NULL;
}

int main(int argc, char **argv)
{
    const form *f = find_form(argc > 3 ? argv[3] : "2");
    const shape *found = argc > 1 ? find_shape(argv[1]) : NULL;
    shape s = found ? *found : shapes[0];
    const unsigned long layers = argc > 4 ? strtoul(argv[4], NULL, 10) : s.layers;
    if (argc < 3 || argc > 5 || !f || layers < 1 || layers > 100) {
        fprintf(stderr,
                "usage: random_model VOCABULARY.tm2.bin|SHAPE OUT.tm2.bin [CODEC [LAYERS]]\n");
        return EDGELLM_ERR_USAGE;
    }
    edgellm_error err;
    s.layers = (uint32_t)layers;
    const edgellm_status status =
        found ? write_shape(&s, argv[2], f, &err) : write_beside(argv[1], &s, argv[2], f, &err);
    if (status != EDGELLM_OK) fprintf(stderr, "random_model: %s\n", err.message);
    return (int)status;
}
