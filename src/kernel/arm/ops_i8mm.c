/* ops_i8mm.c: every operation but matmul for ARMv8.2 with int8 matrix products, which only matrices
 * use. */
#define EL_WIDTH 4

#include "kernel/lanes.inc"

#include "kernel/arm/dot_dotprod.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"
#include "kernel/levels.h"

void el_kernels_ops_i8mm(el_kernels *k)
{
    fill_ops(k);
}
