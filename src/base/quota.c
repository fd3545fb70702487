/*
 * quota.c: version 2 keeps "QUOTA PERIOD" or "max PERIOD" in cpu.max, version 1 keeps the two in
 * cpu.cfs_quota_us (-1: none) and cpu.cfs_period_us. Inside a container the path in
 * /proc/self/cgroup may be the host's: a group that is not there is skipped, the root always
 * tried. Nothing is allocated; what does not parse counts as no quota.
 */
#include "base/quota.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/systext.h"

static unsigned whole_cores(uint64_t quota, uint64_t period)
{
    if (quota == 0 || period == 0) return 0;
    uint64_t cores = quota / period + (quota % period != 0);
    return cores > INT_MAX ? INT_MAX : (unsigned)cores;
}

static unsigned smaller(unsigned a, unsigned b)
{
    if (a == 0 || b == 0) return a + b;
    return a < b ? a : b;
}

static unsigned cores_v2(const char *group)
{
    char text[128];
    if (!el_systext_read(text, sizeof text, "%s/cpu.max", group)) return 0;
    const char *at = text; /* "max" reads as 0 */
    uint64_t quota = el_systext_number(&at);
    return whole_cores(quota, el_systext_number(&at));
}

static unsigned cores_v1(const char *group) /* a quota of "-1" is none */
{
    return whole_cores(el_systext_value(0, "%s/cpu.cfs_quota_us", group),
                       el_systext_value(0, "%s/cpu.cfs_period_us", group));
}

/* The smallest quota from root + folder + path up to root + folder. */
static unsigned walk_up(const char *root, const char *folder, const char *path, size_t path_length,
                        unsigned (*cores_of)(const char *group))
{
    char group[PATH_MAX];
    int length = snprintf(group, sizeof group, "%s%s%.*s", root, folder, (int)path_length, path);
    size_t top = strlen(root) + strlen(folder);
    if (length < 0 || (size_t)length >= sizeof group) return 0;
    unsigned cores = 0;
    for (;;) {
        cores = smaller(cores, cores_of(group));
        char *slash = strrchr(group + top, '/');
        if (!slash) return cores;
        *slash = 0;
    }
}

/* Is "cpu" one of the comma-separated names in [list, end)? */
static bool names_cpu(const char *list, const char *end)
{
    while (list < end) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        size_t length = (size_t)((comma ? comma : end) - list);
        if (length == 3 && memcmp(list, "cpu", 3) == 0) return true;
        list += length + 1;
    }
    return false;
}

/* One line, "NUMBER:CONTROLLERS:PATH": version 2 names no controllers. */
static unsigned cores_of_line(const char *line, size_t length, const char *root)
{
    const char *end = line + length;
    const char *names = memchr(line, ':', length);
    if (!names) return 0;
    names++;
    const char *path = memchr(names, ':', (size_t)(end - names));
    if (!path) return 0;
    size_t path_length = (size_t)(end - path - 1);
    if (path == names) return walk_up(root, "", path + 1, path_length, cores_v2);
    if (!names_cpu(names, path)) return 0;
    unsigned cores = walk_up(root, "/cpu", path + 1, path_length, cores_v1);
    return smaller(cores, walk_up(root, "/cpu,cpuacct", path + 1, path_length, cores_v1));
}

unsigned el_quota_cores(const char *proc_cgroup, const char *root)
{
    char text[8192];
    unsigned cores = cores_v2(root);
    if (!el_systext_read(text, sizeof text, "%s", proc_cgroup)) return cores;
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        cores = smaller(cores, cores_of_line(line, length, root));
        line += length + (line[length] == '\n');
    }
    return cores;
}
