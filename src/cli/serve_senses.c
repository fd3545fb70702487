#include "cli/serve_senses.h"

#include <stdlib.h>

void el_cli_serve_senses_open(el_cli_serve_senses *s)
{
    s->tree = calloc(1, sizeof *s->tree);
    if (!s->tree) return;
    s->tree->root = "";
    el_cli_zones_find(s->tree, &s->zones);
}

void el_cli_serve_senses_close(el_cli_serve_senses *s)
{
    free(s->tree);
}

static uint64_t resident_bytes(el_cli_tree *tree)
{
    const char *status = el_cli_tree_read(tree, "proc/self/status");
    const char *resident = status ? el_cli_after(status, "VmRSS") : NULL;
    const int64_t kib = resident ? el_cli_number(resident) : EL_CLI_UNKNOWN;
    return kib > 0 ? (uint64_t)kib * 1024 : 0;
}

void el_cli_serve_sense(void *context, el_senses *senses)
{
    el_cli_serve_senses *s = context;
    if (!s->tree) return;
    senses->resident_bytes = resident_bytes(s->tree);
    const int64_t heat = el_cli_zones_hottest(s->tree, &s->zones, NULL);
    if (heat != EL_CLI_UNKNOWN) senses->celsius = (double)heat / 1e3;
    for (uint32_t cpu = 0; cpu < EL_SENSES_CPUS; cpu++) {
        const int64_t khz = el_cli_core_khz(s->tree, (int)cpu);
        if (khz <= 0) continue;
        senses->cpus[senses->n_cpus].number = cpu;
        senses->cpus[senses->n_cpus++].hertz = (uint64_t)khz * 1000;
    }
}
