/* ops_rvv.c: every operation but matmul for RISC-V with the vector extension V 1.0. */
#define EL_WIDTH 16

#include "kernel/lanes.inc"
#include "kernel/riscv/dot_rvv.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"
#include "kernel/levels.h"

void el_kernels_ops_rvv(el_kernels *k)
{
    fill_ops(k);
}
