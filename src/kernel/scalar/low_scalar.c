/* low_scalar.c: matrix kernels of one bit, three levels and chained codes in portable C. */
#define EL_LOW         1
#define EL_WIDTH       4
#define EL_GROUP_START static __attribute__((noinline))

#include "kernel/lanes.inc"
#include "kernel/scalar/dot_portable.inc"
#include "kernel/scalar/scales_scalar.inc"

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_low_scalar(el_kernels *k)
{
    fill_matmul(k);
}
