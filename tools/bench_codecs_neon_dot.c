/* bench_codecs_neon_dot.c: the contender for ARM with dot products (sdot). */
#ifdef __ARM_FEATURE_DOTPROD
#include <sys/auxv.h>

#include "bench_codecs_neon.h"

#define HAS_DOTPROD (1u << 20) /* HWCAP_ASIMDDP */

BENCH_INLINE void bytes_sum(const ready *block, const bench_acts *a, size_t at, int bits,
                            rows_i *sum)
{
    for (int k = 0; k < 4; k++)
        sum->v[k] = vdupq_n_s32(0);
    for (int quad = 0; quad < 8; quad++) {
        int32_t four;
        memcpy(&four, a->q + at * EL_BLOCK + quad * 4, sizeof four);
        int8x16_t q = vreinterpretq_s8_s32(vdupq_n_s32(four));
        for (int k = 0; k < 4; k++) {
            int8x16_t w = vreinterpretq_s8_u8(block->v[quad * 4 + k]);
            sum->v[k] = vdotq_s32(sum->v[k], w, q);
        }
    }
    for (int k = 0; k < 4; k++) {
        sum->v[k] = twice_plus(sum->v[k], -bench_top_level(bits) * a->sum[at]);
    }
}

BENCH_NEON(packed, packed_mul, packed_ready, bytes_sum)
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
