/* half.h: IEEE binary16 and bfloat16 to and from float, by integer arithmetic alone. */
#ifndef EL_BASE_HALF_H
#define EL_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float el_float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t el_bits_of_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float el_float_of_bf16(uint16_t h)
{
    return el_float_of_bits((uint32_t)h << 16);
}

/* Exact for every value, subnormals, infinities and NaN included. */
float el_float_of_half(uint16_t h);

/* Rounds to nearest even; overflow gives infinity, NaN stays NaN. */
uint16_t el_half_of_float(float f);

/* True unless the value is an infinity or NaN. */
static inline int el_half_is_finite(uint16_t h)
{
    return (h & 0x7c00) != 0x7c00;
}

#endif
