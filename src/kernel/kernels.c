/* kernels.c: chooses among the levels: each one that may run overwrites what came before it. */
#include "kernel/kernels.h"

#include <stddef.h>

#include "kernel/levels.h"

typedef struct level_row {
    el_cpu_level level;
    void (*ops)(el_kernels *k);
    void (*matmul)(el_kernels *k);
    void (*low)(el_kernels *k);
} level_row;

static const level_row levels[] = {
#define EL_LEVEL(level, name)                                                                      \
    {level, el_kernels_ops_##name, el_kernels_matmul_##name, el_kernels_low_##name},
#include "kernel/kernels.inc"
};

void el_kernels_init(el_kernels *k, el_cpu_level highest)
{
    *k = (el_kernels){.name = NULL};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        const level_row *row = &levels[i];
        if (row->level > highest || !el_cpu_has(row->level)) continue;
        row->ops(k);
        row->matmul(k);
        row->low(k);
        k->name = el_cpu_level_name(row->level);
        k->level = row->level;
    }
}

const char *el_kernels_built(uint32_t index)
{
    if (index >= sizeof levels / sizeof levels[0]) return NULL;
    return el_cpu_level_name(levels[index].level);
}
