/* matmul_scalar.c: the portable level of the matrix kernels. */
#define EL_WIDTH       4
#define EL_GROUP_START static __attribute__((noinline))

#include "kernel/lanes.inc"
#include "kernel/scalar/dot_portable.inc"
#include "kernel/scalar/scales_scalar.inc"

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_matmul_scalar(el_kernels *k)
{
    fill_matmul(k);
}
