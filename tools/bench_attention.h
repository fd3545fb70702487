/*
 * bench_attention.h: what the parts of bench_attention share. The program counts what the scores of
 * one attention head cost, with int8 keys as the engine keeps them, and with keys as 4-bit codes
 * that are looked up (docs/KERNELS.md).
 *
 * Keys by lookup: head_dim is cut into sub-vectors of `sub` dimensions; a key keeps for each the
 * index of the nearest of 16 centroids. A query makes a table of bytes for each sub-vector:
 *     t[s][c] = rint(dot(part s of the query, centroid c) * top / amax) + top      amax: over all
 *     score(p) = (sum over s of t[s][code(p, s)]) * (amax / top * inv_sqrt)
 * up to a constant that softmax doesn't see. `top` bounds how many bytes add up without widening.
 *
 * Codes lie in blocks of as many keys as a vector has bytes, two sub-vectors to a byte:
 *     byte (p / block * subs / 2 + s / 2) * block + p % block, its low half for even s
 */
#ifndef BENCH_ATTENTION_H
#define BENCH_ATTENTION_H

#include <stdbool.h>

#include "kernel/kernels.h"

#define BENCH_CENTROIDS   16
#define BENCH_QUERY_BYTES 1024 /* room for a query as int8 codes */

typedef struct bench_head {
    uint32_t head_dim, length; /* multiples of 64 and 128 */
    uint32_t sub, subs, block;
    float inv_sqrt;
    const float *query; /* (head_dim) */
    float *scores;      /* (length) */
    el_kv kv;
    void *int8_query;
    uint8_t *codes;
    float *book;     /* (subs, sub, 16): dimension j of centroid c */
    float *book_of;  /* (16, sub, subs): the same */
    float *half_sq;  /* (16, subs): half the centroid's square */
    float *products; /* (subs, 16) */
    uint8_t *tables; /* (subs, 16) */
    float step;      /* amax / top */
} bench_head;

typedef struct bench_way {
    const char *name;
    int top;        /* of the tables: 127, or 31 where four bytes add up in a byte; 0: int8 */
    uint32_t block; /* keys */
    void (*query)(bench_head *h);  /* what a query pays once */
    void (*scores)(bench_head *h); /* what it pays for all keys */
    void (*append)(bench_head *h, uint32_t position, const float *key); /* what a new key pays */
} bench_way;

/* One list per level, ended by a NULL name; the level's kernels, for attention as a whole. */
extern const bench_way bench_ways_scalar[], bench_ways_avx2[], bench_ways_avx512[],
    bench_ways_neon[], bench_ways_neon_dot[];
void bench_kernels_scalar(el_kernels *k), bench_kernels_avx2(el_kernels *k),
    bench_kernels_avx512(el_kernels *k), bench_kernels_neon(el_kernels *k),
    bench_kernels_neon_dot(el_kernels *k);

#endif
