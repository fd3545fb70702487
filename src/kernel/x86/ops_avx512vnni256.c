/* ops_avx512vnni256.c: every operation but matmul for AVX-512 F, BW, VL, DQ and VNNI, in
 * registers of 256 bits. */
#define EL_WIDTH 8

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avxvnni.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"
#include "kernel/levels.h"

void el_kernels_ops_avx512vnni256(el_kernels *k)
{
    fill_ops(k);
}
