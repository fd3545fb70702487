/*
 * levels.h: what the files of one instruction-set level give to the table. Each function
 * overwrites its own entries and nothing else. They are cold, by which the linker puts them
 * side by side: for they all run at the start, and would bring the code of levels that are never
 * used into memory, pages of which the system maps together.
 */
#ifndef EL_KERNEL_LEVELS_H
#define EL_KERNEL_LEVELS_H

#include "kernel/kernels.h"

#define EL_COLD __attribute__((cold))

#define EL_LEVEL(level, name)                                                                      \
    EL_COLD void el_kernels_ops_##name(el_kernels *k);    /* all but matmul */                     \
    EL_COLD void el_kernels_matmul_##name(el_kernels *k); /* matmul of codecs from 2 bits on */    \
    EL_COLD void el_kernels_low_##name(el_kernels *k);    /* few bits; chained */
#include "kernel/kernels.inc"

#endif
