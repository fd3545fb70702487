/*
 * histogram.h: counts, and how long things took in buckets with fixed bounds. One thread adds, any
 * other reads, without locks or calls of the kernel: a reader may see an addition in part, which
 * the next reading mends.
 */
#ifndef EL_SERVER_HISTOGRAM_H
#define EL_SERVER_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum { EL_HISTOGRAM_BOUNDS = 19 };

typedef _Atomic uint64_t el_counter;

typedef struct el_histogram {
    el_counter
        in[EL_HISTOGRAM_BOUNDS + 1]; /* beyond the bound before, up to this; the last: more */
    el_counter sum_ns;
} el_histogram;

/* The bounds, in milliseconds: 1 to 60000, rising. */
extern const uint32_t el_histogram_bounds[EL_HISTOGRAM_BOUNDS];

/* By the one thread that adds. */
static inline void el_counter_add(el_counter *counter, uint64_t n)
{
    const uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + n, memory_order_relaxed);
}

static inline uint64_t el_counter_read(const el_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void el_histogram_add(el_histogram *histogram, uint64_t ns);

#endif
