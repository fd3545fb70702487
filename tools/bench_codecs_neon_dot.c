/* bench_codecs_neon_dot.c: the contender for ARM with dot products (sdot). */
#ifdef __ARM_FEATURE_DOTPROD
#include <sys/auxv.h>

#include "bench_codecs_neon.h"

#define HAS_DOTPROD (1u << 20) /* HWCAP_ASIMDDP */

BENCH_INLINE void add_products(rows_i *sum, int k, uint8x16_t codes, int8x16_t q)
{
    sum->v[k] = vdotq_s32(sum->v[k], vreinterpretq_s8_u8(codes), q);
}

BENCH_INLINE void finish(rows_i *sum, const bench_acts *a, size_t at, int bits)
{
    for (int k = 0; k < 4; k++) {
        sum->v[k] = twice_plus(sum->v[k], -bench_top_level(bits) * a->sum[at]);
    }
}

BENCH_INLINE void bytes_sum(const ready *block, const bench_acts *a, size_t at, int bits,
                            rows_i *sum)
{
    for (int k = 0; k < 4; k++)
        sum->v[k] = vdupq_n_s32(0);
    BENCH_UNROLL
    for (int i = 0; i < 32; i++)
        add_products(sum, i % 4, block->v[i], four_q(a, at, i / 4));
    finish(sum, a, at, bits);
}

BENCH_INLINE void bytes_direct(const uint8_t *codes, const bench_acts *a, size_t at, int bits,
                               rows_i *sum)
{
    for (int k = 0; k < 4; k++)
        sum->v[k] = vdupq_n_s32(0);
    BENCH_UNROLL
    for (int i = 0; i < 32; i++) {
        uint8x16_t w = packed_quad(codes, i / 4, i % 4, bits);
        add_products(sum, i % 4, w, four_q(a, at, i / 4));
    }
    finish(sum, a, at, bits);
}

BENCH_NEON(packed, packed_mul, bytes_direct, packed_ready, bytes_sum)
BENCH_KERNELS(packed_mul, packed_mul_one, packed_mul_many)

const bench_contender bench_neon_dot[] = {
    {"packed-mul-sdot", true, BENCH_VECTORS, NULL, BENCH_ALL(packed_mul)},
    {0},
};

bool bench_has_neon_dot(void)
{
    return (getauxval(AT_HWCAP) & HAS_DOTPROD) != 0;
}
#else
typedef int not_for_this_machine; /* an empty file is not C */
#endif
