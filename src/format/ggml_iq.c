/*
 * ggml_iq.c: see ggml_iq.h. A list is kept as a set of numbers (ggml_grids.h) and spread out where
 * blocks are to be read; that costs as much as reading some ten blocks. All arithmetic is float32
 * in the order that the `gguf` Python package uses, so bits are equal.
 */
#include "format/ggml_iq.h"

#include "base/half.h"
#include "format/ggml_grids.h"

enum { WEIGHTS = 256, MOST_VECTORS = 2048 };

_Static_assert((int)IQ1_S_VECTORS <= (int)MOST_VECTORS, "room for the longest list");

static unsigned load16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static uint32_t load32(const uint8_t *p)
{
    return load16(p) | (uint32_t)load16(p + 2) << 16;
}

static float half_at(const uint8_t *p)
{
    return el_float_of_half((uint16_t)load16(p));
}

/* Half of a byte: the lower first. */
static int nibble(const uint8_t *bytes, int i)
{
    return bytes[i / 2] >> i % 2 * 4 & 15;
}

/* ---- lists of vectors ---------------------------------------------------------------------- */

/* A list spread out: vector n as a number. */
typedef struct list {
    uint16_t number[MOST_VECTORS];
} list;

static list spread(const uint64_t *set, unsigned words)
{
    list to = {{0}};
    unsigned n = 0;
    for (unsigned w = 0; w < words; w++)
        for (uint64_t left = set[w]; left != 0; left &= left - 1)
            to.number[n++] = (uint16_t)(w * 64 + (unsigned)__builtin_ctzll(left));
    return to;
}

#define SPREAD(set) spread(set, sizeof(set) / sizeof(set)[0])

/* Eight weights of +-d times the values that the digits of a vector of base 3 stand for. */
static void put_eight(unsigned number, const float values[3], float d, unsigned signs, float *out)
{
    for (int i = 0; i < 8; i++, number /= 3, signs >>= 1) {
        const float x = d * values[number % 3];
        out[i] = signs & 1 ? -x : x;
    }
}

/* The same for four weights and digits of base 8. */
static void put_four(unsigned number, const float values[8], float d, unsigned signs, float *out)
{
    for (int i = 0; i < 4; i++, number >>= 3, signs >>= 1) {
        const float x = d * values[number & 7];
        out[i] = signs & 1 ? -x : x;
    }
}

/* Seven signs of eight: an even number of them is negative. */
static unsigned eight_signs(unsigned seven)
{
    return seven | ((unsigned)__builtin_popcount(seven) & 1) << 7;
}

/* ---- two bits ------------------------------------------------------------------------------ */

static const float values_of_2[3] = {8, 25, 43};

static float scale_of_2(float d, int scale)
{
    return d * (0.5f + (float)scale) * 0.25f;
}

/* d; of each 32 weights four places of a byte, then 4 x 7 bits of signs below 4 bits of scale. */
void el_ggml_dequantize_iq2_xxs(const uint8_t *data, size_t blocks, float *out)
{
    const list vectors = SPREAD(iq2_xxs_set);
    for (size_t b = 0; b < blocks; b++, data += 66) {
        for (int i = 0; i < WEIGHTS / 8; i++, out += 8) {
            const uint8_t *places = data + 2 + (size_t)(i / 4) * 8;
            const uint32_t rest = load32(places + 4);
            const float d = scale_of_2(half_at(data), (int)(rest >> 28));
            put_eight(vectors.number[places[i % 4]], values_of_2, d,
                      eight_signs(rest >> i % 4 * 7 & 127), out);
        }
    }
}

/* d; of each 8 weights 9 bits of place below 7 of signs; 4 bits of scale of each 16. */
void el_ggml_dequantize_iq2_xs(const uint8_t *data, size_t blocks, float *out)
{
    const list vectors = SPREAD(iq2_xs_set);
    for (size_t b = 0; b < blocks; b++, data += 74) {
        for (int i = 0; i < WEIGHTS / 8; i++, out += 8) {
            const unsigned code = load16(data + 2 + (size_t)i * 2);
            const float d = scale_of_2(half_at(data), nibble(data + 66, i / 2));
            put_eight(vectors.number[code & 511], values_of_2, d, eight_signs(code >> 9), out);
        }
    }
}

/* d; of each 8 weights 8 bits of place, then their signs, then two high bits of places; 4 bits of
 * scale of each 16. */
