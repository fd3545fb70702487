/* low_avx512bw.c: matrix kernels of one bit, three levels and chained codes for AVX-512 without
 * VNNI. */
#define EL_LOW         1
#define EL_WIDTH       16
#define EL_GROUP_START EL_INLINE

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avx512bw.inc"
#include "kernel/x86/scales_avx512.inc"

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_low_avx512bw(el_kernels *k)
{
    fill_matmul(k);
}
