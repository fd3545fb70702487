/*
 * bench_peak: how near the kernels for prompts come to what the processor's dot instructions can do
 * (docs/KERNELS.md). One core, x86-64 with AVX-512 VNNI or AVX2.
 *
 *   bench_peak [--rounds N]
 *
 * Billions of multiplications of a weight and an activation in a second, for each level:
 *   registers   the dot instruction alone, nothing read
 *   read        the loop of a prompt: 8 vectors meet unpacked codes, activations are read, sums of
 *               blocks are added as integers
 *   scaled      the same loop as the numeric contract wants it: the sum of each block of 32 becomes
 *               a float, is scaled and added as such
 *   s2, s3, s4  the kernels: codes taken apart, scales read, results stored
 * All take turns in every round; the best round counts, as on a shared machine the others say more
 * about the neighbours.
 */
#include <stdio.h>

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fpenv.h"
#include "kernel/kernels.h"

enum {
    ROWS = 1536, /* a matrix of SmolLM2-135M, up and gate */
    COLS = 576,
    GROUP = 128,
    BLOCKS = COLS / EL_BLOCK,
    TILES = ROWS / EL_TILE,
    VECTORS = 64,
    TOGETHER = 8, /* vectors that meet a tile at a time */
    CHAINS = 12,  /* sums under way: more than latency times instructions a cycle */
    QUADS = 8,    /* of a block */
};

static const double products = (double)ROWS * COLS * VECTORS;

typedef struct data {
    uint8_t *codes; /* (BLOCKS, QUADS * 64) of one tile, unpacked */
    el_acts acts;   /* (VECTORS, COLS) */
    el_matrix matrix[3];
    float *out; /* (VECTORS, ROWS) */
} data;

static const el_codec codecs[3] = {EL_CODEC_S2, EL_CODEC_S3, EL_CODEC_S4};

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define AVX2   __attribute__((target("avx2")))

static int32_t word_at(const int8_t *q)
{
    int32_t word;
    memcpy(&word, q, sizeof word);
    return word;
}

/* ---- AVX-512 with VNNI: a vector is a quad of 16 rows ------------------------------------------
 */

AVX512 static void registers_avx512(const data *d)
{
    __m512i sum[CHAINS], codes = _mm512_loadu_si512(d->codes);
    __m512i acts = _mm512_set1_epi32(word_at(d->acts.q));
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm512_setzero_si512();
    for (size_t n = 0; n < (size_t)TILES * BLOCKS * QUADS * VECTORS / CHAINS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            sum[i] = _mm512_dpbusd_epi32(sum[i], codes, acts);
    }
    for (int i = 0; i < CHAINS; i++)
        _mm512_storeu_si512(d->out + i * EL_TILE, sum[i]);
}

AVX512 static __m512i block_avx512(const __m512i codes[QUADS], const int8_t *q, __m512i sum)
{
#pragma GCC unroll 8
    for (int quad = 0; quad < QUADS; quad++)
        sum = _mm512_dpbusd_epi32(sum, codes[quad], _mm512_set1_epi32(word_at(q + quad * 4)));
    return sum;
}

AVX512 static void tile_avx512(const data *d, int first, bool scaled)
{
    __m512i sum[TOGETHER];
    __m512 acc[TOGETHER], ws = _mm512_set1_ps(0.5f);
    for (int t = 0; t < TOGETHER; t++) {
        sum[t] = _mm512_setzero_si512();
        acc[t] = _mm512_setzero_ps();
    }
    for (int b = 0; b < BLOCKS; b++) {
        __m512i codes[QUADS];
#pragma GCC unroll 8
        for (int quad = 0; quad < QUADS; quad++)
            codes[quad] = _mm512_loadu_si512(d->codes + (b * QUADS + quad) * 64);
#pragma GCC unroll 8
        for (int t = 0; t < TOGETHER; t++) {
            const int at = (first + t) * BLOCKS + b;
            const int8_t *q = d->acts.q + at * EL_BLOCK;
            if (!scaled) {
                sum[t] = block_avx512(codes, q, sum[t]);
                continue;
            }
            __m512 block = _mm512_cvtepi32_ps(block_avx512(codes, q, _mm512_setzero_si512()));
            __m512 scale = _mm512_mul_ps(ws, _mm512_set1_ps(d->acts.scale[at]));
            acc[t] = _mm512_add_ps(acc[t], _mm512_mul_ps(block, scale));
        }
    }
    for (int t = 0; t < TOGETHER; t++)
        _mm512_storeu_ps(d->out + t * EL_TILE, scaled ? acc[t] : _mm512_cvtepi32_ps(sum[t]));
}

