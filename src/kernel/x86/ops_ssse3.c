/* ops_ssse3.c: every operation but matmul for SSSE3 and SSE4.1. */
#define EL_WIDTH 4

#include "kernel/lanes.inc"
#include "kernel/x86/dot_ssse3.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"
#include "kernel/levels.h"

void el_kernels_ops_ssse3(el_kernels *k)
{
    fill_ops(k);
}
