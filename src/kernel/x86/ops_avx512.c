/* ops_avx512.c: every operation but matmul for AVX-512 F, BW, VL, DQ and VNNI. */
#define EL_WIDTH 16

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avx512.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"
#include "kernel/levels.h"

void el_kernels_ops_avx512(el_kernels *k)
{
    fill_ops(k);
}