static void read_avx512(const data *d)
{
    for (int i = 0; i < TILES * VECTORS; i += TOGETHER)
        tile_avx512(d, i % VECTORS, false);
}

static void scaled_avx512(const data *d)
{
    for (int i = 0; i < TILES * VECTORS; i += TOGETHER)
        tile_avx512(d, i % VECTORS, true);
}

/* ---- AVX2: half of that, two instructions for a sum --------------------------------------------
 */

AVX2 static void registers_avx2(const data *d)
{
    __m256i sum[CHAINS], codes = _mm256_loadu_si256((const __m256i *)(const void *)d->codes);
    __m256i acts = _mm256_set1_epi32(word_at(d->acts.q));
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm256_setzero_si256();
    for (size_t n = 0; n < (size_t)TILES * BLOCKS * QUADS * 2 * VECTORS / CHAINS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            __asm__("" : "+x"(acts)); /* each product is computed anew */
            sum[i] = _mm256_add_epi16(sum[i], _mm256_maddubs_epi16(codes, acts));
        }
    }
    for (int i = 0; i < CHAINS; i++)
        _mm256_storeu_si256((__m256i *)(void *)(d->out + i * EL_TILE), sum[i]);
}

AVX2 static __m256i block_avx2(const uint8_t *codes, const int8_t *q)
{
    __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int quad = 0; quad < QUADS; quad++) {
        __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)(codes + quad * 64));
        __m256i acts = _mm256_set1_epi32(word_at(q + quad * 4));
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(half, acts));
    }
    return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
}

AVX2 static void tile_avx2(const data *d, int first, int half, bool scaled)
{
    __m256i sum[TOGETHER];
    __m256 acc[TOGETHER], ws = _mm256_set1_ps(0.5f);
    for (int t = 0; t < TOGETHER; t++) {
        sum[t] = _mm256_setzero_si256();
        acc[t] = _mm256_setzero_ps();
    }
    for (int b = 0; b < BLOCKS; b++) {
        const uint8_t *codes = d->codes + (size_t)b * QUADS * 64 + half * 32;
#pragma GCC unroll 8
        for (int t = 0; t < TOGETHER; t++) {
            const int at = (first + t) * BLOCKS + b;
            __m256i block = block_avx2(codes, d->acts.q + at * EL_BLOCK);
            if (!scaled) {
                sum[t] = _mm256_add_epi32(sum[t], block);
                continue;
            }
            __m256 scale = _mm256_mul_ps(ws, _mm256_set1_ps(d->acts.scale[at]));
            acc[t] = _mm256_add_ps(acc[t], _mm256_mul_ps(_mm256_cvtepi32_ps(block), scale));
        }
    }
    for (int t = 0; t < TOGETHER; t++)
        _mm256_storeu_ps(d->out + t * EL_TILE, scaled ? acc[t] : _mm256_cvtepi32_ps(sum[t]));
}

static void read_avx2(const data *d)
{
    for (int i = 0; i < TILES * VECTORS * 2; i += TOGETHER)
        tile_avx2(d, i / 2 % VECTORS & -TOGETHER, i / TOGETHER % 2, false);
}

static void scaled_avx2(const data *d)
{
    for (int i = 0; i < TILES * VECTORS * 2; i += TOGETHER)
        tile_avx2(d, i / 2 % VECTORS & -TOGETHER, i / TOGETHER % 2, true);
}

#define LOOPS 3
static const struct {
    el_cpu_level level;
    void (*loop[LOOPS])(const data *d);
} levels[] = {
    {EL_CPU_AVX2, {registers_avx2, read_avx2, scaled_avx2}},
    {EL_CPU_AVX512, {registers_avx512, read_avx512, scaled_avx512}},
};

