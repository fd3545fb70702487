/* golden_tm2.c: see golden_tm2.h. */
#include "support/golden_tm2.h"

#include <stdlib.h>
#include <string.h>

#include "support/tiny_model.h"

static const struct {
    const char *name;
    uint32_t rows, cols, group;
    el_codec codec;
    el_scale_kind kind;
    el_rotation rotation;
} rows[] = {
    /* not in the order of names: the writer sorts */
    {"s2.f16.row", 49, 100, 0, EL_CODEC_S2, EL_SCALE_F16, EL_ROTATION_NONE},
    {"s2.byte.32", 49, 100, 32, EL_CODEC_S2, EL_SCALE_BYTE, EL_ROTATION_NONE},
    {"s3.f16.64", 49, 100, 64, EL_CODEC_S3, EL_SCALE_F16, EL_ROTATION_NONE},
    {"s3.byte.128", 17, 257, 128, EL_CODEC_S3, EL_SCALE_BYTE, EL_ROTATION_NONE},
    {"s4.f16.32", 17, 70, 32, EL_CODEC_S4, EL_SCALE_F16, EL_ROTATION_NONE},
    {"s4.byte.row", 49, 100, 0, EL_CODEC_S4, EL_SCALE_BYTE, EL_ROTATION_NONE},
    {"o2.f16.128", 33, 130, 128, EL_CODEC_O2, EL_SCALE_F16, EL_ROTATION_NONE},
    {"o2.byte.64", 49, 100, 64, EL_CODEC_O2, EL_SCALE_BYTE, EL_ROTATION_NONE},
    {"o3.f16.32", 49, 100, 32, EL_CODEC_O3, EL_SCALE_F16, EL_ROTATION_NONE},
    {"o3.byte.row", 17, 70, 0, EL_CODEC_O3, EL_SCALE_BYTE, EL_ROTATION_NONE},
    {"o4.f16.32", 49, 100, 32, EL_CODEC_O4, EL_SCALE_F16, EL_ROTATION_NONE},
    {"o4.byte.64", 17, 70, 64, EL_CODEC_O4, EL_SCALE_BYTE, EL_ROTATION_NONE},
    {"z4.f16.32", 16, 64, 32, EL_CODEC_Z4, EL_SCALE_F16, EL_ROTATION_NONE},
    {"z4.byte.32", 1, 33, 32, EL_CODEC_Z4, EL_SCALE_BYTE, EL_ROTATION_NONE},
    {"i8.f16.32", 15, 70, 32, EL_CODEC_I8, EL_SCALE_F16, EL_ROTATION_NONE},
    {"i8.byte.row", 31, 31, 0, EL_CODEC_I8, EL_SCALE_BYTE, EL_ROTATION_NONE},
    {"o8.f16.64", 17, 65, 64, EL_CODEC_O8, EL_SCALE_F16, EL_ROTATION_NONE},
    {"o8.byte.128", 3, 8, 128, EL_CODEC_O8, EL_SCALE_BYTE, EL_ROTATION_NONE},
    {"f32.vector", 1, 100, 0, EL_CODEC_F32, EL_SCALE_F16, EL_ROTATION_NONE},
    {"f32.matrix", 3, 5, 0, EL_CODEC_F32, EL_SCALE_F16, EL_ROTATION_NONE},
    {"r.o2.byte.64", 33, 128, 64, EL_CODEC_O2, EL_SCALE_BYTE, EL_ROTATION_HADAMARD64},
    {"r.i8.f16.row", 17, 192, 0, EL_CODEC_I8, EL_SCALE_F16, EL_ROTATION_HADAMARD64},
    {"b1.f16.64", 49, 100, 64, EL_CODEC_B1, EL_SCALE_F16, EL_ROTATION_NONE},
    {"b1.byte.128", 17, 257, 128, EL_CODEC_B1, EL_SCALE_BYTE, EL_ROTATION_NONE},
    {"t2.f16.128", 33, 130, 128, EL_CODEC_T2, EL_SCALE_F16, EL_ROTATION_NONE},
    {"t2.byte.row", 17, 70, 0, EL_CODEC_T2, EL_SCALE_BYTE, EL_ROTATION_NONE},
    {"t1.f16.128", 49, 100, 128, EL_CODEC_T1, EL_SCALE_F16, EL_ROTATION_NONE},
    {"t1.byte.32", 33, 257, 32, EL_CODEC_T1, EL_SCALE_BYTE, EL_ROTATION_NONE},
    /* from here on: golden_7 */
    {"c2.f16.64", 49, 100, 64, EL_CODEC_C2, EL_SCALE_F16, EL_ROTATION_NONE},
    {"c2.byte.128", 33, 257, 128, EL_CODEC_C2, EL_SCALE_BYTE, EL_ROTATION_NONE},
    {"c3.f16.row", 17, 70, 0, EL_CODEC_C3, EL_SCALE_F16, EL_ROTATION_NONE},
    {"r.c3.byte.128", 48, 192, 128, EL_CODEC_C3, EL_SCALE_BYTE, EL_ROTATION_HADAMARD64},
};

