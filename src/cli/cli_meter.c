#include "cli/cli_meter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define POWERCAP "sys/class/powercap"
#define HWMON    "sys/class/hwmon"

enum { HWMONS = 32 }; /* numbers that are tried */

/* ---- parts -------------------------------------------------------------------------------- */

static bool add_part(el_cli_meter *m, const char *path, int64_t range)
{
    if (m->parts == EL_CLI_METER_PARTS || strlen(path) >= EL_CLI_METER_PATH) return false;
    memcpy(m->path[m->parts], path, strlen(path) + 1);
    m->range[m->parts++] = range;
    return true;
}

/* Is the file there, and a number? If it is there and refused, says why. */
static bool can_read(el_cli_meter *m, el_cli_tree *tree, const char *path)
{
    errno = 0;
    const char *text = el_cli_tree_read(tree, "%s", path);
    if (text != NULL) return el_cli_number(text) != EL_CLI_UNKNOWN;
    if (errno != EACCES && errno != EPERM) return false;
    snprintf(m->why, sizeof m->why, "/%s can be read by root only: %s", path, strerror(errno));
    return false;
}

static void drop_parts(el_cli_meter *m)
{
    m->parts = 0;
    m->kind = EL_CLI_METER_NONE;
}

/* ---- RAPL --------------------------------------------------------------------------------- */

/* A package is a zone of its own: "intel-rapl:0", not "intel-rapl:0:1" within it, nor
 * "intel-rapl-mmio:0", which counts the same once more. */
static bool add_package(el_cli_meter *m, el_cli_tree *tree, int number)
{
    char name[32], path[EL_CLI_METER_PATH];
    snprintf(path, sizeof path, POWERCAP "/intel-rapl:%d/energy_uj", number);
    if (!el_cli_tree_line(tree, name, sizeof name, POWERCAP "/intel-rapl:%d/name", number) ||
        strncmp(name, "package", 7) != 0)
        return false;
    el_cli_append(m->title, sizeof m->title, m->title[0] != '\0' ? " " : "", "RAPL");
    el_cli_append(m->title, sizeof m->title, " ", name);
    if (!can_read(m, tree, path)) return false;
    return add_part(
        m, path, el_cli_tree_number(tree, POWERCAP "/intel-rapl:%d/max_energy_range_uj", number));
}

static bool find_rapl(el_cli_meter *m, el_cli_tree *tree)
{
    if (!el_cli_tree_has(tree, POWERCAP)) return false;
    for (int number = 0; number < EL_CLI_METER_PARTS; number++)
        (void)add_package(m, tree, number);
    if (m->parts > 0) m->kind = EL_CLI_METER_COUNTER;
    return m->parts > 0;
}

/* ---- hwmon -------------------------------------------------------------------------------- */

/* Beginnings of the names of what measures a board or its processor; fans, disks, batteries and
 * graphics have sensors there too. */
static const char *const hwmon_names[] = {"ina2",  "ina3",       "ltc29",        "ltc41",   "pac19",
                                          "max34", "amd_energy", "fam15h_power", "zenpower"};

static bool is_meter(const char *name)
{
    for (size_t i = 0; i < sizeof hwmon_names / sizeof hwmon_names[0]; i++)
        if (strncmp(name, hwmon_names[i], strlen(hwmon_names[i])) == 0) return true;
    return false;
}

/* Files of a sensor, the best first; `second`: the other factor of a product. */
static const struct hwmon_row {
    const char *first, *second;
    el_cli_meter_kind kind;
} hwmon_rows[] = {
    {"energy1_input", NULL, EL_CLI_METER_COUNTER},
    {"power1_average", NULL, EL_CLI_METER_POWER},
    {"power1_input", NULL, EL_CLI_METER_POWER},
    {"curr1_input", "in1_input", EL_CLI_METER_PRODUCT},
};

static bool take_file(el_cli_meter *m, el_cli_tree *tree, int number, const char *file)
{
    char path[EL_CLI_METER_PATH];
    if (file == NULL) return true;
    snprintf(path, sizeof path, HWMON "/hwmon%d/%s", number, file);
    return can_read(m, tree, path) && add_part(m, path, EL_CLI_UNKNOWN);
}

