/*
 * levels.h: what the files of one instruction-set level give to the table. Each function
 * overwrites its own entries and nothing else.
 */
#ifndef EL_KERNEL_LEVELS_H
#define EL_KERNEL_LEVELS_H

#include "kernel/kernels.h"

#define EL_LEVEL(level, name)                                                                      \
    void el_kernels_ops_##name(el_kernels *k);    /* all but matmul */                             \
    void el_kernels_matmul_##name(el_kernels *k); /* matmul of the codecs from 2 bits on */        \
    void el_kernels_low_##name(el_kernels *k);    /* of those of one bit and three levels */
#include "kernel/kernels.inc"

#endif
