/* matmul_neon.c: the matrix kernels for NEON without dot products: ARMv8.0, and ARMv7, whose NEON
 * makes zeroes of subnormals: GCC, which knows, computes floats one by one there (kernels.inc). */
#define EL_WIDTH       4
#define EL_PAIRS       1
#define EL_GROUP_START static __attribute__((noinline))

#include "kernel/lanes.inc"

#include "kernel/arm/dot_neon.inc"
#ifdef __aarch64__
#include "kernel/arm/scales_neon.inc"
#else
#include "kernel/scalar/scales_scalar.inc"
#endif

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_matmul_neon(el_kernels *k)
{
    fill_matmul(k);
}
