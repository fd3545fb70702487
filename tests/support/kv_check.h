/*
 * kv_check.h: what the KV cache keeps of keys and values at 16, 8 and 4 bits, and what attention
 * makes of it, written naively from kernels.h and docs/NUMERICS.md.
 */
#ifndef EL_TESTS_SUPPORT_KV_CHECK_H
#define EL_TESTS_SUPPORT_KV_CHECK_H

#include "kernel/rotation.h"
#include "support/kernel_check.h"

/* Nearest integer, ties to even. */
static inline int ref_round(float x)
{
    int n = (int)x;
    float rest = x - (float)n;
    if (rest > 0.5f || (rest == 0.5f && n % 2 != 0)) return n + 1;
    if (rest < -0.5f || (rest == -0.5f && n % 2 != 0)) return n - 1;
    return n;
}

static inline void ref_quantize(const float *x, uint32_t n, int8_t *q, float *scale, int32_t *sum)
{
    for (uint32_t b = 0; b * 32 < n; b++) {
        float amax = 0;
        for (uint32_t i = b * 32; i < b * 32 + 32 && i < n; i++) {
            float magnitude = x[i] < 0 ? -x[i] : x[i];
            if (magnitude > amax) amax = magnitude;
        }
        float inv = amax < 0x1p-100f ? 0.0f : 127.0f / amax;
        scale[b] = amax < 0x1p-100f ? 0.0f : amax / 127.0f;
        sum[b] = 0;
        for (uint32_t i = b * 32; i < b * 32 + 32; i++) {
            int code = i < n ? ref_round(x[i] * inv) : 0;
            if (code > 127) code = 127;
            if (code < -127) code = -127;
            q[i] = (int8_t)code;
            sum[b] += code;
        }
    }
}

/* Nearest with ties away from zero, of which only the upper half is kept. */
static inline float ref_upper(float x)
{
    return el_float_of_bits((el_bits_of_float(x) + 0x8000u) & 0xffff0000u);
}

