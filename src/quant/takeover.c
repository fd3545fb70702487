/* takeover.c: a row of the table per ggml type: where its scales lie and how codes are read. */
#include "quant/takeover.h"

#include "base/half.h"
#include "format/ggml_low.h"
#include "kernel/matrix_pack.h"
#include "quant/ternary.h"

#define MOST_WEIGHTS EL_GGML_LOW_MOST /* of a block */

typedef struct takeover {
    uint32_t ggml_type;
    el_codec codec;
    uint32_t group;     /* a divisor of the weights of a block: its scale stands for each group */
    uint32_t halves;    /* fp16 numbers: the scale, then the offset if any */
    uint32_t halves_at; /* of a block */
    /* Reads the codes of a block; false if one cannot be held. */
    bool (*unpack)(const uint8_t *block, int8_t *codes);
    const char *refused; /* the code that cannot; NULL: the next row of the type holds it */
    bool less;           /* the offset is not in the file: it is -scale */
} takeover;

/* Weight i in the low half of byte i, weight i + 16 in the high half. */
static void unpack_4(const uint8_t *packed, int8_t *codes)
{
    for (int i = 0; i < EL_BLOCK / 2; i++) {
        codes[i] = (int8_t)(packed[i] & 15);
        codes[i + EL_BLOCK / 2] = (int8_t)(packed[i] >> 4);
    }
}

static bool unpack_q4_0(const uint8_t *block, int8_t *codes)
{
    unpack_4(block + 2, codes);
    return true;
}

static bool unpack_q4_1(const uint8_t *block, int8_t *codes)
{
    unpack_4(block + 4, codes);
    return true;
}

static bool unpack_q8_0(const uint8_t *block, int8_t *codes)
{
    bool good = true;
    for (int i = 0; i < EL_BLOCK; i++) {
        codes[i] = (int8_t)block[2 + i];
        good = good && codes[i] != -128;
    }
    return good;
}

static bool unpack_tq1_0(const uint8_t *block, int8_t *codes)
{
    el_ggml_codes_tq1_0(block, codes);
    return true;
}

static bool unpack_ptq1_0(const uint8_t *block, int8_t *codes)
{
    el_ggml_codes_ptq1_0(block, codes);
    return true;
}

static bool unpack_q1_0(const uint8_t *block, int8_t *codes)
{
    el_ggml_codes_q1_0(block, codes);
    return true;
}

static bool unpack_q2_0(const uint8_t *block, int8_t *codes)
{
    el_ggml_codes_q2_0(block, codes);
    return true;
}

static bool unpack_pq2_0(const uint8_t *block, int8_t *codes)
{
    el_ggml_codes_pq2_0(block, codes);
    return true;
}

static bool three_levels(const int8_t *codes, int n)
{
    bool good = true;
    for (int i = 0; i < n; i++)
        good = good && codes[i] != 3;
    return good;
}

static bool unpack_tq2_0(const uint8_t *block, int8_t *codes)
{
    el_ggml_codes_tq2_0(block, codes);
    return three_levels(codes, 256);
}

static bool unpack_three_of_q2_0(const uint8_t *block, int8_t *codes)
{
    el_ggml_codes_q2_0(block, codes);
    return three_levels(codes, 64);
}

static bool unpack_three_of_pq2_0(const uint8_t *block, int8_t *codes)
{
    el_ggml_codes_pq2_0(block, codes);
    return three_levels(codes, 128);
}

static const char least[] = "-128, which the numeric contract excludes";
static const char fourth[] = "3, which is none of three levels";

static const takeover takeovers[] = {
    {EL_GGML_Q4_0, EL_CODEC_Z4, 32, 1, 0, unpack_q4_0, NULL, false},
    {EL_GGML_Q4_1, EL_CODEC_O4, 32, 2, 0, unpack_q4_1, NULL, false},
    {EL_GGML_Q8_0, EL_CODEC_I8, 32, 1, 0, unpack_q8_0, least, false},
    {EL_GGML_Q1_0, EL_CODEC_B1, 128, 1, 0, unpack_q1_0, NULL, false},
    {EL_GGML_Q2_0, EL_CODEC_T2, 64, 1, 0, unpack_three_of_q2_0, NULL, false},
    {EL_GGML_Q2_0, EL_CODEC_O2, 64, 1, 0, unpack_q2_0, NULL, true},
    {EL_GGML_PQ2_0, EL_CODEC_T2, 128, 1, 0, unpack_three_of_pq2_0, NULL, false},
    {EL_GGML_PQ2_0, EL_CODEC_O2, 128, 1, 0, unpack_pq2_0, NULL, true},
    {EL_GGML_TQ1_0, EL_CODEC_T1, 128, 1, 52, unpack_tq1_0, NULL, false},
    {EL_GGML_TQ2_0, EL_CODEC_T2, 128, 1, 64, unpack_tq2_0, fourth, false},
    {EL_GGML_PTQ1_0, EL_CODEC_T1, 128, 1, 26, unpack_ptq1_0, NULL, false},
};

