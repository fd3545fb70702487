/* low_ssse3.c: matrix kernels of one bit, three levels and chained codes for SSSE3 and SSE4.1. */
#define EL_LOW         1
#define EL_WIDTH       4
#define EL_GROUP_START EL_INLINE

#include "kernel/lanes.inc"
#include "kernel/x86/dot_ssse3.inc"
#include "kernel/x86/scales_ssse3.inc"

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_low_ssse3(el_kernels *k)
{
    fill_matmul(k);
}
