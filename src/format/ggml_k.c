/*
 * ggml_k.c: see ggml_k.h. All arithmetic is float32 in the order that the `gguf` Python package
 * uses, so bits are equal.
 */
#include "format/ggml_k.h"

#include "base/half.h"

enum { WEIGHTS = 256 };

static float half_at(const uint8_t *p)
{
    return el_float_of_half((uint16_t)(p[0] | p[1] << 8));
}

/* Code i of 256 at 2 bits: those of 128 weights lie in 32 bytes, weight i + 32 k at bit 2 k. */
static int two_bits(const uint8_t *codes, int i)
{
    return codes[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
}

/* Code i of 256 at 4 bits: those of 64 weights lie in 32 bytes, the first 32 in the low halves. */
static int four_bits(const uint8_t *codes, int i)
{
    return codes[i / 64 * 32 + i % 32] >> i % 64 / 32 * 4 & 15;
}

/* Bit i of 256: bit k of 32 bytes belongs to weights 32 k to 32 k + 31. */
static int one_bit(const uint8_t *bits, int i)
{
    return bits[i % 32] >> i / 32 & 1;
}

/* 16 bytes, scale and least value of 16 weights; 64 of codes; d, d of the least values. */
void el_ggml_dequantize_q2_k(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 84, out += WEIGHTS) {
        const float d = half_at(data + 80), least = half_at(data + 82);
        for (int i = 0; i < WEIGHTS; i++) {
            const uint8_t scale = data[i / 16];
            out[i] = d * (float)(scale & 15) * (float)two_bits(data + 16, i) -
                     least * (float)(scale >> 4);
        }
    }
}

/* Scale g of 16 at 6 bits: four low bits in 8 bytes, first the low halves; two high ones in 4
 * bytes, those of scale g + 4 k at bit 2 k. */
static int six_bits(const uint8_t *scales, int g)
{
    const int low = scales[g % 8] >> g / 8 * 4 & 15, high = scales[8 + g % 4] >> g / 4 * 2 & 3;
    return low | high << 4;
}

/* 32 bytes of third bits, 64 of codes, 12 of scales of 16 weights, d. */
void el_ggml_dequantize_q3_k(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 110, out += WEIGHTS) {
        const float d = half_at(data + 108);
        for (int i = 0; i < WEIGHTS; i++) {
            const int code = two_bits(data + 32, i) - (one_bit(data, i) ? 0 : 4);
            out[i] = d * (float)(six_bits(data + 96, i / 16) - 32) * (float)code;
        }
    }
}

/* Scale g of 8 and the least value beside it, at 6 bits: of the first four, in bytes g and g + 4;
 * of the others, four low bits of both in byte g + 4, two high ones at the top of the first four's.
 */
static int scale_of(const uint8_t *scales, int g)
{
    if (g < 4) return scales[g] & 63;
    return (scales[g + 4] & 15) | (scales[g - 4] >> 6) << 4;
}

static int least_of(const uint8_t *scales, int g)
{
    if (g < 4) return scales[g + 4] & 63;
    return scales[g + 4] >> 4 | (scales[g] >> 6) << 4;
}

/* d, d of the least values, 12 bytes of scales of 32 weights, 128 of codes. */
void el_ggml_dequantize_q4_k(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 144, out += WEIGHTS) {
        const float d = half_at(data), least = half_at(data + 2);
        for (int i = 0; i < WEIGHTS; i++) {
            const float scale = d * (float)scale_of(data + 4, i / 32);
            out[i] =
                scale * (float)four_bits(data + 16, i) - least * (float)least_of(data + 4, i / 32);
        }
    }
}

/* As Q4_K, with 32 bytes of fifth bits before the codes. */
void el_ggml_dequantize_q5_k(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 176, out += WEIGHTS) {
        const float d = half_at(data), least = half_at(data + 2);
        for (int i = 0; i < WEIGHTS; i++) {
            const float scale = d * (float)scale_of(data + 4, i / 32);
            const int code = four_bits(data + 48, i) | one_bit(data + 16, i) << 4;
            out[i] = scale * (float)code - least * (float)least_of(data + 4, i / 32);
        }
    }
}

/* 128 bytes of low bits, the codes of 128 weights in 64; 64 of two high bits; 16 signed scales of
 * 16 weights; d. */
void el_ggml_dequantize_q6_k(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 210, out += WEIGHTS) {
        const float d = half_at(data + 208);
        for (int i = 0; i < WEIGHTS; i++) {
            const int low = data[i / 128 * 64 + i % 64] >> i % 128 / 64 * 4 & 15;
            const int code = (low | two_bits(data + 128, i) << 4) - 32;
            out[i] = d * (float)(int8_t)data[192 + i / 16] * (float)code;
        }
    }
}

/* ---- places in a list of values ------------------------------------------------------------ */

static const int8_t uneven[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t small_floats[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* Two weights in each of n bytes, the first half of all in their low bits. */
static void look_up(const int8_t values[16], const uint8_t *codes, int n, float d, float *out)
{
    for (int i = 0; i < n; i++) {
        out[i] = d * (float)values[codes[i] & 15];
        out[i + n] = d * (float)values[codes[i] >> 4];
    }
}

/* d, then 16 bytes of codes. */
void el_ggml_dequantize_iq4_nl(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 18, out += 32)
        look_up(uneven, data + 2, 16, half_at(data), out);
}

/* d; two high bits of 8 scales in 2 bytes, four low bits of each in 4; 128 bytes of codes. */
void el_ggml_dequantize_iq4_xs(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 136, out += WEIGHTS) {
        const unsigned high = data[2] | (unsigned)data[3] << 8;
        for (size_t g = 0; g < WEIGHTS / 32; g++) {
            const int low = data[4 + g / 2] >> g % 2 * 4 & 15;
            const int scale = (low | (int)(high >> 2 * g & 3) << 4) - 32;
            look_up(uneven, data + 8 + 16 * g, 16, half_at(data) * (float)scale, out + 32 * g);
        }
    }
}

/* Half of 2^(e - 127): the values of the list are doubled. Below 2 it is subnormal. */
static float half_of_power(unsigned e)
{
    return el_float_of_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* The power of two, then 16 bytes of codes. */
void el_ggml_dequantize_mxfp4(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 17, out += 32)
        look_up(small_floats, data + 1, 16, half_of_power(data[0]), out);
}

/* Half of a float of 4 bits of exponent and 3 below them, whose highest bit counts for nothing. */
static float half_of_eight_bits(uint8_t x)
{
    const int exponent = x >> 3 & 15, rest = x & 7;
    if (x == 0x7f) return 0;
    const float fine = exponent == 0 ? (float)rest : (float)(8 + rest) * (float)(1 << exponent) / 2;
    return fine / 1024;
}

/* Four scales of 16 weights each, then 8 bytes of codes of each. */
void el_ggml_dequantize_nvfp4(const uint8_t *data, size_t blocks, float *out)
{
    for (size_t b = 0; b < blocks; b++, data += 36)
        for (size_t g = 0; g < 4; g++, out += 16)
            look_up(small_floats, data + 4 + 8 * g, 8, half_of_eight_bits(data[g]), out);
}
