/* bench_attention_scalar.c: the contenders in portable C. */
#define EL_WIDTH 4

#include "kernel/lanes.inc"
#include "kernel/scalar/dot_scalar.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"

EL_INLINE vfloat larger(vfloat a, vfloat b)
{
    return choose(a > b, a, b);
}

EL_INLINE vint pick(vint mask, vint a, vint b)
{
    return (mask & a) | (~mask & b);
}

EL_INLINE void table_bytes(lanes x, float inv, int top, uint8_t *out)
{
    ints code = quantize_lanes(x, inv);
    int32_t entry[EL_LANES];
    memcpy(entry, &code, sizeof entry);
    for (int i = 0; i < EL_LANES; i++)
        out[i] = (uint8_t)(entry[i] + top);
}

#include "bench_attention.inc"

#define KEYS 16

/* Without a shuffle: one byte after the other. */
static void lookup_scores(bench_head *h)
{
    const float factor = h->step * h->inv_sqrt;
    const uint8_t *codes = h->codes;
    for (uint32_t p = 0; p < h->length; p += KEYS) {
        uint32_t sum[KEYS] = {0};
        for (uint32_t s = 0; s < h->subs; s += 2, codes += KEYS) {
            const uint8_t *low = h->tables + s * BENCH_CENTROIDS, *high = low + BENCH_CENTROIDS;
            for (int k = 0; k < KEYS; k++)
                sum[k] += (uint32_t)low[codes[k] & 15] + high[codes[k] >> 4];
        }
        for (int k = 0; k < KEYS; k++)
            h->scores[p + (uint32_t)k] = (float)(int32_t)sum[k] * factor;
    }
}

const bench_way bench_ways_scalar[] = {
    BENCH_INT8, BENCH_LOOKUP_8(lookup_scores, KEYS), {.name = NULL}};

void bench_kernels_scalar(el_kernels *k)
{
    fill_ops(k);
}