enum { CHAINED = 4 }; /* of these */

const uint32_t el_golden_count = sizeof rows / sizeof *rows - CHAINED;

/* Anything goes for a code but -128, and for a byte plane; halves stay below 2. */
static void fill_plane(uint8_t *plane, uint64_t bytes, bool halves, el_random *random)
{
    for (uint64_t i = 0; i < bytes; i++) {
        plane[i] = (uint8_t)el_random_below(random, 256);
        if (halves && i % 2) plane[i] &= 0xbf;
        if (!halves && plane[i] == 0x80) plane[i] = 0x81;
    }
}

/* Makes codes of the bytes that are none: a 2 of a 3, the nearest five below. */
static void allow_codes(uint8_t *plane, uint64_t bytes, el_codec codec)
{
    for (uint64_t i = 0; i < bytes; i++) {
        if (codec == EL_CODEC_T2) plane[i] &= (uint8_t) ~(plane[i] & plane[i] >> 1 & 0x55);
        if (codec == EL_CODEC_T1) plane[i] = (uint8_t)(((plane[i] * 243 >> 8) * 256 + 242) / 243);
    }
}

/* Rows of padding have no scale and no offset. */
static void clear_padding(uint8_t *data, const el_matrix_layout *layout, const el_matrix *m)
{
    for (int p = 1; p < EL_PLANES; p++) {
        uint32_t groups = p < 3 ? m->groups : 1;
        uint32_t bytes = m->scale_kind == EL_SCALE_BYTE && p < 3 ? 1 : 2;
        for (uint32_t row = m->rows; layout->plane_bytes[p] && row < m->tiles * EL_TILE; row++) {
            for (uint32_t g = 0; g < groups; g++) {
                size_t i = ((size_t)(row / EL_TILE) * groups + g) * EL_TILE + row % EL_TILE;
                memset(data + layout->plane_offset[p] + i * bytes, 0, bytes);
            }
        }
    }
}

static void fill_matrix(el_tensor *t, uint8_t *data, const el_matrix_layout *layout,
                        el_random *random)
{
    el_matrix m;
    for (int p = 0; p < EL_PLANES; p++) {
        bool halves = p >= 3 || (p >= 1 && t->scale_kind == EL_SCALE_F16);
        fill_plane(data + layout->plane_offset[p], layout->plane_bytes[p], halves, random);
    }
    allow_codes(data, layout->plane_bytes[0], (el_codec)t->codec);
    if (el_matrix_view(&m, data, t->rows, t->cols, (el_codec)t->codec, (el_scale_kind)t->scale_kind,
                       t->group)) {
        abort();
    }
    clear_padding(data, layout, &m);
}

el_tensor el_golden_tensor(uint32_t index)
{
    el_tensor t = {.name = rows[index].name,
                   .rows = rows[index].rows,
                   .cols = rows[index].cols,
                   .group = rows[index].group,
                   .codec = (uint8_t)rows[index].codec,
                   .scale_kind = (uint8_t)rows[index].kind,
                   .rotation = (uint8_t)rows[index].rotation};
    el_random random = {index};
    el_matrix_layout layout = {.bytes = (uint64_t)t.rows * t.cols * sizeof(float)};
    if (t.codec != EL_CODEC_F32 &&
        el_matrix_measure(t.rows, t.cols, rows[index].codec, rows[index].kind, t.group, &layout)) {
        abort();
    }
    uint8_t *data = aligned_alloc(64, (layout.bytes + 63) / 64 * 64);
    if (!data) abort();
    memset(data, 0, layout.bytes);
    if (t.codec == EL_CODEC_F32) {
        for (uint32_t i = 0; i < t.rows * t.cols; i++) {
            ((float *)(void *)data)[i] = el_random_unit(&random);
        }
    } else {
        fill_matrix(&t, data, &layout, &random);
    }
    t.data = data;
    t.bytes = layout.bytes;
    return t;
}

