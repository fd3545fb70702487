/* ops_neon.c: every operation but matmul for NEON without dot products: ARMv8.0 and ARMv7. */
#define EL_WIDTH 4

#include "kernel/lanes.inc"

#include "kernel/arm/dot_neon.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"
#include "kernel/levels.h"

void el_kernels_ops_neon(el_kernels *k)
{
    fill_ops(k);
}
