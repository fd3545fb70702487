/*
 * doctor_facts.h: what `edgellm doctor` knows about a machine, without judgement. Numbers are
 * EL_CLI_UNKNOWN and texts are "" where the system does not tell; flags are 0, 1 or unknown.
 */
#ifndef EL_CLI_DOCTOR_FACTS_H
#define EL_CLI_DOCTOR_FACTS_H

#include <jansson.h>

#include "cli/doctor_tree.h"
#include "edgellm.h"

typedef struct el_cli_facts {
    /* processor */
    char board[96], machine[32], cpu_vendor[48], cpu_model[96];
    char cpu_features[160];                       /* those that matter to kernels */
    char kernels_built[96], kernels_runnable[96]; /* from the slowest to the fastest */
    char kernel_used[16];
    int64_t cores_online, cores_affinity, cores_allowed;
    int64_t cores_quota; /* of control groups, in thousandths of a core */
    char cores_isolated[64];
    int64_t isolated;                   /* how many those are */
    int64_t capacity_min, capacity_max; /* of cores, 1024: the fastest of the machine */
    int64_t cores_fast;                 /* cores of the largest capacity */
    /* frequency and heat */
    char governor[32], frequency_driver[32]; /* the first that is not "performance", if any */
    int64_t frequency_policies;              /* groups of cores with a clock of their own */
    int64_t frequency_now, frequency_min, frequency_max, frequency_top; /* kHz; top: hardware's */
    int64_t boost;
    int64_t temperature; /* thousandths of a degree Celsius, of the hottest sensor */
    char temperature_zone[48];
    int64_t throttled; /* the Raspberry Pi firmware's bits */
    int64_t under_voltage;
    int64_t throttle_events; /* x86: how often core 0 was slowed down */
    /* memory */
    int64_t page_bytes, memory_total, memory_available;
    int64_t group_limit, group_room; /* bytes, of the narrowest control group */
    char huge_pages[16];
    int64_t overcommit, commit_limit, committed;
    int64_t swap_devices, swap_bytes, swap_used, swap_zram, swappiness;
    char swap_device[64];
    /* limits of this process */
    int64_t limit_memlock, limit_rtprio, limit_nice, limit_address, limit_stack;
    int64_t ipc_lock;              /* has the capability to lock without limit? */
    int64_t lock_works;            /* tried */
    int64_t lock_beyond_limit;     /* tried */
    int64_t fifo_works;            /* tried */
    int64_t nice_lowest;           /* tried */
    int64_t rt_runtime, rt_period; /* microseconds */
    int64_t rt_taken_back;         /* thousandths of core 0, by the throttle or the fair server */
    /* system */
    char clock_source[32], clock_sources[96];
    char kernel_release[64], preemption[32], preemption_mode[16];
    char virtual_machine[64], container[32];
    int64_t steal; /* of all CPU time since boot, in millionths */
    int64_t load;  /* average of a minute, in thousandths */
    /* model, if one is given */
    int64_t plan_bytes, plan_locked, plan_private, plan_context;
    int64_t model_bytes, model_cached;
    char model_file_system[32], model_device[48], model_card[8];
    int64_t model_rotational;
    int64_t model_read_rate; /* bytes a second, past the page cache; tried */
    /* this program */
    char version[16], compiler[64];
    int64_t pointer_bits, optimised, sanitized;
} el_cli_facts;

/* From the tree; `live`: the tree is this system, so ask and try what only a process can. */
void el_cli_facts_gather(el_cli_facts *facts, el_cli_tree *tree, bool live);

/* Adds what belongs to a model file. Errors: as edgellm_plan(). */
edgellm_status el_cli_facts_add_model(el_cli_facts *facts, el_cli_tree *tree, const char *path,
                                      const edgellm_session_options *options, edgellm_error *err);

/* All facts under stable keys; null: not known; "unlimited" for limits that are none. */
json_t *el_cli_facts_json(const el_cli_facts *facts);

/* Parts of gathering. */
void el_cli_facts_processor(el_cli_facts *facts, el_cli_tree *tree); /* doctor_facts_cpu.c */
void el_cli_facts_groups(el_cli_facts *facts, el_cli_tree *tree);    /* doctor_groups.c */
void el_cli_facts_try(el_cli_facts *facts);                          /* doctor_try.c */

#endif
