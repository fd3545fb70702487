/*
 * bench_codecs.h: what the parts of bench_codecs share. The program measures, over all matrix
 * products of one model, how the codes of quantised weights should lie (docs/CODECS.md).
 *
 * Two layouts of the same codes, tiles of 16 rows and blocks of 32 columns in both:
 *   packed  src/kernel/matrix.h, word for word
 *   planes  per tile and block one 64-byte vector for each bit of the code, low bit first. Bit i
 *           of an index is that bit of column 4*quad + i, a byte holds two indices of one row:
 *               byte L*16 + r  =  index of quad L  |  index of quad L + 4  << 4     (L 0..3)
 *
 * The sums are those of the numeric contract, with level = 2*code - (2^bits - 1):
 *     acc = acc + (float)(sum of level * q over a block) * (ws * as),  blocks ascending
 * Exact contenders must give equal bits; the lossy ones are there for comparison only.
 */
#ifndef BENCH_CODECS_H
#define BENCH_CODECS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/matrix.h"

#define BENCH_VECTORS     64  /* most vectors of a prefill */
#define BENCH_BITS        5   /* arrays indexed by bits 2..4 */
#define BENCH_TABLE_BYTES 512 /* most bytes of lookup tables for one block of activations */

typedef struct bench_matrix {
    uint32_t rows, cols, tiles, blocks; /* rows divisible by 16, cols by 64 */
    uint32_t id;                        /* seeds its codes and scales */
    uint8_t *packed;                    /* tiles x blocks x 64 * bits bytes */
    uint8_t *planes;                    /* as many */
    uint16_t *scales;                   /* fp16 (tile, block / 2, row in tile), halved when used */
} bench_matrix;

/* Quantised activations as el_acts has them, and room for the tables made of them. */
typedef struct bench_acts {
    uint32_t blocks;
    int8_t *q;
    float *scale;
    int32_t *sum;
    uint8_t *tables; /* (vectors, blocks, bytes as the contender likes, <= BENCH_TABLE_BYTES) */
} bench_acts;

/* The part of a product that one call computes. */
typedef struct bench_span {
    uint32_t tile_begin, tile_end, vec_begin, vec_end; /* at most BENCH_VECTORS vectors */
} bench_span;

/* out: (vectors, rows) */
typedef void (*bench_matmul_fn)(const bench_matrix *m, const bench_acts *a, const bench_span *s,
                                float *out);
/* Builds the tables of the first n vectors. Timed, like the products. */
typedef void (*bench_prepare_fn)(const bench_acts *a, uint32_t n);

typedef struct bench_contender {
    const char *name; /* LAYOUT-METHOD-LEVEL */
    bool exact;
    uint32_t chunk;           /* vectors of a prefill that one call takes */
    bench_prepare_fn prepare; /* NULL: needs no tables */
    bench_matmul_fn decode[BENCH_BITS], prefill[BENCH_BITS]; /* by bits; NULL: not offered */
} bench_contender;

/* One list per family, ended by a NULL name, and whether this CPU runs it. */
extern const bench_contender bench_portable[], bench_avx2[], bench_avx512[], bench_neon[],
    bench_neon_dot[];
bool bench_has_portable(void), bench_has_avx2(void), bench_has_avx512(void), bench_has_neon(void),
    bench_has_neon_dot(void);

/* Tables of the exact lookups, split in bytes (docs/CODECS.md); also used by AVX-512. */
void bench_plane_tables_avx2(const bench_acts *a, uint32_t n);
void bench_pair_tables_avx2(const bench_acts *a, uint32_t n);

/*
 * An entry t of a table of exact sums, -512 <= t < 512, is kept as t & 31 and t >> 5 (-16..15):
 * eight of each add up inside a byte.
 */
#define BENCH_SPLIT      5
#define BENCH_SPLIT_MASK 31

static inline int bench_top_level(int bits)
{
    return (1 << bits) - 1;
}

#if defined(__GNUC__)
#define BENCH_INLINE static inline __attribute__((always_inline))
#else
#define BENCH_INLINE static inline
#endif

/* Before a loop over registers: its count and shifts are to be constants. */
#if defined(__clang__)
#define BENCH_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define BENCH_UNROLL _Pragma("GCC unroll 32")
#else
#define BENCH_UNROLL
#endif

/* Defines NAME_decode2 .. NAME_prefill4 from two inline bodies, in which bits is a constant. */
#define BENCH_KERNEL(function, body, bits)                                                         \
    static void function(const bench_matrix *m, const bench_acts *a, const bench_span *s,          \
                         float *out)                                                               \
    {                                                                                              \
        body(m, a, s, out, bits);                                                                  \
    }
#define BENCH_KERNELS_2(name, decode, prefill)                                                     \
    BENCH_KERNEL(name##_decode2, decode, 2) BENCH_KERNEL(name##_prefill2, prefill, 2)
#define BENCH_KERNELS(name, decode, prefill)                                                       \
    BENCH_KERNELS_2(name, decode, prefill)                                                         \
    BENCH_KERNEL(name##_decode3, decode, 3)                                                        \
    BENCH_KERNEL(name##_prefill3, prefill, 3)                                                      \
    BENCH_KERNEL(name##_decode4, decode, 4)                                                        \
    BENCH_KERNEL(name##_prefill4, prefill, 4)

/* The two bodies of a file that has one_vector() and many_vectors(): `direct` reads codes as it
 * goes; `make` unpacks a block once, for `sum` over all vectors. */
#define BENCH_ONE(layout, direct)                                                                  \
    BENCH_INLINE void direct##_one(const bench_matrix *m, const bench_acts *a,                     \
                                   const bench_span *s, float *out, int bits)                      \
    {                                                                                              \
        one_vector(m, m->layout, a, s, out, bits, direct);                                         \
    }
#define BENCH_MANY(layout, make, sum)                                                              \
    BENCH_INLINE void make##_##sum##_many(const bench_matrix *m, const bench_acts *a,              \
                                          const bench_span *s, float *out, int bits)               \
    {                                                                                              \
        many_vectors(m, m->layout, a, s, out, bits, make, sum);                                    \
    }

#define BENCH_2(name) .decode = {[2] = name##_decode2}, .prefill = {[2] = name##_prefill2}
#define BENCH_ALL(name)                                                                            \
    .decode = {[2] = name##_decode2, [3] = name##_decode3, [4] = name##_decode4},                  \
    .prefill = {[2] = name##_prefill2, [3] = name##_prefill3, [4] = name##_prefill4}

#endif
