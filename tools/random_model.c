/*
 * random_model.c: writes a TM2 model of random weights that no cache holds, for `make bench-large`:
 * the layers of Llama-3.2-1B (examples/shapes/llama-3.2-1b.json) and the vocabulary of another
 * model. It says nothing, but each of its tokens reads as many bytes as a trained model's.
 *
 *   random_model VOCABULARY.tm2.bin OUT.tm2.bin [BITS [LAYERS]]      2, 3, 4 or 8 bits (2); 16
 * layers
 *
 * Symmetric codes, groups of 64, byte scales; 2 bits with 49152 tokens: 287 MB.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "format/tm2.h"

enum { DIM = 2048, FFN = 8192, HEAD_DIM = 64, HEADS = DIM / HEAD_DIM, KV_HEADS = 8, LAYERS = 16 };
enum { GROUP = 64, TENSORS_OF_A_LAYER = 9, OTHER_TENSORS = 2 };

typedef struct maker {
    el_tm2_writer *writer;
    el_codec codec;
    uint64_t random;
} maker;

static uint64_t next_random(uint64_t *state) /* xorshift64, Marsaglia 2003 */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void fill_codes(maker *m, uint8_t *codes, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i += 8) {
        uint64_t word = next_random(&m->random);
        memcpy(codes + i, &word, 8);
    }
    if (m->codec != EL_CODEC_I8) return;
    for (uint64_t i = 0; i < bytes; i++)
        codes[i] = codes[i] == 0x80 ? 0 : codes[i]; /* -128 is no code */
}

/* Weights of about 0.6 / sqrt(cols), so that sums stay near 1; rows of padding keep scale 0. */
static void fill_references(const maker *m, uint16_t *refs, uint32_t rows, uint32_t cols)
{
    const float levels = (float)(1u << (el_codecs[m->codec].bits - 1));
    const uint16_t ref = el_half_of_float(1 / (__builtin_sqrtf((float)cols) * levels));
    for (uint32_t i = 0; i < rows; i++)
        refs[i] = ref;
}

static edgellm_status put_matrix(maker *m, const char *name, uint32_t rows, uint32_t cols,
                                 edgellm_error *err)
{
    el_matrix_layout layout;
    if (el_matrix_measure(rows, cols, m->codec, EL_SCALE_BYTE, GROUP, &layout))
        return el_fail(err, EDGELLM_ERR_INTERNAL, "tensor '%s' has no layout", name);
    uint8_t *data = aligned_alloc(64, (size_t)layout.bytes);
    if (!data) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for tensor '%s'", name);
    memset(data, 0, (size_t)layout.bytes);
    fill_codes(m, data, layout.plane_bytes[0]);
    fill_references(m, (uint16_t *)(void *)(data + layout.plane_offset[3]), rows, cols);
    const el_tensor t = {.name = name,
                         .rows = rows,
                         .cols = cols,
                         .group = GROUP,
                         .codec = (uint8_t)m->codec,
                         .scale_kind = EL_SCALE_BYTE,
                         .data = data,
                         .bytes = layout.bytes};
    edgellm_status status = el_tm2_put(m->writer, &t, err);
    free(data);
    return status;
}

static edgellm_status put_norm(maker *m, const char *name, edgellm_error *err)
{
    float weight[DIM];
    for (int i = 0; i < DIM; i++)
        weight[i] = 1;
    const el_tensor t = {.name = name,
                         .rows = 1,
                         .cols = DIM,
                         .codec = EL_CODEC_F32,
                         .data = (const uint8_t *)weight,
                         .bytes = sizeof weight};
    return el_tm2_put(m->writer, &t, err);
}

static edgellm_status put_layer(maker *m, uint32_t layer, edgellm_error *err)
{
    static const struct {
        const char *name;
        uint32_t rows, cols;
    } matrices[] = {{"attn_q", DIM, DIM},      {"attn_k", KV_HEADS * HEAD_DIM, DIM},
                    {"attn_output", DIM, DIM}, {"attn_v", KV_HEADS * HEAD_DIM, DIM},
                    {"ffn_gate", FFN, DIM},    {"ffn_up", FFN, DIM},
                    {"ffn_down", DIM, FFN}};
    char name[EL_TENSOR_NAME_BYTES];
    for (size_t i = 0; i < sizeof matrices / sizeof matrices[0]; i++) {
        snprintf(name, sizeof name, "blk.%u.%s.weight", layer, matrices[i].name);
        EL_TRY(put_matrix(m, name, matrices[i].rows, matrices[i].cols, err));
    }
    snprintf(name, sizeof name, "blk.%u.attn_norm.weight", layer);
    EL_TRY(put_norm(m, name, err));
    snprintf(name, sizeof name, "blk.%u.ffn_norm.weight", layer);
    return put_norm(m, name, err);
}

static edgellm_status put_tensors(maker *m, const el_config *c, edgellm_error *err)
{
    EL_TRY(put_matrix(m, "token_embd.weight", c->vocab, DIM, err));
    EL_TRY(put_norm(m, "output_norm.weight", err));
    for (uint32_t i = 0; i < c->layers; i++)
        EL_TRY(put_layer(m, i, err));
    return EDGELLM_OK;
}

static edgellm_status write_model(const el_vocab *vocab, const char *path, el_codec codec,
                                  uint32_t layers, edgellm_error *err)
{
    const el_config config = {.architecture = "llama",
                              .name = "random weights",
                              .layers = layers,
                              .dim = DIM,
                              .ffn_dim = FFN,
                              .heads = HEADS,
                              .kv_heads = KV_HEADS,
                              .head_dim = HEAD_DIM,
                              .rotary_dim = HEAD_DIM,
                              .vocab = vocab->n_tokens,
                              .context = 8192,
                              .rope_base = 500000,
                              .norm_eps = 1e-5f};
    maker m = {.codec = codec, .random = 0x9e3779b97f4a7c15u};
    EL_TRY(el_tm2_create(&m.writer, path, &config, vocab,
                         OTHER_TENSORS + layers * TENSORS_OF_A_LAYER, err));
    edgellm_status status = put_tensors(&m, &config, err);
    if (status == EDGELLM_OK)
        return el_tm2_finish(m.writer, "{\"weights\": \"random\"}", NULL, NULL, err);
    el_tm2_cancel(m.writer);
    return status;
}

static el_codec codec_of(unsigned long bits)
{
    static const el_codec codecs[] = {
        [2] = EL_CODEC_S2, [3] = EL_CODEC_S3, [4] = EL_CODEC_S4, [8] = EL_CODEC_I8};
    return bits < sizeof codecs / sizeof codecs[0] ? codecs[bits] : EL_CODEC_F32;
}

int main(int argc, char **argv)
{
    const el_codec codec = codec_of(argc > 3 ? strtoul(argv[3], NULL, 10) : 2);
    const unsigned long layers = argc > 4 ? strtoul(argv[4], NULL, 10) : LAYERS;
    if (argc < 3 || argc > 5 || codec == EL_CODEC_F32 || layers < 1 || layers > 100) {
        fprintf(stderr, "usage: random_model VOCABULARY.tm2.bin OUT.tm2.bin [BITS [LAYERS]]\n");
        return EDGELLM_ERR_USAGE;
    }
    el_tm2 source;
    edgellm_error err;
    edgellm_status status = el_tm2_open(&source, argv[1], false, &err);
    if (status == EDGELLM_OK) {
        status = write_model(&source.vocab, argv[2], codec, (uint32_t)layers, &err);
        el_tm2_close(&source);
    }
    if (status != EDGELLM_OK) fprintf(stderr, "random_model: %s\n", err.message);
    return (int)status;
}
