/*
 * cli_sensors.h: temperature, clock and the firmware's flags, as /sys tells them (doctor_tree.h).
 * What is not there is EL_CLI_UNKNOWN; nothing is guessed.
 */
#ifndef EL_CLI_CLI_SENSORS_H
#define EL_CLI_CLI_SENSORS_H

#include "cli/doctor_tree.h"

enum { EL_CLI_ZONES = 16, EL_CLI_ZONE_NAME = 48 };

typedef struct el_cli_zones {
    int zone[EL_CLI_ZONES]; /* (n) numbers of thermal zones */
    int n;
} el_cli_zones;

/* The zones that are named after the processor, or not at all; where none is, all that can be read.
 */
void el_cli_zones_find(el_cli_tree *tree, el_cli_zones *zones);

/* The hottest of them, in thousandths of a degree Celsius. *zone: its number, if not NULL. */
int64_t el_cli_zones_hottest(el_cli_tree *tree, const el_cli_zones *zones, int *zone);

/* The type of a zone, such as "cpu-thermal"; "" if it does not say. */
void el_cli_zone_name(el_cli_tree *tree, int zone, char name[EL_CLI_ZONE_NAME]);

/* The first core that this thread may use: the one that it is pinned to, if it is. */
int el_cli_own_core(void);

/* The clock of a core at this moment, in kHz. */
int64_t el_cli_core_khz(el_cli_tree *tree, int core);

/* The bits of the Raspberry Pi's firmware: 0 under-voltage, 1 clock capped, 2 throttled, 3 soft
 * limit of temperature; 16 to 19: the same has happened since the start. */
int64_t el_cli_firmware_throttled(el_cli_tree *tree);

#endif
