/*
 * group_start.c: what decoding does once a group of columns (byte scales and offsets to floats), as
 * a function mca_group_CODEC of its own, so that measure.py can cut it out of the compiler's
 * assembly. Not part of any program. KERNEL is the kernel file of a level, which is included as it
 * is; it is compiled with -Dnoinline=unused, for kernels keep this work out of their loops.
 */
#include KERNEL

#define EL_MATMUL(id, name, bits, mul, bias, half, offset, kind)                                   \
    __attribute__((flatten)) void mca_group_##name(const el_matrix *m, size_t group,               \
                                                   row_scales *s)                                  \
    {                                                                                              \
        start_group(m, codec_of(bits, mul, bias, half, offset, kind), true, group, s);             \
    }
#define EL_MATMUL_LOW(...) /* in other files (low_*.c), which are not measured */
#include "kernel/kernels.inc"
