/* matmul_scalar.c: the portable level of the matrix kernels. */
#define EL_WIDTH       4
#define EL_GROUP_START static __attribute__((noinline))

#include "kernel/lanes.inc"
#ifdef __riscv /* without vectors, which are a level of their own */
#include "kernel/scalar/dot_words.inc"
#else
#include "kernel/scalar/dot_scalar.inc"
#endif
#include "kernel/scalar/scales_scalar.inc"

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_matmul_scalar(el_kernels *k)
{
    fill_matmul(k);
}
