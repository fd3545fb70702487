/*
 * memlock.h: ranges of memory that are kept in place (mlock), and let go again. A range that
 * somebody else had locked before stays locked: locks do not nest, so what the kernel counts as
 * locked is compared before and after.
 */
#ifndef EL_BASE_MEMLOCK_H
#define EL_BASE_MEMLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EL_LOCKS_MAX 128

typedef struct el_locks {
    struct el_lock {
        void *at;
        size_t bytes;
    } ours[EL_LOCKS_MAX]; /* (n) to let go */
    unsigned n;
    uint64_t wanted, locked; /* bytes, in whole pages */
    int error;               /* errno value of the first refusal; 0: none */
} el_locks;

/* Brings a range in and locks it. A refusal is counted, no more. */
void el_locks_take(el_locks *locks, const void *at, size_t bytes);

/* Lock the program's file that holds this library, and libc: a page of code that was dropped must
 * be read again in the middle of a token. */
void el_locks_take_code(el_locks *locks);

void el_locks_release(el_locks *locks);

#endif
