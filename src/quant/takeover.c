/* takeover.c: a row of the table per ggml type: where its scales lie and how codes are read. */
#include "quant/takeover.h"

#include "base/half.h"
#include "kernel/matrix_pack.h"

typedef struct takeover {
    uint32_t ggml_type;
    el_codec codec;
    uint32_t halves; /* fp16 numbers before the codes: the scale, then the offset if any */
    /* Reads the codes of a block; false if one cannot be held. */
    bool (*unpack)(const uint8_t *packed, int8_t *codes);
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

static const takeover takeovers[] = {
    {EL_GGML_Q4_0, EL_CODEC_Z4, 1, unpack_4},
    {EL_GGML_Q4_1, EL_CODEC_O4, 2, unpack_4},
    {EL_GGML_Q8_0, EL_CODEC_I8, 1, unpack_8},
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

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* One block of 32 weights at (row, block). `half`: the planes of scales and offsets. */
static edgellm_status take_block(const takeover *t, const uint8_t *source, const char *name,
                                 const el_matrix *m, uint32_t row, uint32_t block, uint8_t *codes,
                                 uint16_t *const half[2], edgellm_error *err)
{
    static const char *const what[2] = {"scale", "offset"};
    size_t index = ((size_t)(row / EL_TILE) * m->groups + block) * EL_TILE + row % EL_TILE;
    for (uint32_t i = 0; i < t->halves && i < 2; i++) {
        uint16_t bits = load16(source + (size_t)i * 2);
        if (!el_half_is_finite(bits)) {
            return el_fail(err, EDGELLM_ERR_FORMAT,
                           "tensor '%s', row %u, block %u: its %s is not a finite number", name,
                           row, block, what[i]);
        }
        half[i][index] = bits;
    }
    int8_t unpacked[EL_BLOCK];
    if (!t->unpack(source + (size_t)t->halves * 2, unpacked)) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s', row %u, block %u: holds the code -128, which the numeric "
                       "contract excludes; ask for a number of bits to have it rounded instead",
                       name, row, block);
    }
    el_matrix_set_codes(codes, t->codec, m->blocks, row, block * EL_BLOCK, EL_BLOCK, unpacked);
    return EDGELLM_OK;
}

edgellm_status el_takeover(const el_gguf_tensor *tensor, uint8_t *data, edgellm_error *err)
{
    const takeover *t = find(tensor->type);
    const el_ggml_type *type = el_ggml_type_of(tensor->type);
    el_matrix m;
    el_matrix_layout layout;
    if (!t || !type ||
        el_matrix_measure(tensor->rows, tensor->cols, t->codec, EL_SCALE_F16, EL_TAKEOVER_GROUP,
                          &layout) ||
        el_matrix_view(&m, data, tensor->rows, tensor->cols, t->codec, EL_SCALE_F16,
                       EL_TAKEOVER_GROUP)) {
        return el_fail(err, EDGELLM_ERR_INTERNAL, "tensor '%s' cannot be taken over", tensor->name);
    }
    uint16_t *const half[2] = {(uint16_t *)(void *)(data + layout.plane_offset[1]),
                               (uint16_t *)(void *)(data + layout.plane_offset[2])};
    const uint8_t *source = tensor->data;
    for (uint32_t row = 0; row < m.rows; row++) {
        for (uint32_t block = 0; block < m.blocks; block++, source += type->block_bytes) {
            EL_TRY(take_block(t, source, tensor->name, &m, row, block, data, half, err));
        }
    }
    return EDGELLM_OK;
}
