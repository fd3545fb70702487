/*
 * cli_random.h: prompts and lengths for measuring, the same on every machine. Only the high bits
 * are worth something (Knuth and Lewis; Numerical Recipes, 1992): what draws for an answer is
 * elsewhere, in the library.
 */
#ifndef EL_CLI_CLI_RANDOM_H
#define EL_CLI_CLI_RANDOM_H

#include <stdint.h>

/* 0 .. n-1 */
static inline uint32_t el_cli_random_below(uint32_t *state, uint32_t n)
{
    *state = *state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)*state * n) >> 32);
}

#endif