void el_ggml_dequantize_iq2_s(const uint8_t *data, size_t blocks, float *out)
{
    const list vectors = SPREAD(iq2_s_set);
    for (size_t b = 0; b < blocks; b++, data += 82) {
        for (int i = 0; i < WEIGHTS / 8; i++, out += 8) {
            const unsigned high = data[66 + i / 4] >> i % 4 * 2 & 3;
            const float d = scale_of_2(half_at(data), nibble(data + 74, i / 2));
            put_eight(vectors.number[data[2 + i] | high << 8], values_of_2, d, data[34 + i], out);
        }
    }
}

/* ---- three bits ---------------------------------------------------------------------------- */

/* d; of each 4 weights a place; of each 32, 4 x 7 bits of signs below 4 bits of scale. */
void el_ggml_dequantize_iq3_xxs(const uint8_t *data, size_t blocks, float *out)
{
    static const float values[8] = {4, 12, 20, 28, 36, 44, 52, 62};
    const list vectors = SPREAD(iq3_xxs_set);
    for (size_t b = 0; b < blocks; b++, data += 98) {
        for (int i = 0; i < WEIGHTS / 4; i++, out += 4) {
            const uint32_t rest = load32(data + 66 + (size_t)(i / 8) * 4);
            const unsigned signs = eight_signs(rest >> i % 8 / 2 * 7 & 127);
            const float d = half_at(data) * (0.5f + (float)(rest >> 28)) * 0.5f;
            put_four(vectors.number[data[2 + i]], values, d, signs >> i % 2 * 4, out);
        }
    }
}

/* d; of each 4 weights 8 bits of place, then a ninth; signs; 4 bits of scale of each 32. */
void el_ggml_dequantize_iq3_s(const uint8_t *data, size_t blocks, float *out)
{
    static const float values[8] = {1, 3, 5, 7, 9, 11, 13, 15};
    const list vectors = SPREAD(iq3_s_set);
    for (size_t b = 0; b < blocks; b++, data += 110) {
        for (int i = 0; i < WEIGHTS / 4; i++, out += 4) {
            const unsigned high = data[66 + i / 8] >> i % 8 & 1;
            const unsigned signs = data[74 + i / 2] >> i % 2 * 4;
            const float d = half_at(data) * (float)(1 + 2 * nibble(data + 106, i / 8));
            put_four(vectors.number[data[2 + i] | high << 8], values, d, signs, out);
        }
    }
}

/* ---- one bit ------------------------------------------------------------------------------- */

/* Eight weights: d times -1, 0 or 1, each with the same eighth more or less. */
static void put_shifted(unsigned number, float d, unsigned less, float *out)
{
    static const float values[2][3] = {{-0.875f, 0.125f, 1.125f}, {-1.125f, -0.125f, 0.875f}};
    put_eight(number, values[less], d, 0, out);
}

/* d; of each 8 weights 8 bits of place; of each 32 a word: 4 x 3 high bits of places, 3 of scale,
 * and whether they are shifted down. */
void el_ggml_dequantize_iq1_s(const uint8_t *data, size_t blocks, float *out)
{
    const list vectors = SPREAD(iq1_s_set);
    for (size_t b = 0; b < blocks; b++, data += 50) {
        for (int i = 0; i < WEIGHTS / 8; i++, out += 8) {
            const unsigned word = load16(data + 34 + (size_t)(i / 4) * 2);
            const unsigned high = word >> i % 4 * 3 & 7;
            const float d = half_at(data) * (float)(2 * (word >> 12 & 7) + 1);
            put_shifted(vectors.number[data[2 + i] | high << 8], d, word >> 15, out);
        }
    }
}

/* Of each 8 weights 8 bits of place, then 3 high ones below whether they are shifted down; four
 * words of 4 x 3 bits of scale of each 16, whose highest 4 bits are d, the lowest first. */
void el_ggml_dequantize_iq1_m(const uint8_t *data, size_t blocks, float *out)
{
    const list vectors = SPREAD(iq1_s_set);
    for (size_t b = 0; b < blocks; b++, data += 56) {
        unsigned bits = 0;
        for (int w = 0; w < 4; w++)
            bits |= load16(data + 48 + (size_t)w * 2) >> 12 << 4 * w;
        for (int i = 0; i < WEIGHTS / 8; i++, out += 8) {
            const unsigned word = load16(data + 48 + (size_t)(i / 8) * 2);
            const int high = nibble(data + 32, i);
            const float d =
                el_float_of_half((uint16_t)bits) * (float)(2 * (word >> i % 8 / 2 * 3 & 7) + 1);
            put_shifted(vectors.number[data[i] | (unsigned)(high & 7) << 8], d, (unsigned)high >> 3,
                        out);
        }
    }
}