/* 16 levels of a block from an offset on; the word has both. */
static inline void ref_quantize4(const float *x, int8_t *q, float *word)
{
    float low = x[0], high = x[0];
    for (uint32_t i = 1; i < 32; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    const float offset = ref_upper(low), wanted = (high - offset) / 15;
    const float step = wanted < 0x1p-100f ? 0 : ref_upper(wanted);
    for (uint32_t i = 0; i < 32; i++) {
        float y = step == 0 ? 0 : (x[i] - offset) * (1 / step);
        q[i] = (int8_t)ref_round(y < 0 ? 0 : y > 15 ? 15 : y);
    }
    *word = el_float_of_bits(el_bits_of_float(step) | el_bits_of_float(offset) >> 16);
}

/* A key or value, or a query that meets keys: `blocks` of codes and scales. */
static inline void ref_codes(const el_kv *kv, const float *x, uint32_t n, int8_t *q, float *scale)
{
    float rest[EL_HEAD_DIM_MAX] = {0};
    int32_t sum[EL_HEAD_DIM_MAX / 32];
    const uint32_t half = kv->blocks / 2;
    memcpy(rest, x, n * sizeof *x);
    if (kv->bits == 4) {
        for (uint32_t b = 0; b < kv->blocks; b++)
            ref_quantize4(rest + b * 32, q + b * 32, scale + b);
        return;
    }
    ref_quantize(x, n, q, scale, sum);
    if (kv->bits != 16) return;
    for (uint32_t i = 0; i < n; i++)
        rest[i] = x[i] - (float)q[i] * scale[i / 32];
    ref_quantize(rest, n, q + half * 32, scale + half, sum);
}

/* Keys and queries of 4 bits. */
static inline void ref_turn(const el_kv *kv, const float *from, uint32_t n, float *x)
{
    memcpy(x, from, n * sizeof *x);
    if (kv->bits == 4) el_rotate_row(x, n / 64 * 64);
}

/* Where code d of a key or value of 4 bits lies, and how far up in its byte. */
static inline size_t ref_key4_at(const el_kv *kv, uint32_t p, uint32_t d)
{
    return ((p / 16 * kv->blocks * 4 + d / 8) * 16 + p % 16) * 4 + d % 4;
}

static inline size_t ref_value4_at(const el_kv *kv, uint32_t p, uint32_t d)
{
    return (p * kv->blocks + d / 32) * 16 + d % 16;
}

static inline void put_nibble(int8_t *byte, int code, bool high)
{
    *byte = (int8_t)(high ? (*byte & 15) | code << 4 : (*byte & ~15) | code);
}

static inline int key_code(const el_kv *kv, uint32_t p, uint32_t d)
{
    if (kv->bits == 4) return (uint8_t)kv->keys[ref_key4_at(kv, p, d)] >> (d / 4 % 2 * 4) & 15;
    return kv->keys[((p / 16 * kv->blocks * 8 + d / 4) * 16 + p % 16) * 4 + d % 4];
}

static inline void ref_kv_store(const el_kv *kv, uint32_t p, const float *key, const float *value,
                                uint32_t head_dim)
{
    int8_t kq[EL_KV_DIM_MAX], vq[EL_KV_DIM_MAX];
    float ks[EL_KV_DIM_MAX / 32], vs[EL_KV_DIM_MAX / 32], turned[EL_HEAD_DIM_MAX];
    ref_turn(kv, key, head_dim, turned);
    ref_codes(kv, turned, head_dim, kq, ks);
    ref_codes(kv, value, head_dim, vq, vs);
    for (uint32_t d = 0; d < kv->blocks * 32; d++) {
        if (kv->bits == 4) {
            put_nibble(kv->keys + ref_key4_at(kv, p, d), kq[d], d / 4 % 2);
            put_nibble(kv->values + ref_value4_at(kv, p, d), vq[d], d % 32 / 16);
        } else {
            kv->keys[((p / 16 * kv->blocks * 8 + d / 4) * 16 + p % 16) * 4 + d % 4] = kq[d];
            kv->values[p * kv->blocks * 32 + d] = vq[d];
        }
    }
    for (uint32_t b = 0; b < kv->blocks; b++) {
        kv->kscale[(p / 16 * kv->blocks + b) * 16 + p % 16] = ks[b];
        kv->vscale[p * kv->blocks + b] = vs[b];
    }
}

/* Of a word: the scale, and the offset. */
static inline float upper_of(float word)
{
    return el_float_of_bits(el_bits_of_float(word) & 0xffff0000u);
}

static inline float lower_of(float word)
{
    return el_float_of_bits(el_bits_of_float(word) << 16);
}

/* Of 16 bits both halves of a key meet the same query. */
static inline float ref_score(const el_kv *kv, const int8_t *q, const float *qs, const int32_t *sum,
                              uint32_t p)
{
    const uint32_t blocks = kv->bits == 16 ? kv->blocks / 2 : kv->blocks;
    float score = 0;
    for (uint32_t b = 0; b < kv->blocks; b++) {
        const uint32_t of = b % blocks;
        const float ks = kv->kscale[(p / 16 * kv->blocks + b) * 16 + p % 16];
        int32_t dot = 0;
        for (uint32_t d = 0; d < 32; d++)
            dot += key_code(kv, p, b * 32 + d) * q[of * 32 + d];
        score = score + (float)dot * (qs[of] * (kv->bits == 4 ? upper_of(ks) : ks));
        if (kv->bits == 4) score = score + (lower_of(ks) * qs[of]) * (float)sum[of];
    }
    return score;
}

/* What a mix of 4 bits begins with: weights times offsets, in 16 lanes. */
static inline float ref_offsets(const el_kv *kv, const float *e, uint32_t begin, uint32_t end,
                                uint32_t d)
{
    float lanes[16] = {0};
    for (uint32_t p = begin; p < end; p++)
        lanes[p % 16] = lanes[p % 16] + e[p] * lower_of(kv->vscale[p * kv->blocks + d / 32]);
    return sum_of_lanes(lanes);
}

/* Of the positions begin to end - 1 and n dimensions from d on, which is a multiple of 32 and has
 * one scale with them: added to out. Emulated, these loops are most of what the test takes, so that
 * compilers should see through them. */
static inline void ref_mix_block(const el_kv *kv, const float *e, uint32_t begin, uint32_t end,
                                 uint32_t d, uint32_t n, float *out)
{
    const float first = kv->bits == 4 ? ref_offsets(kv, e, begin, end, d) : 0;
    float mix[32];
    for (int i = 0; i < 32; i++)
        mix[i] = first;
    for (uint32_t p = begin; p < end; p++) {
        const float word = kv->vscale[p * kv->blocks + d / 32];
        if (kv->bits == 4) {
            const float weight = e[p] * upper_of(word);
            const uint8_t *codes = (const uint8_t *)kv->values + ref_value4_at(kv, p, d);
            for (int i = 0; i < 32; i++)
                mix[i] = mix[i] + weight * (float)(codes[i % 16] >> i / 16 * 4 & 15);
        } else {
            const float weight = e[p] * word;
            const int8_t *codes = kv->values + p * kv->blocks * 32 + d;
            for (int i = 0; i < 32; i++)
                mix[i] = mix[i] + weight * (float)codes[i];
        }
    }
    for (uint32_t i = 0; i < n; i++)
        out[i] = out[i] + mix[i];
}

/* Of n dimensions of the cache from `from` on, a multiple of 32. */
static inline void ref_mix(const el_kv *kv, const float *e, uint32_t length, uint32_t from,
                           uint32_t n, float *out)
{
    memset(out, 0, n * sizeof *out);
    for (uint32_t begin = 0; begin < length; begin += 64) {
        const uint32_t end = begin + 64 < length ? begin + 64 : length;
        for (uint32_t at = 0; at < n; at += 32)
            ref_mix_block(kv, e, begin, end, from + at, n - at < 32 ? n - at : 32, out + at);
    }
}

/* Dimension d of values that are floats. */
static inline float ref_mix_exact(const float *values, uint32_t head_dim, const float *e,
                                  uint32_t length, uint32_t d)
{
    float total = 0;
    for (uint32_t begin = 0; begin < length; begin += 64) {
        float mix = 0;
        for (uint32_t p = begin; p < begin + 64 && p < length; p++)
            mix = mix + e[p] * values[p * head_dim + d];
        total = total + mix;
    }
    return total;
}

#endif
