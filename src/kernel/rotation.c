/* rotation.c: see rotation.h. */
#include "kernel/rotation.h"

#define PI_FRACTION 0x243f6a8885a308d3u /* its first 64 bits */

#define SIGN(i)   ((PI_FRACTION >> (i)) & 1 ? -0.125f : 0.125f)
#define SIGNS4(i) SIGN(i), SIGN((i) + 1), SIGN((i) + 2), SIGN((i) + 3)
#define SIGNS(i)  SIGNS4(i), SIGNS4((i) + 4), SIGNS4((i) + 8), SIGNS4((i) + 12)

const float el_rotation_signs[EL_ROTATION_WIDTH] = {SIGNS(0), SIGNS(16), SIGNS(32), SIGNS(48)};

static void sign_block(float *x)
{
    for (uint32_t i = 0; i < EL_ROTATION_WIDTH; i++)
        x[i] *= el_rotation_signs[i];
}

/* Hadamard's matrix, without its factor of 1/8. */
static void mix_block(float *x)
{
    for (uint32_t h = 1; h < EL_ROTATION_WIDTH; h *= 2)
        for (uint32_t i = 0; i < EL_ROTATION_WIDTH; i++) {
            if (i & h) continue;
            const float a = x[i], b = x[i + h];
            x[i] = a + b;
            x[i + h] = a - b;
        }
}

void el_rotate_row(float *x, uint32_t n)
{
    for (uint32_t at = 0; at < n; at += EL_ROTATION_WIDTH) {
        sign_block(x + at);
        mix_block(x + at);
    }
}

void el_rotate_back(float *x, uint32_t n)
{
    for (uint32_t at = 0; at < n; at += EL_ROTATION_WIDTH) {
        mix_block(x + at);
        sign_block(x + at);
    }
}
