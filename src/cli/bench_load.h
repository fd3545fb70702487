/*
 * bench_load.h: a load on the cores that are measured, bounded in memory and on the disk. Processes
 * of this program's own, of ordinary priority, one core each: they spin, stream through memory,
 * write. The kernel kills them when this program ends, however it ends.
 */
#ifndef EL_CLI_BENCH_LOAD_H
#define EL_CLI_BENCH_LOAD_H

#include <sched.h>
#include <sys/types.h>

#include "cli/cli_options.h"

enum { /* kinds: bits */
       EL_CLI_LOAD_CPU = 1,
       EL_CLI_LOAD_MEM = 2,
       EL_CLI_LOAD_IO = 4,
       EL_CLI_LOAD_ALL = 7,
};

/* The values of an option, whose field is a uint32_t of those bits. */
extern const el_cli_choice el_cli_bench_loads[];
#define EL_CLI_LOAD_ROW(type)                                                                      \
    {                                                                                              \
        .name = "load", .kind = EL_CLI_CHOICE, .field = offsetof(type, load), .argument = "KIND",  \
        .initial = "none", .help = "on the same cores meanwhile: none, cpu, mem, io or all",       \
        .list = el_cli_bench_loads                                                                 \
    }

enum {
    EL_CLI_LOAD_CORES = 32,
    EL_CLI_LOAD_PROCESSES = 2 * EL_CLI_LOAD_CORES + 1,
    EL_CLI_LOAD_MEM_BYTES = 32 << 20,  /* of a process ... */
    EL_CLI_LOAD_MEM_TOTAL = 128 << 20, /* ... and of all */
    EL_CLI_LOAD_IO_BYTES = 64 << 20,   /* of the file, which has no name */
};

typedef struct el_cli_bench_load {
    unsigned kinds; /* 0: there is none */
    char cores[64]; /* as a list */
    uint32_t n;
    pid_t pids[EL_CLI_LOAD_PROCESSES];
    int gate; /* a pipe's end: closing it lets them begin */
} el_cli_bench_load;

/* Starts the processes of the kinds wanted, which then wait: before this one has threads or memory
 * that a fork would copy. Start with {0}; stop in any case. Errors: IO (the file), MEMORY (a
 * process). */
edgellm_status el_cli_bench_load_prepare(el_cli_bench_load *load, unsigned wanted,
                                         const cpu_set_t *cores, edgellm_error *err);

/* The same on the cores that this process may use: *cores. */
edgellm_status el_cli_bench_load_prepare_here(el_cli_bench_load *load, unsigned wanted,
                                              cpu_set_t *cores, edgellm_error *err);

/* Lets them begin. */
void el_cli_bench_load_begin(el_cli_bench_load *load);

/* Do all of them live? Errors: IO (one has ended). */
edgellm_status el_cli_bench_load_check(el_cli_bench_load *load, edgellm_error *err);

void el_cli_bench_load_stop(el_cli_bench_load *load);

/* "cpu, mem on cores 0-1"; "none". */
const char *el_cli_bench_load_words(const el_cli_bench_load *load, char *room, size_t size);

#endif
