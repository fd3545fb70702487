/* ops_avx512bw.c: every operation but matmul for AVX-512 F, BW, VL and DQ. */
#define EL_WIDTH 16

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avx512bw.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"
#include "kernel/levels.h"

void el_kernels_ops_avx512bw(el_kernels *k)
{
    fill_ops(k);
}
