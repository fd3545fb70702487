/*
 * doctor_checks.h: judging facts. A check is a pure function from facts to one finding; what there
 * is to say about a state of things is a const advice beside it.
 */
#ifndef EL_CLI_DOCTOR_CHECKS_H
#define EL_CLI_DOCTOR_CHECKS_H

#include "cli/doctor_facts.h"

typedef enum el_cli_state {
    EL_CLI_STATE_OK,
    EL_CLI_STATE_NOTE, /* worth knowing; something may be gained */
    EL_CLI_STATE_WARN, /* costs speed, evenness or memory, or will fail */
    EL_CLI_STATE_UNKNOWN,
    EL_CLI_STATES
} el_cli_state;

/* Commands are exact; a line end in them stands where a shell goes on with the next line. */
typedef struct el_cli_advice {
    const char *effect;  /* on this engine */
    const char *remedy;  /* a command until the next boot or login; NULL: nothing to do */
    const char *lasting; /* the same for good; NULL: the remedy lasts, or there is none */
} el_cli_advice;

typedef struct el_cli_finding {
    el_cli_state state;
    char fact[384];
    const el_cli_advice *advice; /* NULL: the system does not tell, so there is none */
} el_cli_finding;

typedef void (*el_cli_check_fn)(const el_cli_facts *facts, el_cli_finding *finding);

/* doctor_checks_cpu.c */
void el_cli_check_cpu(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_instructions(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_cores(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_isolation(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_clusters(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_frequency(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_heat(const el_cli_facts *facts, el_cli_finding *finding);

/* doctor_checks_memory.c */
void el_cli_check_page_size(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_memory(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_plan(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_model_file(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_locking(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_swap(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_huge_pages(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_overcommit(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_limits(const el_cli_facts *facts, el_cli_finding *finding);

/* doctor_checks_system.c */
void el_cli_check_real_time(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_rt_throttle(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_clock(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_kernel(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_virtual(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_load(const el_cli_facts *facts, el_cli_finding *finding);
void el_cli_check_build(const el_cli_facts *facts, el_cli_finding *finding);

/* Fills in a finding. */
void el_cli_find(el_cli_finding *finding, el_cli_state state, const el_cli_advice *advice,
                 const char *fact_format, ...) __attribute__((format(printf, 4, 5)));

/* Where the system does not tell: the fact says what is missing. */
void el_cli_not_known(el_cli_finding *finding, const char *what);

/* Bytes as "12.3 MB", "unlimited" or "unknown". */
typedef struct el_cli_amount {
    char text[32];
} el_cli_amount;
el_cli_amount el_cli_megabytes(int64_t bytes);

#endif
