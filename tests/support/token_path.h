/*
 * token_path.h: counts what a test program allocates, and runs decode in a child process that is
 * killed by any forbidden system call. The program is linked with --wrap=malloc and so on.
 */
#ifndef TEST_TOKEN_PATH_H
#define TEST_TOKEN_PATH_H

#include <stdbool.h>
#include <stdint.h>

typedef struct token_path_result {
    int tokens;                   /* decoded */
    int allocations;              /* calls of malloc, calloc, realloc, aligned_alloc, mmap */
    bool killed_by_a_system_call; /* other than futex where there are several threads */
} token_path_result;

/* Calls of malloc, calloc, realloc, aligned_alloc and mmap so far, other than by libc itself. */
int token_path_allocations(void);

/* Decodes (eval, sample, stream) n tokens after a prompt, with the system calls trapped if `trap`;
 * in answers that keep to a grammar, one after the other, unless that is NULL. n = -1: calls the
 * system on purpose. */
token_path_result token_path_measure(const char *path, const char *grammar, uint32_t threads, int n,
                                     bool trap);

#endif
