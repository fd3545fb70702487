/*
 * cores.h: which cores to compute on, the best first. Where cores differ, the slowest sets the pace
 * of a token, so those of the fastest cluster come first; a second hardware thread of a core that
 * is listed already comes last, for it shares that core's units. Among equals the higher number
 * comes first: most boards let core 0 take the interrupts.
 */
#ifndef EL_BASE_CORES_H
#define EL_BASE_CORES_H

#include <sched.h>

#define EL_CORES_LISTED 256

typedef struct el_core_list {
    unsigned n;                       /* cores that are allowed */
    unsigned fast;                    /* the first so many are whole cores of the fastest cluster */
    unsigned number[EL_CORES_LISTED]; /* (n), as the kernel numbers them */
} el_core_list;

/*
 * folder: as /sys/devices/system/cpu; its cpuN/cpu_capacity says how fast a core is, or else
 * cpuN/cpufreq/cpuinfo_max_freq; if neither is there for every core, all count as equal. Cores from
 * 9/10 of the fastest on are one cluster: chips of a kind are sold with slightly different clocks.
 */
void el_cores_list(el_core_list *list, const char *folder, const cpu_set_t *allowed);

/* The cores that the calling thread may use (at most EL_CORES_LISTED, the lowest); none if the
 * system does not say. */
void el_cores_of_thread(cpu_set_t *allowed);

#endif
