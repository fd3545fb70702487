/*
 * kernels.h: the operations that cost time, one function type each, and the table that chooses
 * among instruction sets. A kernel is a pure function: no allocation, no libc calls, no globals.
 * All versions of a kernel give equal bits; tests/test_kernels.c holds them to it with ==.
 *
 * Order of every float reduction ("16 lanes"): element i is added into lane i mod 16 in ascending
 * order, then lanes l and l+8, l+4, l+2, l+1 are added.
 */
#ifndef EL_KERNEL_KERNELS_H
#define EL_KERNEL_KERNELS_H

#include "cpu/cpu.h"
#include "kernel/matrix.h"

/*
 * out[t * out_stride + row] for rows of tiles [tile_begin, tile_end) and n activation vectors:
 *     acc = 0; for each block in ascending order:
 *         sum = exact integer sum of level * q over the block
 *         acc = acc + (float)sum * (ws * as)
 *         with an offset:  acc = acc + (m * as) * (float)sum_q
 * Rows past m->rows are not stored. Padded rows and columns are read.
 */
/* How the numbers of a codec lie: as matrix.h says, each for itself, as fives, or chained. */
typedef enum el_codec_kind { EL_PLAIN, EL_FIVES, EL_CHAINED } el_codec_kind;

typedef void (*el_matmul_fn)(const el_matrix *m, const el_acts *acts, uint32_t n,
                             uint32_t tile_begin, uint32_t tile_end, float *out, size_t out_stride);

/*
 * The same with float activations x (n, x_stride), for exact mode: out = dot(row, x) in 16 lanes,
 * row as el_matrix_row gives it. scratch: cols floats. Products and sums are float32.
 */
typedef void (*el_matmul_exact_fn)(const el_matrix *m, const float *x, size_t x_stride, uint32_t n,
                                   uint32_t tile_begin, uint32_t tile_end, float *out,
                                   size_t out_stride, float *scratch);

/* Quantises one vector of n floats into one row of el_acts (blocks = ceil(n / 32)). */
typedef void (*el_quantize_fn)(const float *x, uint32_t n, int8_t *q, float *scale, int32_t *sum);

/* out = (x * (1 / sqrt(sum(x*x) / n + eps))) * weight; the sum in 16 lanes. out may be x. */
typedef void (*el_rms_norm_fn)(const float *x, const float *weight, uint32_t n, float eps,
                               float *out);

/* Rotates n inputs of a rotated matrix in place: el_rotate_row (rotation.h). n: a multiple of
 * EL_ROTATION_WIDTH. */
typedef void (*el_rotate_fn)(float *x, uint32_t n);

/* x += y */
typedef void (*el_add_fn)(float *x, const float *y, uint32_t n);

/* gate = (gate / (1 + exp(-gate))) * up, exp as el_expf, argument clamped to 88. */
typedef void (*el_swiglu_fn)(float *gate, const float *up, uint32_t n);

/* The same with GELU, its tanh form written as a logistic function:
 * gate = (gate / (1 + exp(gate * (A + B * (gate * gate))))) * up. */
#define EL_GELU_A (-1.5957691216057308f)  /* -2 sqrt(2 / pi) */
#define EL_GELU_B (-0.07135481627260025f) /* that times 0.044715 */
typedef void (*el_geglu_fn)(float *gate, const float *up, uint32_t n);

/* The same with the square of ReLU: r = gate > 0 ? gate : 0; gate = (r * r) * up. */
typedef void (*el_reglu2_fn)(float *gate, const float *up, uint32_t n);

/* x = cap * tanh(x / cap): e = exp((x / cap) * -2); x = ((1 - e) / (1 + e)) * cap. */
typedef void (*el_soft_cap_fn)(float *x, uint32_t n, float cap);

/*
 * Rotates pairs (2i, 2i+1) of each head in place: x' = x*c - y*s, y' = x*s + y*c.
 * x: (heads, head_dim); cosine, sine: (rotary_dim / 2) of this position; dims past it stay.
 */
typedef void (*el_rope_fn)(float *x, uint32_t heads, uint32_t head_dim, uint32_t rotary_dim,
                           const float *cosine, const float *sine);

#define EL_HEAD_DIM_MAX 256 /* of the KV cache and attention: scratch lies on the stack */
#define EL_KV_DIM_MAX   (2 * EL_HEAD_DIM_MAX) /* codes of a head: of 16 bits two for a number */

/*
 * KV cache of one layer and one key/value head, int8 (head_dim padded to blocks of 32):
 *   keys    blocks of 16 positions, each laid out as a tile of 8-bit codes:
 *           byte ((p/16 * quads + quad) * 16 + p%16) * 4 + i, quads = padded head_dim / 4
 *   kscale  (p/16, block, p%16)
 *   values  (p, padded head_dim);   vscale (p, block)
 * Keys and values are quantised like activations.
 *
 * 16 bits: the same of twice as many blocks, those of the codes first, then those of what they
 * left over, quantised once more. 4 bits: keys, turned with their queries by el_rotate_row() as far
 * as whole 64 dimensions go, lie like codes of 4 bits, 8 dimensions to a vector (two quads); of
 * values byte i of a block has dimension i in its low and i + 16 in its high half; in the place of
 * a scale there is a word: scale and offset, the upper halves of two floats.
 */
typedef struct el_kv {
    int8_t *keys;
    float *kscale;
    int8_t *values;
    float *vscale;
    uint32_t blocks; /* of a head: ceil(head_dim / 32), twice that of 16 bits */
    uint32_t bits;   /* 16, 8 or 4 */
} el_kv;

