/*
 * kernel_check.h: what the tests of the kernels share: seeded random numbers, buffers with
 * canaries, comparison bit for bit, and the reductions of the numeric contract written naively.
 */
#ifndef EL_TESTS_SUPPORT_KERNEL_CHECK_H
#define EL_TESTS_SUPPORT_KERNEL_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "kernel/kernels.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* -------- seeded random numbers -------- */

typedef struct random_state {
    uint64_t s;
} random_state;

static inline uint32_t random_bits(random_state *r)
{
    r->s = r->s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->s >> 32);
}

static inline int32_t random_int(random_state *r, int32_t low, int32_t high)
{
    return low + (int32_t)(random_bits(r) % (uint32_t)(high - low + 1));
}

/* -1 .. 1 */
static inline float random_unit(random_state *r)
{
    return (float)random_int(r, -(1 << 24), 1 << 24) * 0x1p-24f;
}

/* Any magnitude from 2^-20 to 2^3, now and then a zero. */
static inline float random_float(random_state *r)
{
    if (random_bits(r) % 37 == 0) return 0.0f;
    float scale = el_float_of_bits((uint32_t)random_int(r, 127 - 20, 127 + 3) << 23);
    return random_unit(r) * scale;
}

static inline uint16_t random_half(random_state *r)
{
    uint16_t h = (uint16_t)random_bits(r);
    return el_half_is_finite(h) ? h : (uint16_t)(h & 0x83ff); /* makes it subnormal */
}

/* -------- buffers with canaries, one float away from any alignment -------- */

#define CANARY 0xa5
#define GUARD  68

typedef struct guarded {
    uint8_t *memory;
    size_t size;
    void *data;
} guarded;

static inline guarded guard(size_t size)
{
    guarded g = {malloc(size + 2 * GUARD), size, NULL};
    assert_non_null(g.memory);
    memset(g.memory, CANARY, size + 2 * GUARD);
    g.data = g.memory + GUARD;
    return g;
}

static inline guarded guard_floats(size_t n)
{
    return guard(n * sizeof(float));
}

/* Checks the canaries and frees the buffer. */
static inline void unguard(guarded *g)
{
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(g->memory[i], CANARY);
        assert_int_equal(g->memory[GUARD + g->size + i], CANARY);
    }
    free(g->memory);
}

static inline void assert_same_bits(const float *got, const float *want, size_t n, const char *what,
                                    const el_kernels *k)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&got[i], &want[i], sizeof *got) != 0) {
            fail_msg("%s %s: [%zu of %zu] is %a, expected %a", k->name, what, i, n, (double)got[i],
                     (double)want[i]);
        }
    }
}

/* -------- the levels -------- */

/* Fills kernels (EL_CPU_LEVELS) with every level that was built and that this CPU has; returns
 * their number. EL_TEST_BEST_LEVEL=1 in the environment: with the best alone. */
static inline size_t all_levels(el_kernels *kernels)
{
    const char *name;
    bool is_best_alone = getenv("EL_TEST_BEST_LEVEL") != NULL;
    size_t n = 0;
    for (uint32_t i = 0; (name = el_kernels_built(i)); i++) {
        el_cpu_level level = (el_cpu_level)el_cpu_level_parse(name);
        if (!el_cpu_has(level)) continue;
        if (is_best_alone) n = 0;
        el_kernels_init(&kernels[n], level);
        assert_int_equal(kernels[n++].level, level);
    }
    return n;
}

/* -------- reference of the reductions -------- */

static inline float sum_of_lanes(const float lanes[16])
{
    float t[16];
    memcpy(t, lanes, sizeof t);
    for (int step = 8; step >= 1; step /= 2) {
        for (int i = 0; i < step; i++)
            t[i] = t[i] + t[i + step];
    }
    return t[0];
}

static inline float ref_dot(const float *a, const float *b, uint32_t n)
{
    float lanes[16] = {0};
    for (uint32_t i = 0; i < n; i++)
        lanes[i % 16] = lanes[i % 16] + a[i] * b[i];
    return sum_of_lanes(lanes);
}

#endif
