/* hadamard.c: see hadamard.h. A block is four vectors of 16: steps of 32 and 16 go between them,
 * steps below within. */
#include "train/hadamard.h"

#include <string.h>

#include "kernel/rotation.h"
#include "train/clones.h"

typedef float lanes __attribute__((vector_size(64)));

/* Lanes i and i + step become their sum and difference. */
#define STEP(v, sign, ...) v = __builtin_shufflevector(v, v, __VA_ARGS__) + (v) * (sign)

static inline void within(lanes *p)
{
    const lanes one = {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1};
    const lanes two = {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1};
    const lanes four = {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1};
    const lanes eight = {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1};
    lanes v = *p;
    STEP(v, one, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    STEP(v, two, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    STEP(v, four, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    STEP(v, eight, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    *p = v;
}

static inline void transform(lanes v[4])
{
    for (int i = 0; i < 4; i++)
        within(&v[i]);
    lanes a = v[0] + v[1], b = v[0] - v[1], c = v[2] + v[3], d = v[2] - v[3];
    v[0] = a + c;
    v[1] = b + d;
    v[2] = a - c;
    v[3] = b - d;
}

EL_CLONES void el_hadamard(float *x, size_t blocks)
{
    lanes v[4], s[4];
    memcpy(s, el_rotation_signs, sizeof s);
    for (; blocks; blocks--, x += EL_ROTATION_WIDTH) {
        memcpy(v, x, sizeof v);
        for (int i = 0; i < 4; i++)
            v[i] *= s[i];
        transform(v);
        memcpy(x, v, sizeof v);
    }
}

EL_CLONES void el_hadamard_back(float *x, size_t blocks)
{
    lanes v[4], s[4];
    memcpy(s, el_rotation_signs, sizeof s);
    for (; blocks; blocks--, x += EL_ROTATION_WIDTH) {
        memcpy(v, x, sizeof v);
        transform(v);
        for (int i = 0; i < 4; i++)
            v[i] *= s[i];
        memcpy(x, v, sizeof v);
    }
}