/* ---- measuring ---------------------------------------------------------------------------------
 */

static void fill(data *d, el_arena *arena)
{
    uint32_t state = 1;
    d->codes = el_arena_take(arena, BLOCKS, QUADS * 64);
    d->acts = (el_acts){el_arena_take(arena, VECTORS, COLS),
                        el_arena_take(arena, VECTORS * BLOCKS, sizeof(float)),
                        el_arena_take(arena, VECTORS * BLOCKS, sizeof(int32_t)), BLOCKS};
    d->out = el_arena_take(arena, (size_t)VECTORS * ROWS, sizeof(float)); /* and all chains */
    for (int i = 0; i < 3; i++) {
        el_matrix_layout l;
        el_matrix_measure(ROWS, COLS, codecs[i], EL_SCALE_BYTE, GROUP, &l);
        uint8_t *bytes = el_arena_take(arena, 1, (size_t)l.bytes);
        if (!bytes) continue;
        for (uint64_t k = 0; k < l.plane_bytes[0]; k++)
            bytes[k] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
        el_matrix_view(&d->matrix[i], bytes, ROWS, COLS, codecs[i], EL_SCALE_BYTE, GROUP);
    }
    if (arena->base == NULL) return;
    for (int i = 0; i < BLOCKS * QUADS * 64; i++)
        d->codes[i] = (uint8_t)(i % 4);
    for (int i = 0; i < VECTORS * COLS; i++)
        d->acts.q[i] = (int8_t)(i % 255 - 127);
    for (int i = 0; i < VECTORS * BLOCKS; i++)
        d->acts.scale[i] = 0x1p-7f;
}

enum { COLUMNS = LOOPS + 3 };

static void run(const data *d, size_t level, const el_kernels *k, int column)
{
    if (column < LOOPS) {
        levels[level].loop[column](d);
        return;
    }
    const el_matrix *m = &d->matrix[column - LOOPS];
    k->matmul[m->codec](m, &d->acts, VECTORS, 0, m->tiles, d->out, ROWS);
}

static void measure(const data *d, size_t level, int rounds)
{
    double best[COLUMNS] = {0};
    el_kernels k;
    el_kernels_init(&k, levels[level].level);
    for (int round = 0; round < rounds; round++) {
        for (int column = 0; column < COLUMNS; column++) {
            const el_nanoseconds start = el_clock_now();
            run(d, level, &k, column);
            const double speed = products / (double)(el_clock_now() - start);
            if (speed > best[column]) best[column] = speed;
        }
    }
    printf("%-8s", k.name);
    for (int column = 0; column < COLUMNS; column++)
        printf("  %9.1f", best[column]);
    printf("    %3.0f %%    %3.0f %%\n", 100 * best[LOOPS] / best[0],
           100 * best[LOOPS] / best[LOOPS - 1]);
}

int main(int argc, char **argv)
{
    data d;
    char *end = "";
    long rounds = 200;
    if (argc == 3 && strcmp(argv[1], "--rounds") == 0) rounds = strtol(argv[2], &end, 10);
    if (rounds < 1 || rounds > 1000000 || *end != '\0' || (argc != 1 && argc != 3)) {
        fprintf(stderr, "usage: bench_peak [--rounds N]\n");
        return 2;
    }
    el_arena size = el_arena_measure(), arena;
    el_fpenv_enter();
    fill(&d, &size);
    if (el_arena_reserve(&arena, size.used, NULL) != EDGELLM_OK) return 6;
    fill(&d, &arena);
    el_arena_settle(&arena);
    printf("billions of products a second, one core; s2 as a share of two of the loops\n\n"
           "level     registers       read     scaled         s2         s3         s4"
           "  registers  scaled\n");
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (el_cpu_has(levels[i].level)) measure(&d, i, (int)rounds);
    el_arena_release(&arena);
    return 0;
}
#else
int main(void)
{
    puts("bench_peak: written for x86-64; what ARM and RISC-V cores could do: make mca");
    return 0;
}
#endif
