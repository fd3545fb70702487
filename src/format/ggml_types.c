/*
 * ggml_types.c: one row per ggml block type. A type is supported when its row has a function; a
 * row without one only gives the type a name for error messages. To add a type: write its
 * function, fill in its row, add it to tests/data/ggml_blocks.py.
 *
 * All arithmetic is float32 in the order that the `gguf` Python package uses, so bits are equal.
 */
#include "format/ggml_types.h"

#include <string.h>

#include "base/half.h"
#include "format/ggml_iq.h"
#include "format/ggml_k.h"
#include "format/ggml_low.h"

#define BLOCK 32 /* weights in a block of every simple quantised type */

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t load32(const uint8_t *p)
{
    return load16(p) | (uint32_t)load16(p + 2) << 16;
}

static void dequantize_f32(const uint8_t *data, size_t blocks, float *out)
{
    memcpy(out, data, blocks * sizeof *out);
}

static void dequantize_f16(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t i = 0; i < blocks; i++)
        out[i] = el_float_of_half(load16(data + 2 * i));
}

static void dequantize_bf16(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t i = 0; i < blocks; i++)
        out[i] = el_float_of_bf16(load16(data + 2 * i));
}

/* d, then 16 bytes: weight i in the low half of byte i, weight i + 16 in the high half. */
static void dequantize_q4_0(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 18, out += BLOCK) {
        float d = el_float_of_half(load16(data));
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((data[2 + i] & 15) - 8);
            out[i + 16] = d * (float)((data[2 + i] >> 4) - 8);
        }
    }
}

/* d, m, then as Q4_0. */
static void dequantize_q4_1(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 20, out += BLOCK) {
        float d = el_float_of_half(load16(data)), m = el_float_of_half(load16(data + 2));
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(data[4 + i] & 15) + m;
            out[i + 16] = d * (float)(data[4 + i] >> 4) + m;
        }
    }
}

/* The fifth bit of weight i is bit i of a 32-bit word. */
static int with_fifth_bit(int low, uint32_t high, int i)
{
    return low | (int)(high >> i & 1) << 4;
}

/* d, 32 fifth bits, then as Q4_0. */
static void dequantize_q5_0(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 22, out += BLOCK) {
        float d = el_float_of_half(load16(data));
        uint32_t high = load32(data + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(with_fifth_bit(data[6 + i] & 15, high, i) - 16);
            out[i + 16] = d * (float)(with_fifth_bit(data[6 + i] >> 4, high, i + 16) - 16);
        }
    }
}

/* d, m, 32 fifth bits, then as Q4_0. */
static void dequantize_q5_1(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 24, out += BLOCK) {
        float d = el_float_of_half(load16(data)), m = el_float_of_half(load16(data + 2));
        uint32_t high = load32(data + 4);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)with_fifth_bit(data[8 + i] & 15, high, i) + m;
            out[i + 16] = d * (float)with_fifth_bit(data[8 + i] >> 4, high, i + 16) + m;
        }
    }
}

/* d, then 32 signed bytes. */
static void dequantize_q8_0(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 34, out += BLOCK) {
        float d = el_float_of_half(load16(data));
        for (int i = 0; i < BLOCK; i++)
            out[i] = d * (float)(int8_t)data[2 + i];
    }
}

/* Ids 4, 5, 31..33 and 36..38 are retired upstream; those from 142 on are another project's. */
static const el_ggml_type types[] = {
    {EL_GGML_F32, "F32", 1, 4, dequantize_f32},
    {EL_GGML_F16, "F16", 1, 2, dequantize_f16},
    {EL_GGML_Q4_0, "Q4_0", 32, 18, dequantize_q4_0},
    {EL_GGML_Q4_1, "Q4_1", 32, 20, dequantize_q4_1},
    {4, "Q4_2", 0, 0, NULL},
    {5, "Q4_3", 0, 0, NULL},
    {EL_GGML_Q5_0, "Q5_0", 32, 22, dequantize_q5_0},
    {EL_GGML_Q5_1, "Q5_1", 32, 24, dequantize_q5_1},
    {EL_GGML_Q8_0, "Q8_0", 32, 34, dequantize_q8_0},
    {9, "Q8_1", 0, 0, NULL},
    {10, "Q2_K", 256, 84, el_ggml_dequantize_q2_k},
    {11, "Q3_K", 256, 110, el_ggml_dequantize_q3_k},
    {12, "Q4_K", 256, 144, el_ggml_dequantize_q4_k},
    {13, "Q5_K", 256, 176, el_ggml_dequantize_q5_k},
    {14, "Q6_K", 256, 210, el_ggml_dequantize_q6_k},
    {15, "Q8_K", 0, 0, NULL},
    {16, "IQ2_XXS", 256, 66, el_ggml_dequantize_iq2_xxs},
    {17, "IQ2_XS", 256, 74, el_ggml_dequantize_iq2_xs},
    {18, "IQ3_XXS", 256, 98, el_ggml_dequantize_iq3_xxs},
    {19, "IQ1_S", 256, 50, el_ggml_dequantize_iq1_s},
    {20, "IQ4_NL", 32, 18, el_ggml_dequantize_iq4_nl},
    {21, "IQ3_S", 256, 110, el_ggml_dequantize_iq3_s},
    {22, "IQ2_S", 256, 82, el_ggml_dequantize_iq2_s},
    {23, "IQ4_XS", 256, 136, el_ggml_dequantize_iq4_xs},
    {24, "I8", 0, 0, NULL},
    {25, "I16", 0, 0, NULL},
    {26, "I32", 0, 0, NULL},
    {27, "I64", 0, 0, NULL},
    {28, "F64", 0, 0, NULL},
    {29, "IQ1_M", 256, 56, el_ggml_dequantize_iq1_m},
    {EL_GGML_BF16, "BF16", 1, 2, dequantize_bf16},
    {31, "Q4_0_4_4", 0, 0, NULL},
    {32, "Q4_0_4_8", 0, 0, NULL},
    {33, "Q4_0_8_8", 0, 0, NULL},
    {EL_GGML_TQ1_0, "TQ1_0", 256, 54, el_ggml_dequantize_tq1_0},
    {EL_GGML_TQ2_0, "TQ2_0", 256, 66, el_ggml_dequantize_tq2_0},
    {EL_GGML_I2_S, "I2_S", 0, 0, NULL},
    {37, "IQ4_NL_4_8", 0, 0, NULL},
    {38, "IQ4_NL_8_8", 0, 0, NULL},
    {39, "MXFP4", 32, 17, el_ggml_dequantize_mxfp4},
    {40, "NVFP4", 64, 36, el_ggml_dequantize_nvfp4},
    {EL_GGML_Q1_0, "Q1_0", 128, 18, el_ggml_dequantize_q1_0},
    {EL_GGML_Q2_0, "Q2_0", 64, 18, el_ggml_dequantize_q2_0},
    {EL_GGML_PQ2_0, "PQ2_0", 128, 34, el_ggml_dequantize_pq2_0},
    {EL_GGML_PTQ1_0, "PTQ1_0", 128, 28, el_ggml_dequantize_ptq1_0},
    {EL_GGML_LEVELS, "three levels", 0, 0, NULL},
};

static const el_ggml_type *row_of(uint32_t id)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].id == id) return &types[i];
    }
    return NULL;
}

const el_ggml_type *el_ggml_type_of(uint32_t id)
{
    const el_ggml_type *type = row_of(id);
    return type && type->dequantize ? type : NULL;
}

const char *el_ggml_type_name(uint32_t id)
{
    const el_ggml_type *type = row_of(id);
    return type ? type->name : "unknown";
}
