/*
 * cli_meter.h: energy, where the machine has a meter. In this order: RAPL's packages (a counter
 * that begins anew at max_energy_range_uj), a counter of hwmon, a power sensor of hwmon (such as
 * an INA226 between supply and board), which is summed up over time and so has to be read often.
 * Only sensors that are known to measure the board or its processor are taken. What a meter
 * measures is all that it is wired to, idle power included.
 */
#ifndef EL_CLI_CLI_METER_H
#define EL_CLI_CLI_METER_H

#include "cli/doctor_tree.h"

enum { EL_CLI_METER_PARTS = 4, EL_CLI_METER_PATH = 96 };

typedef enum el_cli_meter_kind {
    EL_CLI_METER_NONE,
    EL_CLI_METER_COUNTER, /* microjoules so far */
    EL_CLI_METER_POWER,   /* microwatts at present */
    EL_CLI_METER_PRODUCT  /* milliamperes (part 0) times millivolts (part 1) at present */
} el_cli_meter_kind;

typedef struct el_cli_meter {
    el_cli_meter_kind kind;
    char title[96];                                   /* "RAPL package-0"; "": there is no meter */
    char why[192];                                    /* it cannot be read; "": it can */
    char path[EL_CLI_METER_PARTS][EL_CLI_METER_PATH]; /* (parts) below the root */
    int64_t range[EL_CLI_METER_PARTS]; /* where a counter begins anew; UNKNOWN: not */
    int64_t last[EL_CLI_METER_PARTS];
    int parts;
    bool begun, lost; /* lost: a reading failed, so the sum is too small */
    double watts, last_ms;
    double joules; /* since it began */
} el_cli_meter;

/* Looks for a meter; kind NONE if there is none that can be read. */
void el_cli_meter_find(el_cli_meter *m, el_cli_tree *tree);

/* Begins to count, from 0. */
void el_cli_meter_begin(el_cli_meter *m, el_cli_tree *tree, double now_ms);

/* Reads it and adds what was used since the last reading. */
void el_cli_meter_read(el_cli_meter *m, el_cli_tree *tree, double now_ms);

/* How long it may go without being read, in milliseconds. */
double el_cli_meter_patience(const el_cli_meter *m);

#endif