/* Bytes of the codes of a key or of a value. */
static inline uint32_t el_kv_row(const el_kv *kv)
{
    return kv->blocks * (kv->bits == 4 ? EL_BLOCK / 2 : EL_BLOCK);
}

/* Index in keys of bytes 4 * part .. 4 * part + 3 of the codes of one position. */
static inline size_t el_kv_key_at(const el_kv *kv, uint32_t position, uint32_t part)
{
    const size_t parts = el_kv_row(kv) / 4;
    return ((position / EL_TILE * parts + part) * EL_TILE + position % EL_TILE) * 4;
}

/* Index in kscale of one block of one position. */
static inline size_t el_kv_kscale_at(const el_kv *kv, uint32_t position, uint32_t block)
{
    return ((size_t)(position / EL_TILE) * kv->blocks + block) * EL_TILE + position % EL_TILE;
}

/* Stores the key and value (head_dim floats each) of one position; docs/NUMERICS.md, "Attention".
 */
typedef void (*el_kv_store_fn)(const el_kv *kv, uint32_t position, const float *key,
                               const float *value, uint32_t head_dim);

/* What attention looks at, and how. */
typedef struct el_attended {
    uint32_t head_dim;
    uint32_t begin, end;  /* positions that count */
    uint32_t first, last; /* positions that are computed, see below */
    float scale;          /* of scores */
    float cap;            /* soft cap of scores, after that; 0: none */
    uint32_t ring;        /* position p lies at p mod ring, a multiple of 64; 0: at p */
} el_attended;

/* Query heads that share keys and values, of one or more tokens: head h of token t lies at
 * t * stride + h * head_dim of queries, and so does what comes of it in out. */
typedef struct el_queries {
    const float *queries;
    float *out;
    size_t stride;
    uint32_t heads, tokens;
} el_queries;

/*
 * Attention of query heads over positions begin .. end-1 of the KV head that they share, each:
 *     score(p) = (sum over blocks ascending of (float)dot * (qs * ks)) * scale, capped
 *     largest score first; e(p) = el_expf(score - largest)
 *     per 64 positions, by absolute position: sum of e in 16 lanes (lane p mod 16), and
 *     mix(d) = sum ascending over p of (e(p) * vs) * (float)v(p, d), each starting at 0;
 *     blocks of 64 are added in ascending order; out(d) = mix(d) * (1 / sum)
 * of: (tokens), equal but for begin, end and last; the last of the last token counts for all, and
 * no end is more. Queries are quantised here. scores: scratch for as many heads of as many tokens,
 * but at most EL_ATTEND_ROWS, of last - first rounded up to 64 floats each. first: at most begin,
 * a multiple of 64; last: end, or more and a multiple of 16. Positions before begin, and from end
 * on, are computed too and count for nothing, so that the cost is that of so many. Bits are the
 * same. Their keys may hold anything; the scales of their values are finite. In a ring last - first
 * is at most its size: the bits are those of a cache without one.
 */
#define EL_ATTEND_ROWS 6
#define EL_ATTEND_SPAN 64
typedef void (*el_attend_fn)(const el_kv *kv, const el_queries *queries, const el_attended *of,
                             float *scores);

/* The same for one head in exact mode: keys and values are float32, (position, head_dim) each; dot
 * products in 16 lanes; mix as above with v unscaled. last: end. */
typedef void (*el_attend_exact_fn)(const float *keys, const float *values, const float *query,
                                   const el_attended *of, float *scores, float *out);

/*
 * Adapters (docs/ADAPTERS.md). low[t * low_stride + j] = dot(row j of a, x_t) * scale for rows
 * [begin, end) of a (rank, cols) and n vectors x (n, cols); the dot product in 16 lanes.
 */
typedef void (*el_lora_down_fn)(const float *a, uint32_t cols, uint32_t begin, uint32_t end,
                                const float *x, uint32_t n, float scale, float *low,
                                size_t low_stride);

/* out[t * out_stride + row] += sum over j, ascending from 0, of b(row, j) * low[t * low_stride +
 * j], for rows of tiles [tile_begin, tile_end). b: (tiles, rank, 16). */
typedef void (*el_lora_up_fn)(const float *b, uint32_t rank, uint32_t rows, uint32_t tile_begin,
                              uint32_t tile_end, const float *low, size_t low_stride, uint32_t n,
                              float *out, size_t out_stride);

typedef struct el_kernels {
    const char *name;
    el_cpu_level level;
    el_matmul_fn matmul[EL_CODEC_COUNT]; /* [EL_CODEC_F32] is NULL */
    el_matmul_exact_fn matmul_exact;
    el_quantize_fn quantize;
    el_rms_norm_fn rms_norm;
    el_rotate_fn rotate;
    el_add_fn add;
    el_swiglu_fn swiglu;
    el_geglu_fn geglu;
    el_reglu2_fn reglu2;
    el_soft_cap_fn soft_cap;
    el_rope_fn rope;
    el_kv_store_fn kv_store;
    el_attend_fn attend;
    el_attend_exact_fn attend_exact;
    el_lora_down_fn lora_down;
    el_lora_up_fn lora_up;
} el_kernels;

/* Fills the table from the scalar versions, then overwrites it level by level up to `highest`
 * as far as this CPU allows. */
void el_kernels_init(el_kernels *k, el_cpu_level highest);

/* Name of level `index` that was built, from "scalar" upwards; NULL past the last. */
const char *el_kernels_built(uint32_t index);

#endif
