/* ops_scalar.c: the portable level of every operation but matmul. Vectors of 16 bytes are what
 * every 64-bit CPU has; without them the compiler takes them apart. */
#define EL_WIDTH 4

#include "kernel/lanes.inc"
#ifdef __riscv /* without vectors, which are a level of their own */
#include "kernel/scalar/dot_words.inc"
#else
#include "kernel/scalar/dot_scalar.inc"
#endif

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"
#include "kernel/levels.h"

void el_kernels_ops_scalar(el_kernels *k)
{
    fill_ops(k);
}
