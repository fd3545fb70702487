#include "cli/cli_sensors.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define ZONE "sys/class/thermal/thermal_zone%d"

enum { ZONES_MOST = 64 };                                /* numbers that are tried */
static const int64_t coldest = -60000, hottest = 200000; /* beyond: a sensor that is not there */

/* Parts of the names of zones that tell of the processor: boards', Intel's, phones'. */
static const char *const processor_names[] = {"cpu", "pkg_temp", "soc", "core", "package", "CPU"};

static int64_t temperature(el_cli_tree *tree, int zone)
{
    const int64_t now = el_cli_tree_number(tree, ZONE "/temp", zone);
    return now < coldest || now > hottest ? EL_CLI_UNKNOWN : now;
}

void el_cli_zone_name(el_cli_tree *tree, int zone, char name[EL_CLI_ZONE_NAME])
{
    el_cli_tree_line(tree, name, EL_CLI_ZONE_NAME, ZONE "/type", zone);
}

/* A zone that does not say may be the processor's. */
static bool is_processor(el_cli_tree *tree, int zone)
{
    char name[EL_CLI_ZONE_NAME];
    el_cli_zone_name(tree, zone, name);
    for (size_t i = 0; i < sizeof processor_names / sizeof processor_names[0]; i++)
        if (strstr(name, processor_names[i]) != NULL) return true;
    return name[0] == '\0';
}

void el_cli_zones_find(el_cli_tree *tree, el_cli_zones *zones)
{
    el_cli_zones all = {.n = 0};
    *zones = all;
    for (int zone = 0; zone < ZONES_MOST; zone++) {
        if (!el_cli_tree_has(tree, ZONE, zone) || temperature(tree, zone) == EL_CLI_UNKNOWN)
            continue;
        if (all.n < EL_CLI_ZONES) all.zone[all.n++] = zone;
        if (zones->n < EL_CLI_ZONES && is_processor(tree, zone)) zones->zone[zones->n++] = zone;
    }
    if (zones->n == 0) *zones = all;
}

int64_t el_cli_zones_hottest(el_cli_tree *tree, const el_cli_zones *zones, int *zone)
{
    int64_t most = EL_CLI_UNKNOWN;
    for (int i = 0; i < zones->n; i++) {
        const int64_t now = temperature(tree, zones->zone[i]);
        if (now <= most) continue;
        most = now;
        if (zone != NULL) *zone = zones->zone[i];
    }
    return most;
}

int el_cli_own_core(void)
{
    cpu_set_t allowed;
    int core = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 0;
    while (core < CPU_SETSIZE - 1 && !CPU_ISSET(core, &allowed))
        core++;
    return core;
}

int64_t el_cli_core_khz(el_cli_tree *tree, int core)
{
    return el_cli_tree_number(tree, "sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", core);
}

int64_t el_cli_firmware_throttled(el_cli_tree *tree)
{
    const char *text =
        el_cli_tree_read(tree, "sys/devices/platform/soc/soc:firmware/get_throttled");
    char *end = NULL;
    const unsigned long bits = text != NULL ? strtoul(text, &end, 16) : 0;
    if (text == NULL || end == text || bits > UINT32_MAX) return EL_CLI_UNKNOWN;
    return (int64_t)bits;
}
