/*
 * failing_memory.h: malloc, calloc, realloc and free of a program that is linked with --wrap for
 * each: counted, and one call, or all from it on, fails. For tests of a single thread.
 */
#ifndef EL_TEST_FAILING_MEMORY_H
#define EL_TEST_FAILING_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

typedef struct el_failing_memory {
    long in_use; /* pieces */
    long calls;
    long failing;    /* the call that fails, counted from 1; 0: none */
    bool is_lasting; /* and all that follow */
} el_failing_memory;

extern el_failing_memory el_memory;

/* For what takes its memory by pointers to functions. */
void *__wrap_malloc(size_t size);
void __wrap_free(void *memory);

/* What is not counted, and does not fail. */
void *__real_malloc(size_t size);
void __real_free(void *memory);

#endif
