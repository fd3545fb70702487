/*
 * threads.h: a fixed crew of threads that runs one function together (the caller is member 0).
 * Members meet at barriers; a wait spins briefly and then sleeps in the kernel, so an
 * oversubscribed machine slows down but does not starve. Nothing here allocates, but for what
 * pthread_create() takes for a thread.
 */
#ifndef EL_BASE_THREADS_H
#define EL_BASE_THREADS_H

#include "base/arena.h"

typedef struct el_crew el_crew;

/* member: 0 .. size-1 */
typedef void (*el_crew_fn)(void *context, unsigned member, unsigned size);

#define EL_CREW_MAX           64
#define EL_CREW_STACK_BYTES   ((size_t)256 * 1024)
#define EL_CREW_STACK_TOUCHED ((size_t)32 * 1024) /* per worker, what the plan counts */

/* Takes the memory of a crew of any size; NULL while measuring. */
el_crew *el_crew_layout(el_arena *arena);

/* Starts size - 1 threads. Errors: USAGE; MEMORY (a thread could not be started; those that were
 * are stopped). */
edgellm_status el_crew_start(el_crew *crew, unsigned size, edgellm_error *err);
/* Ends the threads of a started crew; its memory stays with the arena. */
void el_crew_stop(el_crew *crew);

/* Runs fn on every member and returns when all are done. */
void el_crew_run(el_crew *crew, el_crew_fn fn, void *context);

/* Members of a started crew, its owner included. */
unsigned el_crew_size(const el_crew *crew);

/* Makes the kernel provide the caller's stack now instead of in the middle of the first token.
 * *lowest: the lowest address of EL_CREW_STACK_TOUCHED bytes, less a page. */
void el_touch_stack(uintptr_t *lowest);

/* Called by every member inside el_crew_run: returns when all have called it. */
void el_crew_barrier(el_crew *crew);

/* Cores this process may use: affinity mask and container quota (cgroup v1, v2); at least 1. */
unsigned el_cores_allowed(void);

/* Member's share [*begin, *end) of n items, in ascending, nearly equal pieces. */
static inline void el_share(uint32_t n, unsigned member, unsigned size, uint32_t *begin,
                            uint32_t *end)
{
    *begin = (uint32_t)((uint64_t)n * member / size);
    *end = (uint32_t)((uint64_t)n * (member + 1) / size);
}

#endif
