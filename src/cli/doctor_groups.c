/*
 * doctor_groups.c: what control groups leave to this process, of versions 1 and 2: processor time
 * and memory. The narrowest group from this process up to the root counts. Inside a container the
 * path in /proc/self/cgroup may be the host's: a group that is not there is passed over, and the
 * root is always looked at.
 */
#include <stdio.h>
#include <string.h>

#include "cli/doctor_facts.h"

static void keep_smaller(int64_t *kept, int64_t value)
{
    if (*kept == EL_CLI_UNKNOWN || value < *kept) *kept = value;
}

static void quota(el_cli_facts *facts, int64_t runtime, int64_t period)
{
    if (runtime <= 0 || period <= 0 || runtime > INT64_MAX / 1000) return;
    keep_smaller(&facts->cores_quota, runtime * 1000 / period);
}

static void look_cpu_v2(el_cli_facts *facts, el_cli_tree *tree, const char *group)
{
    const char *text = el_cli_tree_read(tree, "%s/cpu.max", group); /* "QUOTA PERIOD", or "max" */
    if (text == NULL) return;
    const char *blank = strchr(text, ' ');
    if (blank != NULL) quota(facts, el_cli_number(text), el_cli_number(blank));
}

static void look_cpu_v1(el_cli_facts *facts, el_cli_tree *tree, const char *group)
{
    int64_t runtime = el_cli_tree_number(tree, "%s/cpu.cfs_quota_us", group); /* -1: none */
    quota(facts, runtime, el_cli_tree_number(tree, "%s/cpu.cfs_period_us", group));
}

/* `used_label`: what memory.stat calls memory that cannot be given back like cached files. */
static void memory(el_cli_facts *facts, el_cli_tree *tree, const char *group, int64_t limit,
                   const char *used_label)
{
    if (limit < 0 || limit >= (INT64_C(1) << 60)) return; /* version 1 writes "none" so */
    const char *stat = el_cli_tree_read(tree, "%s/memory.stat", group);
    const char *label = stat != NULL ? el_cli_after(stat, used_label) : NULL;
    int64_t used = label != NULL ? el_cli_number(label) : 0;
    keep_smaller(&facts->group_limit, limit);
    keep_smaller(&facts->group_room, used > 0 && used < limit ? limit - used
                                     : used > 0               ? 0
                                                              : limit);
}

static void look_memory_v2(el_cli_facts *facts, el_cli_tree *tree, const char *group)
{
    memory(facts, tree, group, el_cli_tree_number(tree, "%s/memory.max", group), "anon");
}

static void look_memory_v1(el_cli_facts *facts, el_cli_tree *tree, const char *group)
{
    memory(facts, tree, group, el_cli_tree_number(tree, "%s/memory.limit_in_bytes", group),
           "total_rss");
}

static const struct hierarchy {
    const char *controller; /* as /proc/self/cgroup names it; "" is version 2 */
    const char *folder;
    void (*look)(el_cli_facts *facts, el_cli_tree *tree, const char *group);
} hierarchies[] = {
    {"", "sys/fs/cgroup", look_cpu_v2},
    {"", "sys/fs/cgroup", look_memory_v2},
    {"cpu", "sys/fs/cgroup/cpu", look_cpu_v1},
    {"cpu", "sys/fs/cgroup/cpu,cpuacct", look_cpu_v1},
    {"memory", "sys/fs/cgroup/memory", look_memory_v1},
};
enum { N_HIERARCHIES = sizeof hierarchies / sizeof hierarchies[0] };

/* From the group at `path` up to the root of its hierarchy. */
static void walk_up(el_cli_facts *facts, el_cli_tree *tree, const struct hierarchy *h,
                    const char *path)
{
    char group[1024];
    int length = snprintf(group, sizeof group, "%s%s", h->folder, path);
    if (length < 0 || (size_t)length >= sizeof group) return;
    for (char *slash; (slash = strrchr(group + strlen(h->folder), '/')) != NULL; *slash = '\0')
        h->look(facts, tree, group);
}

/* Is `name` one of the comma-separated names in [list, end)? An empty list has the name "". */
static bool lists(const char *list, const char *end, const char *name)
{
    for (size_t n; list <= end; list += n + 1) {
        n = strcspn(list, ",:");
        if (n == strlen(name) && memcmp(list, name, n) == 0) return true;
    }
    return false;
}

/* One line, "NUMBER:CONTROLLERS:PATH". */
static void look_line(el_cli_facts *facts, el_cli_tree *tree, const char *line)
{
    const char *names = strchr(line, ':');
    const char *path = names != NULL ? strchr(names + 1, ':') : NULL;
    if (path == NULL || path[1] != '/') return;
    for (int i = 0; i < N_HIERARCHIES; i++) {
        if (lists(names + 1, path, hierarchies[i].controller)) {
            walk_up(facts, tree, &hierarchies[i], path + 1);
        }
    }
}

void el_cli_facts_groups(el_cli_facts *facts, el_cli_tree *tree)
{
    char groups[8192] = "", line[1024];
    const char *text = el_cli_tree_read(tree, "proc/self/cgroup");
    if (text != NULL) snprintf(groups, sizeof groups, "%s", text); /* reading on overwrites it */
    for (text = groups; text != NULL; text = el_cli_next_line(text)) {
        el_cli_copy_line(line, sizeof line, text);
        look_line(facts, tree, line);
    }
    for (int i = 0; i < N_HIERARCHIES; i++)
        hierarchies[i].look(facts, tree, hierarchies[i].folder);
}
