/* random.h: the generator of all draws: integers only, so that a seed means the same everywhere. */
#ifndef EL_SAMPLE_RANDOM_H
#define EL_SAMPLE_RANDOM_H

#include <stdint.h>

/* SplitMix64 (Steele, Lea, Flood 2014). */
static inline uint64_t el_random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in [0, 1), exact multiples of 2^-24. */
static inline float el_random_uniform(uint64_t *state)
{
    return (float)(el_random_next(state) >> 40) * 0x1p-24f;
}

#endif
