/* low_avx512vnni256.c: matrix kernels of one bit, three levels and chained codes for AVX-512
 * VNNI at 256 bits. */
#define EL_LOW         1
#define EL_WIDTH       8
#define EL_GROUP_START EL_INLINE

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avxvnni.inc"
#include "kernel/x86/scales_avx2.inc"

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_low_avx512vnni256(el_kernels *k)
{
    fill_matmul(k);
}
