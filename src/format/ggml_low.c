/* ggml_low.c: see ggml_low.h. */
#include "format/ggml_low.h"

#include "base/half.h"

/* ---- codes --------------------------------------------------------------------------------- */

/* `n` bytes of fives, `count` codes in each: the first code of all bytes, then the second. A code
 * is what 3 times the byte carries out of 8 bits; the bits that stay hold the next ones. */
static void unpack_threes(const uint8_t *bytes, int n, int count, int8_t *codes)
{
    for (int i = 0; i < n; i++) {
        unsigned left = bytes[i];
        for (int k = 0; k < count; k++) {
            codes[k * n + i] = (int8_t)(left * 3 >> 8);
            left = left * 3 & 255;
        }
    }
}

/* Neighbours of `bits` bits share a byte, the first in the lowest. */
static void unpack_neighbours(const uint8_t *bytes, int bits, int n, int8_t *codes)
{
    const int each = 8 / bits;
    for (int i = 0; i < n; i++)
        codes[i] = (int8_t)(bytes[i / each] >> i % each * bits & ((1 << bits) - 1));
}

/* 32 and 16 bytes of five codes each, 4 bytes of four; then d. */
void el_ggml_codes_tq1_0(const uint8_t *block, int8_t *codes)
{
    unpack_threes(block, 32, 5, codes);
    unpack_threes(block + 32, 16, 5, codes + 160);
    unpack_threes(block + 48, 4, 4, codes + 240);
}

/* 16 and 8 bytes of five codes each, 2 bytes of four; then d. */
void el_ggml_codes_ptq1_0(const uint8_t *block, int8_t *codes)
{
    unpack_threes(block, 16, 5, codes);
    unpack_threes(block + 16, 8, 5, codes + 80);
    unpack_threes(block + 24, 2, 4, codes + 120);
}

/* Twice 32 bytes of four codes: weight i + 32 k of them at bit 2 k of byte i; then d. */
void el_ggml_codes_tq2_0(const uint8_t *block, int8_t *codes)
{
    for (int i = 0; i < 256; i++)
        codes[i] = (int8_t)(block[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3);
}

/* d, then 16 bytes. */
void el_ggml_codes_q1_0(const uint8_t *block, int8_t *codes)
{
    unpack_neighbours(block + 2, 1, 128, codes);
}

/* d, then 16 bytes. */
void el_ggml_codes_q2_0(const uint8_t *block, int8_t *codes)
{
    unpack_neighbours(block + 2, 2, 64, codes);
}

/* d, then 32 bytes. */
void el_ggml_codes_pq2_0(const uint8_t *block, int8_t *codes)
{
    unpack_neighbours(block + 2, 2, 128, codes);
}

/* ---- weights ------------------------------------------------------------------------------- */

typedef struct low {
    int weights, bytes, scale_at; /* of a block */
    int mul, bias;                /* level = mul * code + bias */
    void (*codes)(const uint8_t *block, int8_t *codes);
} low;

static void dequantize(const low *how, const uint8_t *data, size_t blocks, float *out)
{
    int8_t codes[EL_GGML_LOW_MOST];
    for (size_t b = 0; b < blocks; b++, data += how->bytes, out += how->weights) {
        const uint8_t *scale = data + how->scale_at;
        const float d = el_float_of_half((uint16_t)(scale[0] | scale[1] << 8));
        how->codes(data, codes);
        for (int i = 0; i < how->weights; i++)
            out[i] = d * (float)(how->mul * codes[i] + how->bias);
    }
}

void el_ggml_dequantize_tq1_0(const uint8_t *data, size_t blocks, float *out)
{
    static const low how = {256, 54, 52, 1, -1, el_ggml_codes_tq1_0};
    dequantize(&how, data, blocks, out);
}

void el_ggml_dequantize_tq2_0(const uint8_t *data, size_t blocks, float *out)
{
    static const low how = {256, 66, 64, 1, -1, el_ggml_codes_tq2_0};
    dequantize(&how, data, blocks, out);
}

void el_ggml_dequantize_q1_0(const uint8_t *data, size_t blocks, float *out)
{
    static const low how = {128, 18, 0, 2, -1, el_ggml_codes_q1_0};
    dequantize(&how, data, blocks, out);
}

void el_ggml_dequantize_q2_0(const uint8_t *data, size_t blocks, float *out)
{
    static const low how = {64, 18, 0, 1, -1, el_ggml_codes_q2_0};
    dequantize(&how, data, blocks, out);
}

void el_ggml_dequantize_pq2_0(const uint8_t *data, size_t blocks, float *out)
{
    static const low how = {128, 34, 0, 1, -1, el_ggml_codes_pq2_0};
    dequantize(&how, data, blocks, out);
}

void el_ggml_dequantize_ptq1_0(const uint8_t *data, size_t blocks, float *out)
{
    static const low how = {128, 28, 26, 1, -1, el_ggml_codes_ptq1_0};
    dequantize(&how, data, blocks, out);
}
