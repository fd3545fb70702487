/* ops_avxvnni.c: every operation but matmul for AVX2, F16C and AVX-VNNI. */
#define EL_WIDTH 8

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avxvnni.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"
#include "kernel/levels.h"

void el_kernels_ops_avxvnni(el_kernels *k)
{
    fill_ops(k);
}
