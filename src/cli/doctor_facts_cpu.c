/*
 * doctor_facts_cpu.c: cores, clocks and heat: what has to be looked for in several places. Cores,
 * frequency policies and sensors are tried by number up to a bound: more are not looked at.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_sensors.h"
#include "cli/doctor_facts.h"

enum { MAX_CORES = 256, MAX_SENSORS = 64 };

/* ---- names -------------------------------------------------------------------------------- */

/* Cores of Arm Limited, by the part number of their identification register. */
static const struct part {
    int number;
    const char *name;
} arm_parts[] = {
    {0xc07, "Cortex-A7"},    {0xc08, "Cortex-A8"},   {0xc09, "Cortex-A9"},   {0xc0f, "Cortex-A15"},
    {0xd03, "Cortex-A53"},   {0xd04, "Cortex-A35"},  {0xd05, "Cortex-A55"},  {0xd07, "Cortex-A57"},
    {0xd08, "Cortex-A72"},   {0xd09, "Cortex-A73"},  {0xd0a, "Cortex-A75"},  {0xd0b, "Cortex-A76"},
    {0xd0c, "Neoverse-N1"},  {0xd0d, "Cortex-A77"},  {0xd40, "Neoverse-V1"}, {0xd41, "Cortex-A78"},
    {0xd42, "Cortex-A78AE"}, {0xd44, "Cortex-X1"},   {0xd46, "Cortex-A510"}, {0xd47, "Cortex-A710"},
    {0xd49, "Neoverse-N2"},  {0xd4d, "Cortex-A715"}, {0xd4f, "Neoverse-V2"}, {0xd80, "Cortex-A520"},
};
enum { N_ARM_PARTS = sizeof arm_parts / sizeof arm_parts[0], ARM_LIMITED = 0x41 };

static void add_part(el_cli_facts *facts, long number)
{
    char name[32];
    snprintf(name, sizeof name, "part 0x%03lx", number & 0xfff);
    for (int i = 0; i < N_ARM_PARTS; i++) {
        if (arm_parts[i].number == number) snprintf(name, sizeof name, "%s", arm_parts[i].name);
    }
    if (strstr(facts->cpu_model, name) != NULL) return;
    el_cli_append(facts->cpu_model, sizeof facts->cpu_model, " + ", name);
}

/* /proc/cpuinfo of ARM has no names: one "CPU part" a core. */
static void arm_model(el_cli_facts *facts, const char *cpuinfo)
{
    const char *maker = el_cli_after(cpuinfo, "CPU implementer");
    if (maker == NULL) return;
    long number = strtol(maker, NULL, 16);
    snprintf(facts->cpu_vendor, sizeof facts->cpu_vendor, "0x%02lx", number & 0xff);
    if (number == ARM_LIMITED) snprintf(facts->cpu_vendor, sizeof facts->cpu_vendor, "Arm");
    for (; cpuinfo != NULL; cpuinfo = el_cli_next_line(cpuinfo)) {
        if (strncmp(cpuinfo, "CPU part", 8) != 0) continue;
        const char *part = el_cli_after(cpuinfo, "CPU part");
        if (part != NULL) add_part(facts, strtol(part, NULL, 16));
    }
}

/* Those instruction sets of the list that this engine has kernels for, or could have. */
static void features(el_cli_facts *facts, const char *list)
{
    static const char *const known[] = {
        "ssse3",   "sse4_1",   "avx",         "f16c",        "fma",      "avx2", "avx_vnni",
        "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_int8", "neon", "asimd",
        "asimdhp", "asimddp",  "i8mm",        "bf16",        "sve",      "sve2"};
    char line[8192];
    el_cli_copy_line(line, sizeof line, list);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (!el_cli_has_word(line, known[i])) continue;
        el_cli_append(facts->cpu_features, sizeof facts->cpu_features, " ", known[i]);
    }
    if (el_cli_has_word(line, "hypervisor")) {
        snprintf(facts->virtual_machine, sizeof facts->virtual_machine, "yes");
    }
}

static void model(el_cli_facts *facts, el_cli_tree *tree)
{
    const char *text = el_cli_tree_read(tree, "proc/cpuinfo"), *found;
    if (text == NULL) return;
    arm_model(facts, text);
    if ((found = el_cli_after(text, "vendor_id")) != NULL)
        el_cli_copy_line(facts->cpu_vendor, sizeof facts->cpu_vendor, found);
    if ((found = el_cli_after(text, "model name")) != NULL ||
        (found = el_cli_after(text, "uarch")) != NULL)
        el_cli_copy_line(facts->cpu_model, sizeof facts->cpu_model, found);
    if ((found = el_cli_after(text, "flags")) != NULL ||
        (found = el_cli_after(text, "Features")) != NULL)
        features(facts, found);
}

