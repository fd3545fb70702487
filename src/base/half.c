/* half.c: binary16 to and from float on the bit patterns, so no rounding mode can touch it. */
#include "base/half.h"

float el_float_of_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = (h >> 10) & 0x1f;
    uint32_t fraction = h & 0x3ff;
    if (exponent == 0x1f) return el_float_of_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) {
        if (fraction == 0) return el_float_of_bits(sign);
        exponent = 1;
        while (!(fraction & 0x400)) {
            fraction <<= 1;
            exponent--; /* may wrap below 0: the sum below wraps back */
        }
        fraction &= 0x3ff;
    }
    return el_float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* value >> shift, rounded to nearest even; shift 1 .. 31 */
static uint32_t shift_to_even(uint32_t value, uint32_t shift)
{
    uint32_t half = 1u << (shift - 1);
    uint32_t rest = value & (2 * half - 1);
    uint32_t quotient = value >> shift;
    return quotient + (rest > half || (rest == half && (quotient & 1)));
}

uint16_t el_half_of_float(float f)
{
    uint32_t bits = el_bits_of_float(f);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff)); /* quiet NaN */
    }
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and more */
    uint32_t exponent = magnitude >> 23;
    if (exponent < 102) return sign; /* below 2^-25: less than half the smallest half */
    if (exponent >= 113) {           /* a carry out of the fraction raises the exponent: right */
        return (uint16_t)(sign | shift_to_even(magnitude - (112u << 23), 13));
    }
    uint32_t significand = (magnitude & 0x7fffff) | 0x800000;
    return (uint16_t)(sign | shift_to_even(significand, 126 - exponent));
}
