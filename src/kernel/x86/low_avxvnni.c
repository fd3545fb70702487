/* low_avxvnni.c: matrix kernels of one bit, three levels and chained codes for AVX-VNNI. */
#define EL_LOW         1
#define EL_WIDTH       8
#define EL_GROUP_START EL_INLINE

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avxvnni.inc"
#include "kernel/x86/scales_avx2.inc"

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_low_avxvnni(el_kernels *k)
{
    fill_matmul(k);
}