/* ---- cores -------------------------------------------------------------------------------- */

static void capacities(el_cli_facts *facts, el_cli_tree *tree)
{
    for (int core = 0; core < MAX_CORES; core++) {
        int64_t capacity =
            el_cli_tree_number(tree, "sys/devices/system/cpu/cpu%d/cpu_capacity", core);
        if (capacity <= 0) continue;
        if (facts->capacity_min == EL_CLI_UNKNOWN || capacity < facts->capacity_min)
            facts->capacity_min = capacity;
        if (capacity > facts->capacity_max) {
            facts->capacity_max = capacity;
            facts->cores_fast = 0;
        }
        if (capacity == facts->capacity_max) facts->cores_fast++;
    }
}

/* The smallest of what is online, the affinity, and the quota rounded up, but at least 1: what the
 * engine may use. */
static void allowed(el_cli_facts *facts)
{
    int64_t cores = facts->cores_online;
    if (facts->cores_affinity > 0 && (cores <= 0 || facts->cores_affinity < cores))
        cores = facts->cores_affinity;
    int64_t quota = facts->cores_quota;
    if (quota != EL_CLI_UNKNOWN && cores != EL_CLI_UNKNOWN) {
        quota = quota / 1000 + (quota % 1000 != 0);
        if (quota < cores) cores = quota > 1 ? quota : 1;
    }
    facts->cores_allowed = cores;
}

/* ---- clocks and heat ---------------------------------------------------------------------- */

#define POLICY "sys/devices/system/cpu/cpufreq/policy%d/"

/* The policy of the highest clock stands for the frequencies: the engine wants those cores. */
static void policy_clock(el_cli_facts *facts, el_cli_tree *tree, int policy)
{
    int64_t top = el_cli_tree_number(tree, POLICY "cpuinfo_max_freq", policy);
    if (top <= facts->frequency_top) return;
    facts->frequency_top = top;
    facts->frequency_now = el_cli_tree_number(tree, POLICY "scaling_cur_freq", policy);
    facts->frequency_min = el_cli_tree_number(tree, POLICY "scaling_min_freq", policy);
    facts->frequency_max = el_cli_tree_number(tree, POLICY "scaling_max_freq", policy);
}

static void frequency(el_cli_facts *facts, el_cli_tree *tree)
{
    char governor[sizeof facts->governor];
    facts->frequency_policies = 0;
    for (int policy = 0; policy < MAX_CORES; policy++) {
        if (!el_cli_tree_line(tree, governor, sizeof governor, POLICY "scaling_governor", policy))
            continue;
        if (facts->frequency_policies++ == 0 || strcmp(facts->governor, "performance") == 0) {
            memcpy(facts->governor, governor, sizeof governor);
            el_cli_tree_line(tree, facts->frequency_driver, sizeof facts->frequency_driver,
                             POLICY "scaling_driver", policy);
        }
        policy_clock(facts, tree, policy);
    }
    facts->boost = el_cli_tree_number(tree, "sys/devices/system/cpu/cpufreq/boost");
    int64_t off = el_cli_tree_number(tree, "sys/devices/system/cpu/intel_pstate/no_turbo");
    if (off != EL_CLI_UNKNOWN) facts->boost = off == 0;
}

static void heat(el_cli_facts *facts, el_cli_tree *tree)
{
    el_cli_zones zones;
    char name[EL_CLI_ZONE_NAME];
    int zone = 0;
    el_cli_zones_find(tree, &zones);
    facts->temperature = el_cli_zones_hottest(tree, &zones, &zone);
    if (zones.n > 0) {
        el_cli_zone_name(tree, zone, name);
        el_cli_copy_line(facts->temperature_zone, sizeof facts->temperature_zone, name);
    }
    facts->throttle_events = el_cli_tree_number(
        tree, "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count");
}

/* The firmware's own words where the kernel has that file, else the voltage alarm alone. */
static void raspberry(el_cli_facts *facts, el_cli_tree *tree)
{
    char name[32];
    facts->throttled = el_cli_firmware_throttled(tree);
    for (int sensor = 0; sensor < MAX_SENSORS; sensor++) {
        if (!el_cli_tree_line(tree, name, sizeof name, "sys/class/hwmon/hwmon%d/name", sensor) ||
            strcmp(name, "rpi_volt") != 0)
            continue;
        facts->under_voltage =
            el_cli_tree_number(tree, "sys/class/hwmon/hwmon%d/in0_lcrit_alarm", sensor);
    }
}

void el_cli_facts_processor(el_cli_facts *facts, el_cli_tree *tree)
{
    model(facts, tree);
    capacities(facts, tree);
    allowed(facts);
    frequency(facts, tree);
    heat(facts, tree);
    raspberry(facts, tree);
}
