/* ops_dotprod.c: every operation but matmul for ARMv8.2 with dot products. */
#define EL_WIDTH 4

#include "kernel/lanes.inc"

#include "kernel/arm/dot_dotprod.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"
#include "kernel/levels.h"

void el_kernels_ops_dotprod(el_kernels *k)
{
    fill_ops(k);
}
