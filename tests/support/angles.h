/* angles.h: tables of rotary angles in double, by libm, for tests of src/train. */
#ifndef EL_TEST_ANGLES_H
#define EL_TEST_ANGLES_H

#include <math.h>
#include <stdint.h>

/* Positions 0 .. n-1; a pair i of dim / 2 turns by base^(-2i / dim) a position. */
static inline void fill_angles(float *cosine, float *sine, uint32_t n, uint32_t dim, double base)
{
    uint32_t half = dim / 2;
    for (uint32_t i = 0; i < n * half; i++) {
        uint32_t position = i / half;
        double angle = position * pow(base, -2.0 * (i % half) / dim);
        cosine[i] = (float)cos(angle);
        sine[i] = (float)sin(angle);
    }
}

#endif
