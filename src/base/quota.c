/*
 * quota.c: version 2 keeps "QUOTA PERIOD" or "max PERIOD" in cpu.max and bytes or "max" in
 * memory.max; version 1 keeps cpu.cfs_quota_us (-1: none), cpu.cfs_period_us and
 * memory.limit_in_bytes (huge: none). Inside a container the path in
 * /proc/self/cgroup may be the host's: a group that is not there is skipped, the root always
 * tried. Nothing is allocated; what does not parse counts as no quota.
 */
#include "base/quota.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/systext.h"

/* What is limited, and how a group says it; 0: not at all. */
typedef struct kind {
    const char *name;       /* of the controller in version 1 ... */
    const char *folders[2]; /* ... and where it is mounted; NULL: no second place */
    uint64_t (*v1)(const char *group);
    uint64_t (*v2)(const char *group);
} kind;

static uint64_t smaller(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0) return a + b;
    return a < b ? a : b;
}

/* ---- groups ------------------------------------------------------------------------------- */

/* The smallest limit from root + folder + path up to root + folder. */
static uint64_t walk_up(const char *root, const char *folder, const char *path, size_t path_length,
                        uint64_t (*limit_of)(const char *group))
{
    char group[PATH_MAX];
    int length = snprintf(group, sizeof group, "%s%s%.*s", root, folder, (int)path_length, path);
    size_t top = strlen(root) + strlen(folder);
    if (length < 0 || (size_t)length >= sizeof group) return 0;
    uint64_t limit = 0;
    for (;;) {
        limit = smaller(limit, limit_of(group));
        char *slash = strrchr(group + top, '/');
        if (!slash) return limit;
        *slash = 0;
    }
}

/* Is `name` one of the comma-separated names in [list, end)? */
static bool has_name(const char *list, const char *end, const char *name)
{
    while (list < end) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        size_t length = (size_t)((comma ? comma : end) - list);
        if (length == strlen(name) && memcmp(list, name, length) == 0) return true;
        list += length + 1;
    }
    return false;
}

/* One line, "NUMBER:CONTROLLERS:PATH": version 2 names no controllers. */
static uint64_t limit_of_line(const kind *k, const char *line, size_t length, const char *root)
{
    const char *end = line + length;
    const char *names = memchr(line, ':', length);
    if (!names) return 0;
    names++;
    const char *path = memchr(names, ':', (size_t)(end - names));
    if (!path) return 0;
    size_t path_length = (size_t)(end - path - 1);
    if (path == names) return walk_up(root, "", path + 1, path_length, k->v2);
    if (!has_name(names, path, k->name)) return 0;
    uint64_t limit = 0;
    for (int i = 0; i < 2 && k->folders[i]; i++)
        limit = smaller(limit, walk_up(root, k->folders[i], path + 1, path_length, k->v1));
    return limit;
}

static uint64_t smallest(const kind *k, const char *proc_cgroup, const char *root)
{
    char text[8192];
    uint64_t limit = k->v2(root);
    if (!el_systext_read(text, sizeof text, "%s", proc_cgroup)) return limit;
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        limit = smaller(limit, limit_of_line(k, line, length, root));
        line += length + (line[length] == '\n');
    }
    return limit;
}

/* ---- time --------------------------------------------------------------------------------- */

static uint64_t whole_cores(uint64_t quota, uint64_t period)
{
    if (quota == 0 || period == 0) return 0;
    return quota / period + (quota % period != 0);
}

static uint64_t cores_v2(const char *group)
{
    char text[128];
    if (!el_systext_read(text, sizeof text, "%s/cpu.max", group)) return 0;
    const char *at = text; /* "max" reads as 0 */
    uint64_t quota = el_systext_number(&at);
    return whole_cores(quota, el_systext_number(&at));
}

static uint64_t cores_v1(const char *group) /* a quota of "-1" is none */
{
    return whole_cores(el_systext_value(0, "%s/cpu.cfs_quota_us", group),
                       el_systext_value(0, "%s/cpu.cfs_period_us", group));
}

unsigned el_quota_cores(const char *proc_cgroup, const char *root)
{
    static const kind cpu = {"cpu", {"/cpu", "/cpu,cpuacct"}, cores_v1, cores_v2};
    const uint64_t cores = smallest(&cpu, proc_cgroup, root);
    return cores > INT_MAX ? INT_MAX : (unsigned)cores;
}

/* ---- memory ------------------------------------------------------------------------------- */

static uint64_t bytes_v2(const char *group)
{
    return el_systext_value(0, "%s/memory.max", group);
}

static uint64_t bytes_v1(const char *group)
{
    const uint64_t bytes = el_systext_value(0, "%s/memory.limit_in_bytes", group);
    return bytes > INT64_MAX / 2 ? 0 : bytes;
}

uint64_t el_quota_memory(const char *proc_cgroup, const char *root)
{
    static const kind memory = {"memory", {"/memory", NULL}, bytes_v1, bytes_v2};
    return smallest(&memory, proc_cgroup, root);
}

/* The bytes of a line "NAME:   123 kB"; 0 if there is none. */
static uint64_t bytes_of(const char *meminfo, const char *name)
{
    const char *line = strstr(meminfo, name);
    if (!line) return 0;
    line += strlen(name);
    line += strspn(line, ": ");
    return el_systext_number(&line) * 1024;
}

uint64_t el_quota_left(const char *proc_meminfo)
{
    char text[4096];
    if (!el_systext_read(text, sizeof text, "%s", proc_meminfo)) return 0;
    const uint64_t available = bytes_of(text, "MemAvailable:"); /* since Linux 3.14 */
    return available == 0 ? 0 : available + bytes_of(text, "SwapFree:");
}

uint64_t el_quota_room(uint64_t group, uint64_t left, uint64_t kept)
{
    const uint64_t allowed = group > kept ? group - kept : 0;
    if (group == 0) return left > 0 ? left : UINT64_MAX;
    return left > 0 && left < allowed ? left : allowed;
}
