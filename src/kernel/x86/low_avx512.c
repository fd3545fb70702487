/* low_avx512.c: matrix kernels of one bit, three levels and chained codes for AVX-512 with VNNI. */
#define EL_LOW         1
#define EL_WIDTH       16
#define EL_GROUP_START EL_INLINE

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avx512.inc"
#include "kernel/x86/scales_avx512.inc"

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_low_avx512(el_kernels *k)
{
    fill_matmul(k);
}
