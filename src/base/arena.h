/*
 * arena.h: one reserved range of memory, handed out front to back in 64-byte-aligned pieces.
 *
 *   base                    used                      size
 *   |-- piece -- piece -- ...|.......... free ..........|
 *
 * Layouts are computed twice by the same code: first on an arena without memory
 * (el_arena_measure), which only counts, then on a reserved one. So the plan cannot differ
 * from what is used. Nothing is ever given back piecemeal.
 */
#ifndef EL_BASE_ARENA_H
#define EL_BASE_ARENA_H

#include "base/error.h"

#define EL_ALIGN 64

typedef struct el_arena {
    uint8_t *base; /* NULL while measuring */
    size_t used;   /* bytes handed out */
    size_t size;   /* bytes reserved; SIZE_MAX while measuring */
    bool locked;   /* mlock succeeded */
    bool borrowed; /* somebody else's memory: neither locked nor unmapped here */
} el_arena;

/* An arena that counts and hands out NULL. */
el_arena el_arena_measure(void);

/* Maps `size` bytes of zeroes. Errors: MEMORY. */
edgellm_status el_arena_reserve(el_arena *arena, size_t size, edgellm_error *err);

/* Uses `size` bytes that belong to the caller and are aligned to 64; they are zeroed, which also
 * touches them. */
el_arena el_arena_borrow(void *memory, size_t size);

/* The next `count * size` bytes, aligned to 64, zeroed; NULL while measuring. Exceeding the
 * reserved size is a bug in the measuring and aborts. */
void *el_arena_take(el_arena *arena, size_t count, size_t size);

/* Locks the memory if the system permits (no error if not) and touches every page. Does nothing to
 * borrowed memory: it is touched, and its owner may lock it. */
void el_arena_settle(el_arena *arena);

/* Unmaps the memory, unless it is borrowed. */
void el_arena_release(el_arena *arena);

#endif
