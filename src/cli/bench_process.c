#include "cli/bench_process.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cli/cli_options.h"

void el_cli_bench_add_pid(el_cli_bench_pids *pids, int64_t pid)
{
    if (pid <= 0 || pid > INT32_MAX || pids->n == EL_CLI_BENCH_PIDS) return;
    for (uint32_t i = 0; i < pids->n; i++) {
        if (pids->pid[i] == (pid_t)pid) return;
    }
    pids->pid[pids->n++] = (pid_t)pid;
}

uint32_t el_cli_bench_tasks(const char *root, pid_t pid, pid_t *ids)
{
    char path[512];
    uint64_t id;
    uint32_t n = 0;
    const struct dirent *entry;
    snprintf(path, sizeof path, "%s/proc/%d/task", root, (int)pid);
    DIR *folder = opendir(path);
    if (folder == NULL) return 0;
    while (n < EL_CLI_BENCH_TASKS && (entry = readdir(folder)) != NULL) {
        if (el_cli_parse_whole(entry->d_name, &id) && id <= INT32_MAX) ids[n++] = (pid_t)id;
    }
    closedir(folder);
    return n;
}

/* ---- how threads are scheduled ------------------------------------------------------------ */

static const struct policy {
    int number;
    const char *name;
} policies[] = {{SCHED_OTHER, "SCHED_OTHER"}, {SCHED_BATCH, "SCHED_BATCH"},
                {SCHED_IDLE, "SCHED_IDLE"},   {SCHED_FIFO, "SCHED_FIFO"},
                {SCHED_RR, "SCHED_RR"},       {6, "SCHED_DEADLINE"}}; /* not in older headers */

static const char *policy_name(int number)
{
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        if (policies[i].number == number) return policies[i].name;
    }
    return "another policy";
}

void el_cli_bench_core_list(const cpu_set_t *cores, char *list, size_t size)
{
    char part[32];
    list[0] = '\0';
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, cores)) continue;
        int last = core;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cores))
            last++;
        int n = snprintf(part, sizeof part, "%d", core);
        if (last > core && n > 0) snprintf(part + n, sizeof part - (size_t)n, "-%d", last);
        el_cli_append(list, size, ",", part);
        core = last;
    }
}

/* False: the thread has ended, or is not to be asked. */
static bool way_of(pid_t thread, el_cli_bench_way *way)
{
    struct sched_param parameters = {0};
    cpu_set_t cores;
    *way = (el_cli_bench_way){.policy = sched_getscheduler(thread), .threads = 1};
    if (way->policy < 0 || sched_getparam(thread, &parameters) != 0) return false;
    way->policy &= ~SCHED_RESET_ON_FORK;
    way->priority = parameters.sched_priority;
    errno = 0;
    way->nice = getpriority(PRIO_PROCESS, (id_t)thread);
    if (errno != 0 || sched_getaffinity(thread, sizeof cores, &cores) != 0) return false;
    el_cli_bench_core_list(&cores, way->cores, sizeof way->cores);
    return true;
}

static void add_way(el_cli_bench_threads *threads, const el_cli_bench_way *way)
{
    for (uint32_t i = 0; i < threads->n; i++) {
        el_cli_bench_way *seen = &threads->way[i];
        if (seen->policy != way->policy || seen->priority != way->priority ||
            seen->nice != way->nice || strcmp(seen->cores, way->cores) != 0)
            continue;
        seen->threads++;
        return;
    }
    if (threads->n < EL_CLI_BENCH_WAYS) {
        threads->way[threads->n++] = *way;
    } else {
        threads->others++;
    }
}

void el_cli_bench_look(const el_cli_bench_pids *pids, el_cli_bench_threads *threads)
{
    pid_t ids[EL_CLI_BENCH_TASKS];
    el_cli_bench_way way;
    *threads = (el_cli_bench_threads){.n = 0};
    for (uint32_t i = 0; i < pids->n; i++) {
        uint32_t n = el_cli_bench_tasks("", pids->pid[i], ids);
        for (uint32_t t = 0; t < n; t++) {
            if (way_of(ids[t], &way)) add_way(threads, &way);
        }
    }
}

void el_cli_bench_cores(const el_cli_bench_pids *pids, cpu_set_t *cores)
{
    pid_t ids[EL_CLI_BENCH_TASKS];
    cpu_set_t own;
    for (uint32_t i = 0; i < pids->n; i++) {
        uint32_t n = el_cli_bench_tasks("", pids->pid[i], ids);
        for (uint32_t t = 0; t < n; t++) {
            if (sched_getaffinity(ids[t], sizeof own, &own) == 0) CPU_OR(cores, cores, &own);
        }
    }
}

static bool is_real_time(int policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

const char *el_cli_bench_way_words(const el_cli_bench_way *way, char *room, size_t size)
{
    snprintf(room, size, "%s %s %d, cores %s: %u thread%s", policy_name(way->policy),
             is_real_time(way->policy) ? "priority" : "nice",
             is_real_time(way->policy) ? way->priority : way->nice, way->cores, way->threads,
             way->threads == 1 ? "" : "s");
    return room;
}

json_t *el_cli_bench_threads_json(const el_cli_bench_threads *threads)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < threads->n; i++) {
        const el_cli_bench_way *way = &threads->way[i];
        json_t *o = json_object();
        json_object_set_new(o, "policy", json_string(policy_name(way->policy)));
        json_object_set_new(o, "priority", json_integer(way->priority));
        json_object_set_new(o, "nice", json_integer(way->nice));
        json_object_set_new(o, "cores", json_string(way->cores));
        json_object_set_new(o, "threads", json_integer(way->threads));
        json_array_append_new(list, o);
    }
    return list;
}

/* ---- memory ------------------------------------------------------------------------------- */

uint64_t el_cli_bench_peak(el_cli_tree *tree, const el_cli_bench_pids *pids)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < pids->n; i++) {
        const char *text = el_cli_tree_read(tree, "proc/%d/status", (int)pids->pid[i]);
        const char *peak = text != NULL ? el_cli_after(text, "VmHWM") : NULL;
        int64_t kib = peak != NULL ? el_cli_number(peak) : 0;
        if (kib > 0) bytes += (uint64_t)kib * 1024;
    }
    return bytes;
}
