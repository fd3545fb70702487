/*
 * bench_kernels.c: what each matrix kernel of the list takes at each level that this CPU runs, for
 * 1, 2, 4 and 8 vectors, when the weights are more than the caches hold: matrices of 1536 x 576 and
 * 576 x 1536 in turn, random codes.
 *
 *   bench_kernels [LEVEL|all [ROUNDS [PAIRS]]]        docs/KERNELS.md, "Several vectors"
 *
 * One pair of matrices instead of 76 lies in the second-level cache: "One vector".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel/kernels.h"

enum { LONG = 1536, SHORT = 576, PAIRS = 76, MOST = 8, BLOCKS = LONG / EL_BLOCK };

typedef struct bench {
    el_kernels kernels;
    el_matrix matrix[2 * PAIRS];
    el_acts acts;
    float *out; /* (MOST, LONG) */
    uint32_t pairs;
} bench;

static void *room(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p) exit(1);
    return memset(p, 0, bytes);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fill_acts(el_acts *a)
{
    uint32_t random = 1;
    a->q = room((size_t)MOST * LONG);
    a->scale = room((size_t)MOST * BLOCKS * sizeof *a->scale);
    a->sum = room((size_t)MOST * BLOCKS * sizeof *a->sum);
    for (uint32_t i = 0; i < MOST * LONG; i++) {
        random = random * 1664525 + 1013904223;
        a->q[i] = (int8_t)((int)(random >> 24) % 127);
        a->sum[i / EL_BLOCK] += a->q[i];
        a->scale[i / EL_BLOCK] = 0.01f;
    }
}

/* Any bytes are codes and scales; these keep halves finite. */
static size_t fill_matrices(bench *b, el_codec codec, el_scale_kind kind, uint32_t group)
{
    size_t bytes = 0;
    uint32_t random = 1;
    for (uint32_t i = 0; i < 2 * b->pairs; i++) {
        const uint32_t rows = i % 2 ? SHORT : LONG, cols = i % 2 ? LONG : SHORT;
        el_matrix_layout layout;
        if (el_matrix_measure(rows, cols, codec, kind, group, &layout)) exit(1);
        uint8_t *data = room(layout.bytes);
        for (size_t at = 0; at < layout.bytes; at++) {
            random = random * 1664525 + 1013904223;
            data[at] = (uint8_t)(random >> 24 & 0x3b);
        }
        if (el_matrix_view(&b->matrix[i], data, rows, cols, codec, kind, group)) exit(1);
        bytes += layout.bytes;
    }
    return bytes;
}

static double pass(bench *b, uint32_t n)
{
    const double begin = seconds();
    for (uint32_t i = 0; i < 2 * b->pairs; i++) {
        const el_matrix *m = &b->matrix[i];
        b->acts.blocks = m->blocks;
        b->kernels.matmul[m->codec](m, &b->acts, n, 0, m->tiles, b->out, m->rows);
    }
    return seconds() - begin;
}

/* A matrix has so many weights, whichever way it lies. */
static double billions(const bench *b, double seconds, uint32_t n)
{
    return 2.0 * b->pairs * LONG * SHORT * n * 1e-9 / seconds;
}

static void report(bench *b, el_codec codec, el_scale_kind kind, uint32_t group, long rounds)
{
    const size_t bytes = fill_matrices(b, codec, kind, group);
    printf("%-13s %-2s, %s scales of %u, %5.1f MB:", b->kernels.name, el_codecs[codec].name,
           kind == EL_SCALE_BYTE ? "byte" : "fp16", group, (double)bytes * 1e-6);
    for (uint32_t n = 1; n <= MOST; n *= 2) {
        double best = pass(b, n);
        for (long r = 1; r < rounds; r++) {
            const double t = pass(b, n);
            best = t < best ? t : best;
        }
        printf("  %u: %5.2f ms (%.0f)", n, best * 1e3, billions(b, best, n));
        fflush(stdout);
    }
    putchar('\n');
    for (uint32_t i = 0; i < 2 * b->pairs; i++)
        free((void *)(uintptr_t)b->matrix[i].codes);
}

/* Those with offsets as GGUF's have them, the others as the quantiser writes them. */
static void report_level(bench *b, el_cpu_level level, long rounds)
{
    el_kernels_init(&b->kernels, level);
    for (int codec = 0; codec < EL_CODEC_COUNT; codec++) {
        if (!b->kernels.matmul[codec]) continue;
        if (el_codecs[codec].offset)
            report(b, (el_codec)codec, EL_SCALE_F16, 32, rounds);
        else
            report(b, (el_codec)codec, EL_SCALE_BYTE, 64, rounds);
    }
}

int main(int argc, char **argv)
{
    static bench b;
    const char *const wanted = argc > 1 ? argv[1] : "all", *name;
    const long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 12;
    const long pairs = argc > 3 ? strtol(argv[3], NULL, 10) : PAIRS;
    size_t found = 0;
    b.pairs = pairs >= 1 && pairs < PAIRS ? (uint32_t)pairs : PAIRS;
    fill_acts(&b.acts);
    b.out = room((size_t)MOST * LONG * sizeof *b.out);
    printf("best of %ld passes for so many vectors (billions of products a second)\n", rounds);
    for (uint32_t i = 0; (name = el_kernels_built(i)); i++) {
        const el_cpu_level level = (el_cpu_level)el_cpu_level_parse(name);
        if (!el_cpu_has(level) || (strcmp(wanted, "all") != 0 && strcmp(wanted, name) != 0))
            continue;
        report_level(&b, level, rounds);
        found++;
    }
    if (!found)
        fprintf(stderr, "%s is no level here: bench_kernels [LEVEL|all [ROUNDS]]\n", wanted);
    return found ? 0 : 2;
}
