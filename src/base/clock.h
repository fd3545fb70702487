/* clock.h: monotonic time in nanoseconds. Read through the vDSO: no system call on Linux. */
#ifndef EL_BASE_CLOCK_H
#define EL_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

typedef uint64_t el_nanoseconds;

static inline el_nanoseconds el_clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (el_nanoseconds)t.tv_sec * 1000000000u + (el_nanoseconds)t.tv_nsec;
}

#endif
