/* ops_avx2.c: every operation but matmul for AVX2 and F16C. */
#define EL_WIDTH 8

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avx2.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"
#include "kernel/levels.h"

void el_kernels_ops_avx2(el_kernels *k)
{
    fill_ops(k);
}