el_config el_golden_config(void)
{
    return (el_config){.architecture = "llama",
                       .name = "Gold\xc3\xa9n",
                       .layers = 2,
                       .dim = 100,
                       .ffn_dim = 49,
                       .heads = 6,
                       .kv_heads = 3,
                       .head_dim = 16,
                       .rotary_dim = 8,
                       .vocab = 6,
                       .context = 77,
                       .rope_base = 12345.5f,
                       .norm_eps = 1e-5f};
}

el_vocab el_golden_vocab(void)
{
    static const uint32_t starts[] = {0, 5, 6, 7, 9, 9, 12};
    static const uint8_t types[] = {3, 1, 1, 1, 5, 4};
    static const el_merge merges[] = {{1, 2}};
    return (el_vocab){.n_tokens = 6,
                      .n_merges = 1,
                      .bytes = (const uint8_t *)"<end>a\xff"
                                                "a\xff"
                                                "\xe2\x82\xac",
                      .starts = starts,
                      .types = types,
                      .merges = merges,
                      .pretokenizer = "gpt2",
                      .chat_template = "{{ '\xe2\x82\xac' }}",
                      .bos = EL_TOKEN_NONE,
                      .eos = 0,
                      .unk = 0,
                      .pad = EL_TOKEN_NONE};
}

el_config el_golden_5_config(void)
{
    el_config c = el_golden_config();
    memcpy(c.architecture, "gemma3", sizeof "gemma3");
    c.vocab = 7;
    c.window = 512;
    c.pattern = 6;
    c.local_rope_base = 1000.5f;
    c.rope_factor = 8;
    c.attention_scale = 0.0625f;
    c.attention_cap = 50;
    c.logit_cap = 30;
    return c;
}

el_config el_golden_6_config(void)
{
    el_config c = el_golden_config();
    memcpy(c.architecture, "phi3", sizeof "phi3");
    c.rope_factor = 4;
    c.rope_context = 32;
    c.rope_gain = 1.125f;
    c.yarn_fast = 24;
    c.yarn_slow = 1.5f;
    return c;
}

el_vocab el_golden_5_vocab(void)
{
    static const uint32_t starts[] = {0, 5, 6, 8, 9, 10, 11, 13};
    static const uint8_t types[] = {3, 6, 1, 1, 1, 1, 1};
    static const uint32_t ranks[] = {0, 0, 7, 8, 9, 2, 1};
    return (el_vocab){.n_tokens = 7,
                      .bytes = (const uint8_t *)"<bos>\xff"
                                                " a"
                                                "a"
                                                " "
                                                "b"
                                                "ab",
                      .starts = starts,
                      .types = types,
                      .ranks = ranks,
                      .pretokenizer = "spm",
                      .chat_template = "",
                      .bos = 0,
                      .eos = EL_TOKEN_NONE,
                      .unk = EL_TOKEN_NONE,
                      .pad = EL_TOKEN_NONE,
                      .add_bos = 1,
                      .space_first = 1};
}

/* Tensors first .. first + count - 1. */
static edgellm_status write_file(const char *path, const el_config *config, const el_vocab *vocab,
                                 uint32_t first, uint32_t count, edgellm_error *err)
{
    el_tm2_writer *writer;
    EL_TRY(el_tm2_create(&writer, path, config, vocab, count, err));
    for (uint32_t i = first; i < first + count; i++) {
        el_tensor t = el_golden_tensor(i);
        edgellm_status status = el_tm2_put(writer, &t, err);
        free((void *)(uintptr_t)t.data);
        if (status != EDGELLM_OK) {
            el_tm2_cancel(writer);
            return status;
        }
    }
    return el_tm2_finish(writer, EL_GOLDEN_MANIFEST, NULL, NULL, err);
}

edgellm_status el_golden_write(const char *path, edgellm_error *err)
{
    const el_config config = el_golden_config();
    const el_vocab vocab = el_golden_vocab();
    return write_file(path, &config, &vocab, 0, el_golden_count, err);
}

edgellm_status el_golden_5_write(const char *path, edgellm_error *err)
{
    const el_config config = el_golden_5_config();
    const el_vocab vocab = el_golden_5_vocab();
    return write_file(path, &config, &vocab, 0, 1, err);
}

edgellm_status el_golden_6_write(const char *path, edgellm_error *err)
{
    const el_config config = el_golden_6_config();
    const el_vocab vocab = el_golden_vocab();
    return write_file(path, &config, &vocab, 0, 1, err);
}

edgellm_status el_golden_7_write(const char *path, bool stretched, edgellm_error *err)
{
    const el_config config = stretched ? el_golden_6_config() : el_golden_config();
    const el_vocab vocab = el_golden_vocab();
    return write_file(path, &config, &vocab, el_golden_count, CHAINED, err);
}
