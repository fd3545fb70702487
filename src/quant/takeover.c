/* takeover.c: a row of the table per ggml type: where its scales lie and how codes are read. */
#include "quant/takeover.h"

#include "base/half.h"
#include "kernel/matrix_pack.h"

#define MOST_WEIGHTS EL_GGML_TERNARY /* of a block */

typedef struct takeover {
    uint32_t ggml_type;
    el_codec codec;
    uint32_t group;     /* a divisor of the weights of a block: its scale stands for each group */
    uint32_t halves;    /* fp16 numbers: the scale, then the offset if any */
    uint32_t halves_at; /* of a block */
    uint32_t codes_at;
    /* Reads the codes of a block; false if one cannot be held. */
    bool (*unpack)(const uint8_t *packed, int8_t *codes);
    const char *refused; /* the code that cannot */
} takeover;

/* Weight i in the low half of byte i, weight i + 16 in the high half. */
static bool unpack_4(const uint8_t *packed, int8_t *codes)
{
    for (int i = 0; i < EL_BLOCK / 2; i++) {
        codes[i] = (int8_t)(packed[i] & 15);
        codes[i + EL_BLOCK / 2] = (int8_t)(packed[i] >> 4);
    }
    return true;
}

static bool unpack_8(const uint8_t *packed, int8_t *codes)
{
    bool good = true;
    for (int i = 0; i < EL_BLOCK; i++) {
        codes[i] = (int8_t)packed[i];
        good = good && codes[i] != -128;
    }
    return good;
}

static bool unpack_tq1_0(const uint8_t *packed, int8_t *codes)
{
    el_ggml_codes_tq1_0(packed, codes);
    return true;
}

static bool unpack_tq2_0(const uint8_t *packed, int8_t *codes)
{
    bool good = true;
    el_ggml_codes_tq2_0(packed, codes);
    for (int i = 0; i < EL_GGML_TERNARY; i++)
        good = good && codes[i] != 3;
    return good;
}

static const takeover takeovers[] = {
    {EL_GGML_Q4_0, EL_CODEC_Z4, 32, 1, 0, 2, unpack_4, NULL},
    {EL_GGML_Q4_1, EL_CODEC_O4, 32, 2, 0, 4, unpack_4, NULL},
    {EL_GGML_Q8_0, EL_CODEC_I8, 32, 1, 0, 2, unpack_8, "-128, which the numeric contract excludes"},
    {EL_GGML_TQ1_0, EL_CODEC_T1, 128, 1, 52, 0, unpack_tq1_0, NULL},
    {EL_GGML_TQ2_0, EL_CODEC_T2, 128, 1, 64, 0, unpack_tq2_0, "3, which is none of three levels"},
};

static const takeover *find(uint32_t ggml_type)
{
    for (size_t i = 0; i < sizeof takeovers / sizeof *takeovers; i++) {
        if (takeovers[i].ggml_type == ggml_type) return &takeovers[i];
    }
    return NULL;
}

el_codec el_takeover_codec(uint32_t ggml_type)
{
    const takeover *t = find(ggml_type);
    return t ? t->codec : EL_CODEC_F32;
}

uint32_t el_takeover_group(uint32_t ggml_type)
{
    const takeover *t = find(ggml_type);
    return t ? t->group : 0;
}

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* What is taken over, and where to. */
typedef struct work {
    const takeover *how;
    const el_ggml_type *type;
    const char *name;
    el_matrix m;
    uint8_t *codes;
    uint16_t *half[2]; /* the planes of scales and offsets */
} work;

static edgellm_status take_halves(const work *w, const uint8_t *source, uint32_t row,
                                  uint32_t block, edgellm_error *err)
{
    static const char *const what[2] = {"scale", "offset"};
    const uint32_t count = w->type->block_weights / w->how->group;
    size_t first = (size_t)(row / EL_TILE) * w->m.groups + (size_t)block * count;
    for (uint32_t i = 0; i < w->how->halves && i < 2; i++) {
        uint16_t bits = load16(source + w->how->halves_at + (size_t)i * 2);
        if (!el_half_is_finite(bits)) {
            return el_fail(err, EDGELLM_ERR_FORMAT,
                           "tensor '%s', row %u, block %u: its %s is not a finite number", w->name,
                           row, block, what[i]);
        }
        for (uint32_t g = 0; g < count; g++)
            w->half[i][(first + g) * EL_TILE + row % EL_TILE] = bits;
    }
    return EDGELLM_OK;
}

static edgellm_status take_block(const work *w, const uint8_t *source, uint32_t row, uint32_t block,
                                 edgellm_error *err)
{
    int8_t unpacked[MOST_WEIGHTS];
    const uint32_t weights = w->type->block_weights;
    EL_TRY(take_halves(w, source, row, block, err));
    if (!w->how->unpack(source + w->how->codes_at, unpacked)) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s', row %u, block %u: holds the code %s; ask for a number of bits "
                       "to have it rounded instead",
                       w->name, row, block, w->how->refused);
    }
    el_matrix_set_codes(w->codes, w->how->codec, w->m.blocks, row, block * weights, weights,
                        unpacked);
    return EDGELLM_OK;
}

edgellm_status el_takeover(const el_gguf_tensor *tensor, uint8_t *data, edgellm_error *err)
{
    work w = {find(tensor->type), el_ggml_type_of(tensor->type), tensor->name, .codes = data};
    el_matrix_layout layout;
    if (!w.how || !w.type || tensor->cols % w.type->block_weights != 0 ||
        el_matrix_measure(tensor->rows, tensor->cols, w.how->codec, EL_SCALE_F16, w.how->group,
                          &layout) ||
        el_matrix_view(&w.m, data, tensor->rows, tensor->cols, w.how->codec, EL_SCALE_F16,
                       w.how->group)) {
        return el_fail(err, EDGELLM_ERR_INTERNAL, "tensor '%s' cannot be taken over", tensor->name);
    }
    for (int i = 0; i < 2; i++)
        w.half[i] = (uint16_t *)(void *)(data + layout.plane_offset[1 + i]);
    const uint8_t *source = tensor->data;
    for (uint32_t row = 0; row < w.m.rows; row++) {
        for (uint32_t block = 0; block < tensor->cols / w.type->block_weights; block++) {
            EL_TRY(take_block(&w, source, row, block, err));
            source += w.type->block_bytes;
        }
    }
    return EDGELLM_OK;
}
