/*
 * bench_causes.h: why a gap was long. The kernel counts what keeps a program from running; counters
 * are read before and after a request (with --trace after each token), never inside a gap. What has
 * moved in between is named; that it is the cause is likely, not proven. With nothing moved the
 * cause is unknown: a shared machine has some that no guest can see.
 */
#ifndef EL_CLI_BENCH_CAUSES_H
#define EL_CLI_BENCH_CAUSES_H

#include <jansson.h>
#include <sched.h>

#include "cli/bench_process.h"
#include "cli/doctor_tree.h"

/* Of all threads of some processes; EL_CLI_UNKNOWN where the system does not tell. */
typedef struct el_cli_bench_counters {
    int64_t minor, major;           /* page faults */
    int64_t voluntary, involuntary; /* switches */
    int64_t wait_ns;                /* could have run, and did not: run-queue wait */
    int64_t steal_ms;               /* taken by the host, of the cores */
    int64_t khz;                    /* the lowest current clock of the cores */
    int64_t throttled;              /* how often slowed down; flags of the firmware */
    int64_t throttling;             /* of those flags, how many say that it is so now */
} el_cli_bench_counters;

void el_cli_bench_read_counters(el_cli_tree *tree, const el_cli_bench_pids *pids,
                                const cpu_set_t *cores, el_cli_bench_counters *counters);

/* Was anything slowed down at the time, or did it begin or end so? */
bool el_cli_bench_throttled(const el_cli_bench_counters *before,
                            const el_cli_bench_counters *after);

/* Bits, in the order of el_cli_bench_causes. 0: unknown. excess_ms: what is to be explained. */
unsigned el_cli_bench_cause_of(const el_cli_bench_counters *before,
                               const el_cli_bench_counters *after, double excess_ms);

/* key, and words for a table; ends with a row without key. */
typedef struct el_cli_bench_cause {
    const char *key, *words;
} el_cli_bench_cause;
extern const el_cli_bench_cause el_cli_bench_causes[];

/* "major fault, run-queue wait", or "unknown". */
const char *el_cli_bench_cause_words(unsigned causes, char *room, size_t size);

/* ["major_fault", ...]. */
json_t *el_cli_bench_cause_json(unsigned causes);

/* The change of each counter, clocks of both: null where not known. */
json_t *el_cli_bench_change_json(const el_cli_bench_counters *before,
                                 const el_cli_bench_counters *after);

#endif
