/* arena.c: anonymous memory from the kernel, or the caller's, handed out front to back. */
#include "base/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/refusal.h"

el_arena el_arena_measure(void)
{
    return (el_arena){.base = NULL, .used = 0, .size = SIZE_MAX, .locked = false};
}

edgellm_status el_arena_reserve(el_arena *arena, size_t size, edgellm_error *err)
{
    if (size == 0) size = EL_ALIGN; /* nothing can be mapped, but a base is promised */
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        return el_fail(err, EDGELLM_ERR_MEMORY, "cannot reserve %zu bytes of memory: %s", size,
                       el_refusal_of(errno).text);
    }
    *arena = (el_arena){.base = base, .used = 0, .size = size, .locked = false};
    return EDGELLM_OK;
}

el_arena el_arena_borrow(void *memory, size_t size)
{
    memset(memory, 0, size);
    return (el_arena){.base = memory, .used = 0, .size = size, .borrowed = true};
}

/* count * size rounded up to the alignment; false if that is more than SIZE_MAX. */
static bool piece_bytes(size_t count, size_t size, size_t *bytes)
{
    size_t product;
    if (__builtin_mul_overflow(count, size, &product)) return false;
    if (__builtin_add_overflow(product, (size_t)(EL_ALIGN - 1), &product)) return false;
    *bytes = product & ~(size_t)(EL_ALIGN - 1);
    return true;
}

void *el_arena_take(el_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    bool fits = piece_bytes(count, size, &bytes) && bytes <= arena->size - arena->used;
    if (!arena->base) {
        arena->used = fits ? arena->used + bytes : SIZE_MAX; /* which no reserve will grant */
        return NULL;
    }
    if (!fits) abort();
    void *piece = arena->base + arena->used;
    arena->used += bytes;
    return piece;
}

void el_arena_settle(el_arena *arena)
{
    if (!arena->base || arena->borrowed) return;
    arena->locked = mlock(arena->base, arena->size) == 0;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    volatile uint8_t *bytes = arena->base;
    for (size_t at = 0; at < arena->size; at += page)
        bytes[at] = bytes[at]; // cppcheck-suppress selfAssignment ; the write brings the page in
}

void el_arena_release(el_arena *arena)
{
    if (arena->base && !arena->borrowed) munmap(arena->base, arena->size);
    *arena = (el_arena){0};
}