static bool take_hwmon(el_cli_meter *m, el_cli_tree *tree, int number, const struct hwmon_row *row)
{
    char name[32];
    drop_parts(m);
    if (!take_file(m, tree, number, row->first) || !take_file(m, tree, number, row->second)) {
        drop_parts(m);
        return false;
    }
    m->kind = row->kind;
    el_cli_tree_line(tree, name, sizeof name, HWMON "/hwmon%d/name", number);
    snprintf(m->title, sizeof m->title, "%s %s", name, row->first);
    return true;
}

/* Numbers of those that are meters; returns how many. */
static int list_hwmons(el_cli_tree *tree, int numbers[HWMONS])
{
    char name[32];
    int n = 0;
    if (!el_cli_tree_has(tree, HWMON)) return 0;
    for (int number = 0; number < HWMONS; number++) {
        if (el_cli_tree_line(tree, name, sizeof name, HWMON "/hwmon%d/name", number) &&
            is_meter(name))
            numbers[n++] = number;
    }
    return n;
}

static bool find_hwmon(el_cli_meter *m, el_cli_tree *tree)
{
    int numbers[HWMONS];
    const int n = list_hwmons(tree, numbers);
    for (size_t row = 0; row < sizeof hwmon_rows / sizeof hwmon_rows[0]; row++)
        for (int i = 0; i < n; i++)
            if (take_hwmon(m, tree, numbers[i], &hwmon_rows[row])) return true;
    return false;
}

void el_cli_meter_find(el_cli_meter *m, el_cli_tree *tree)
{
    *m = (el_cli_meter){.kind = EL_CLI_METER_NONE};
    const bool found = find_rapl(m, tree) || find_hwmon(m, tree);
    if (found) m->why[0] = '\0';
    if (!found && m->why[0] == '\0') m->title[0] = '\0';
}

/* ---- counting ----------------------------------------------------------------------------- */

static bool read_parts(const el_cli_meter *m, el_cli_tree *tree, int64_t now[EL_CLI_METER_PARTS])
{
    for (int i = 0; i < m->parts; i++) {
        now[i] = el_cli_tree_number(tree, "%s", m->path[i]);
        if (now[i] == EL_CLI_UNKNOWN) return false;
    }
    return m->parts > 0;
}

static double watts_of(const el_cli_meter *m, const int64_t now[EL_CLI_METER_PARTS])
{
    const double other = m->kind == EL_CLI_METER_PRODUCT ? (double)now[1] : 1;
    return (double)now[0] * other * 1e-6;
}

/* A counter that went back began anew; where is known for RAPL, else what it lost is unknown. */
static int64_t moved(int64_t last, int64_t now, int64_t range)
{
    if (now >= last) return now - last;
    return range != EL_CLI_UNKNOWN && range >= last ? range - last + now : now;
}

static void add(el_cli_meter *m, const int64_t now[EL_CLI_METER_PARTS], double seconds)
{
    if (m->kind == EL_CLI_METER_COUNTER) {
        for (int i = 0; i < m->parts; i++)
            m->joules += (double)moved(m->last[i], now[i], m->range[i]) * 1e-6;
    } else {
        m->joules += (m->watts + watts_of(m, now)) / 2 * seconds;
    }
}

static void keep(el_cli_meter *m, const int64_t now[EL_CLI_METER_PARTS], double now_ms)
{
    memcpy(m->last, now, sizeof m->last);
    m->watts = watts_of(m, now);
    m->last_ms = now_ms;
    m->begun = true;
}

void el_cli_meter_begin(el_cli_meter *m, el_cli_tree *tree, double now_ms)
{
    int64_t now[EL_CLI_METER_PARTS] = {0};
    m->joules = 0;
    m->begun = m->lost = false;
    if (m->kind != EL_CLI_METER_NONE && read_parts(m, tree, now)) keep(m, now, now_ms);
}

void el_cli_meter_read(el_cli_meter *m, el_cli_tree *tree, double now_ms)
{
    int64_t now[EL_CLI_METER_PARTS] = {0};
    if (m->kind == EL_CLI_METER_NONE) return;
    if (!m->begun || !read_parts(m, tree, now)) {
        m->lost = true;
        return;
    }
    add(m, now, (now_ms - m->last_ms) / 1e3);
    keep(m, now, now_ms);
}

/* A package of 300 W fills RAPL's smallest range, 262 kJ, in a quarter of an hour. */
double el_cli_meter_patience(const el_cli_meter *m)
{
    return m->kind == EL_CLI_METER_COUNTER ? 60000 : 100;
}
