/*
 * ring.h: numbers from one thread to one other, in order, without locks. All memory is there before
 * the first; a ring has room for as many as its maker says that there can be at a time, so adding
 * never fails.
 */
#ifndef EL_SERVER_RING_H
#define EL_SERVER_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct el_ring {
    uint32_t *slots; /* (size) */
    uint32_t size;   /* a power of 2 */
    _Atomic uint32_t added, taken;
} el_ring;

/* The smallest size that holds `count`. */
static inline uint32_t el_ring_size(uint32_t count)
{
    uint32_t size = 1;
    while (size < count)
        size *= 2;
    return size;
}

/* By the one thread: false only if there were more than there can be. */
static inline bool el_ring_add(el_ring *ring, uint32_t number)
{
    const uint32_t added = atomic_load_explicit(&ring->added, memory_order_relaxed);
    if (added - atomic_load_explicit(&ring->taken, memory_order_acquire) == ring->size)
        return false;
    ring->slots[added & (ring->size - 1)] = number;
    atomic_store_explicit(&ring->added, added + 1, memory_order_release);
    return true;
}

/* By the other: false if there is none. */
static inline bool el_ring_take(el_ring *ring, uint32_t *number)
{
    const uint32_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    if (atomic_load_explicit(&ring->added, memory_order_acquire) == taken) return false;
    *number = ring->slots[taken & (ring->size - 1)];
    atomic_store_explicit(&ring->taken, taken + 1, memory_order_release);
    return true;
}

#endif
