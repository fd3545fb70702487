/*
 * bench_process.h: the processes behind a backend: their threads, how those are scheduled, on which
 * cores, and the memory they needed. What has ended or belongs to somebody else is left out.
 */
#ifndef EL_CLI_BENCH_PROCESS_H
#define EL_CLI_BENCH_PROCESS_H

#include <jansson.h>
#include <sched.h>
#include <sys/types.h>

#include "cli/doctor_tree.h"

enum { EL_CLI_BENCH_PIDS = 32, EL_CLI_BENCH_TASKS = 256, EL_CLI_BENCH_WAYS = 6 };

typedef struct el_cli_bench_pids {
    pid_t pid[EL_CLI_BENCH_PIDS];
    uint32_t n;
} el_cli_bench_pids;

/* Adds one; does nothing if it is there, or there is no room. */
void el_cli_bench_add_pid(el_cli_bench_pids *pids, int64_t pid);

/* The threads of a process into ids (EL_CLI_BENCH_TASKS): how many; more are left out. */
uint32_t el_cli_bench_tasks(const char *root, pid_t pid, pid_t *ids);

/* Threads that are scheduled alike. */
typedef struct el_cli_bench_way {
    int policy, priority, nice;
    char cores[64]; /* "0-3,8" */
    uint32_t threads;
} el_cli_bench_way;

typedef struct el_cli_bench_threads {
    el_cli_bench_way way[EL_CLI_BENCH_WAYS]; /* the first ways seen */
    uint32_t n, others;                      /* others: threads scheduled in still other ways */
} el_cli_bench_threads;

/* Asks for the threads of all processes. */
void el_cli_bench_look(const el_cli_bench_pids *pids, el_cli_bench_threads *threads);

/* Adds the cores that any of the threads may use. */
void el_cli_bench_cores(const el_cli_bench_pids *pids, cpu_set_t *cores);

/* "SCHED_OTHER nice 0 cores 0-1: 3 threads". */
const char *el_cli_bench_way_words(const el_cli_bench_way *way, char *room, size_t size);
json_t *el_cli_bench_threads_json(const el_cli_bench_threads *threads);

/* "0-3,8" */
void el_cli_bench_core_list(const cpu_set_t *cores, char *list, size_t size);

/* Largest resident sets so far, added up, in bytes; 0: not known. */
uint64_t el_cli_bench_peak(el_cli_tree *tree, const el_cli_bench_pids *pids);

#endif