enum { TAKEOVERS = sizeof takeovers / sizeof takeovers[0] };

/* What the row refuses without a word, another holds. */
static bool holds(const takeover *row, const el_gguf_tensor *tensor)
{
    const bool last = row + 1 == takeovers + TAKEOVERS || row[1].ggml_type != row->ggml_type;
    const uint32_t bytes = el_ggml_type_of(tensor->type)->block_bytes;
    int8_t codes[MOST_WEIGHTS];
    if (last) return true;
    for (uint64_t at = 0; at < tensor->bytes; at += bytes)
        if (!row->unpack(tensor->data + at, codes)) return false;
    return true;
}

static const takeover *find(const el_gguf_tensor *tensor, el_codec codec)
{
    for (int i = 0; i < TAKEOVERS; i++)
        if (takeovers[i].ggml_type == tensor->type && takeovers[i].codec == codec)
            return &takeovers[i];
    return NULL;
}

edgellm_status el_takeover_how(const el_gguf_tensor *tensor, bool two_bits, el_taken *how,
                               edgellm_error *err)
{
    for (int i = 0; i < TAKEOVERS; i++) {
        if (takeovers[i].ggml_type != tensor->type || !holds(&takeovers[i], tensor)) continue;
        if (two_bits && takeovers[i].codec == EL_CODEC_T1) continue; /* as weights of any type */
        *how = (el_taken){takeovers[i].codec, takeovers[i].group, true};
        return EDGELLM_OK;
    }
    el_ternary found;
    EL_TRY(el_ternary_look(tensor, &found, err));
    const el_codec levels = two_bits ? EL_CODEC_T2 : EL_CODEC_T1;
    *how = (el_taken){found.holds ? levels : EL_CODEC_F32, found.group, found.exact};
    return EDGELLM_OK;
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

/* A scale or an offset (plane 0 and 1) of all groups of a block. */
static void put_half(const work *w, int plane, uint32_t row, uint32_t block, uint16_t bits)
{
    const uint32_t count = w->type->block_weights / w->how->group;
    const size_t first = (size_t)(row / EL_TILE) * w->m.groups + (size_t)block * count;
    for (uint32_t g = 0; g < count; g++)
        w->half[plane][(first + g) * EL_TILE + row % EL_TILE] = bits;
}

static edgellm_status take_halves(const work *w, const uint8_t *source, uint32_t row,
                                  uint32_t block, edgellm_error *err)
{
    static const char *const what[2] = {"scale", "offset"};
    for (uint32_t i = 0; i < w->how->halves && i < 2; i++) {
        uint16_t bits = load16(source + w->how->halves_at + (size_t)i * 2);
        if (!el_half_is_finite(bits)) {
            return el_fail(err, EDGELLM_ERR_FORMAT,
                           "tensor '%s', row %u, block %u: its %s is not a finite number", w->name,
                           row, block, what[i]);
        }
        put_half(w, (int)i, row, block, bits);
        if (w->how->less) put_half(w, 1, row, block, bits ^ 0x8000);
    }
    return EDGELLM_OK;
}

static edgellm_status take_block(const work *w, const uint8_t *source, uint32_t row, uint32_t block,
                                 edgellm_error *err)
{
    int8_t unpacked[MOST_WEIGHTS];
    const uint32_t weights = w->type->block_weights;
    EL_TRY(take_halves(w, source, row, block, err));
    if (!w->how->unpack(source, unpacked)) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s', row %u, block %u: holds the code %s; ask for a number of bits "
                       "to have it rounded instead",
                       w->name, row, block, w->how->refused ? w->how->refused : fourth);
    }
    el_matrix_set_codes(w->codes, w->how->codec, w->m.blocks, row, block * weights, weights,
                        unpacked);
    return EDGELLM_OK;
}

edgellm_status el_takeover(const el_gguf_tensor *tensor, const el_taken *how, uint8_t *data,
                           edgellm_error *err)
{
    work w = {find(tensor, how->codec), el_ggml_type_of(tensor->type), tensor->name, .codes = data};
    el_matrix_layout layout;
    const bool has_levels = how->codec == EL_CODEC_T1 || how->codec == EL_CODEC_T2;
    if (has_levels && !w.how) return el_ternary_take(tensor, how->codec, how->group, data, err);
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
