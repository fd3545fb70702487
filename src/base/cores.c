#include "base/cores.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/systext.h"

typedef struct core {
    unsigned number;
    unsigned sibling; /* allowed hardware threads of the same core that have a lower number */
    uint64_t speed;
    bool fast;
} core;

/* "0,4" or "0-1": how many allowed cores below `number` the list names. */
static unsigned lower_siblings(const char *list, unsigned number, const cpu_set_t *allowed)
{
    unsigned count = 0;
    while (*list >= '0' && *list <= '9') {
        uint64_t first = el_systext_number(&list), last = first;
        if (*list == '-') {
            list++;
            last = el_systext_number(&list);
        }
        for (uint64_t i = first; i <= last && i < number; i++)
            count += CPU_ISSET(i, allowed) != 0;
        if (*list == ',') list++;
    }
    return count;
}

static unsigned sibling_of(const char *folder, unsigned number, const cpu_set_t *allowed)
{
    char text[256];
    if (!el_systext_read(text, sizeof text, "%s/cpu%u/topology/thread_siblings_list", folder,
                         number))
        return 0;
    return lower_siblings(text, number, allowed);
}

/* Speeds from one kind of file; false if a core lacks it. */
static bool read_speeds(core *cores, unsigned n, const char *folder, const char *file)
{
    for (unsigned i = 0; i < n; i++) {
        cores[i].speed = el_systext_value(0, "%s/cpu%u/%s", folder, cores[i].number, file);
        if (cores[i].speed == 0) return false;
    }
    return true;
}

static void find_speeds(core *cores, unsigned n, const char *folder)
{
    uint64_t top = 0;
    bool known = read_speeds(cores, n, folder, "cpu_capacity") ||
                 read_speeds(cores, n, folder, "cpufreq/cpuinfo_max_freq");
    for (unsigned i = 0; i < n; i++) {
        if (!known) cores[i].speed = 1;
        if (cores[i].speed > top) top = cores[i].speed;
    }
    for (unsigned i = 0; i < n; i++)
        cores[i].fast = cores[i].speed >= top - top / 10;
}

/* The better one first. */
static int compare(const void *a, const void *b)
{
    const core *x = a, *y = b;
    if (x->sibling != y->sibling) return x->sibling < y->sibling ? -1 : 1;
    if (x->fast != y->fast) return x->fast ? -1 : 1;
    if (!x->fast && x->speed != y->speed) return x->speed > y->speed ? -1 : 1;
    return x->number > y->number ? -1 : 1;
}

void el_cores_list(el_core_list *list, const char *folder, const cpu_set_t *allowed)
{
    core cores[EL_CORES_LISTED];
    unsigned n = 0;
    for (unsigned i = 0; i < EL_CORES_LISTED; i++)
        if (CPU_ISSET(i, allowed))
            cores[n++] = (core){.number = i, .sibling = sibling_of(folder, i, allowed)};
    find_speeds(cores, n, folder);
    qsort(cores, n, sizeof *cores, compare);
    list->n = n;
    list->fast = 0;
    for (unsigned i = 0; i < n; i++) {
        list->number[i] = cores[i].number;
        list->fast += cores[i].fast && cores[i].sibling == 0;
    }
}

void el_cores_of_thread(cpu_set_t *allowed)
{
    if (sched_getaffinity(0, sizeof *allowed, allowed) != 0) CPU_ZERO(allowed);
}
