/* ops_scalar.c: the portable level of every operation but matmul. Vectors of 16 bytes are what
 * every 64-bit CPU has; without them the compiler takes them apart. */
#define EL_WIDTH 4

#include "kernel/lanes.inc"
#include "kernel/scalar/dot_portable.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"
#include "kernel/levels.h"

void el_kernels_ops_scalar(el_kernels *k)
{
    fill_ops(k);
}
