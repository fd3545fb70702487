/*
 * bench_attention.c: the scores of one attention head with int8 keys and by lookup (see
 * bench_attention.h), at every level of this CPU: instructions that a key costs, and time.
 * docs/KERNELS.md says what follows. Every result is compared (==) with plain loops first.
 *
 * Instructions are counted by stepping through them with the trap flag: exact, AVX-512 included.
 * Only x86-64 has it.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1 << 20)
#endif
#endif

#include "bench_attention.h"

#define SHORTEST 128
#define CHECKED  1024
#define LONGEST  8192
#define ROUNDS   101

static const uint32_t head_dims[] = {64, 128}, lengths[] = {SHORTEST, 512, 2048, LONGEST},
                      sub_widths[] = {1, 2, 4};
#define COUNT(list) (sizeof(list) / sizeof *(list))

typedef struct options {
    unsigned long rounds;
    bool count;
    const char *level; /* NULL: all */
} options;

/* What belongs to a head, and what the plain loops need. */
typedef struct bench {
    const options *opt;
    bench_head head;
    float *keys; /* (CHECKED, head_dim) */
    float *query;
    uint8_t *plain;  /* (CHECKED, subs): codes, one to a byte */
    float *expected; /* (CHECKED): scores */
    el_kernels kernels;
} bench;

/* ---- data ------------------------------------------------------------------------------ */

static float next_float(uint64_t *state) /* bell-shaped, between -2 and 2 */
{
    float sum = -2.0f;
    for (int i = 0; i < 4; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        sum += (float)(*state >> 40) * 0x1p-24f;
    }
    return sum;
}

static void fill_floats(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = next_float(&seed);
}

static void *room(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p) {
        fprintf(stderr, "bench_attention: out of memory\n");
        exit(1);
    }
    memset(p, 0, bytes);
    return p;
}

static void make_head(bench *b, uint32_t head_dim)
{
    bench_head *h = &b->head;
    const uint32_t blocks = head_dim / EL_BLOCK;
    *h = (bench_head){.head_dim = head_dim, .inv_sqrt = 1.0f / __builtin_sqrtf((float)head_dim)};
    b->keys = room((size_t)CHECKED * head_dim * sizeof(float));
    b->query = room(head_dim * sizeof(float));
    b->plain = room((size_t)CHECKED * head_dim);
    b->expected = room(CHECKED * sizeof(float));
    h->query = b->query;
    h->scores = room(LONGEST * sizeof(float));
    h->kv = (el_kv){.bits = 8,
                    .keys = room((size_t)LONGEST * head_dim),
                    .kscale = room((size_t)LONGEST * blocks * sizeof(float)),
                    .values = room((size_t)LONGEST * head_dim),
                    .vscale = room((size_t)LONGEST * blocks * sizeof(float)),
                    .blocks = blocks};
    h->int8_query = room(BENCH_QUERY_BYTES);
    h->codes = room((size_t)LONGEST * head_dim / 2);
    h->book = room((size_t)head_dim * BENCH_CENTROIDS * sizeof(float));
    h->book_of = room((size_t)head_dim * BENCH_CENTROIDS * sizeof(float));
    h->half_sq = room((size_t)head_dim * BENCH_CENTROIDS * sizeof(float));
    h->products = room((size_t)head_dim * BENCH_CENTROIDS * sizeof(float));
    h->tables = room((size_t)head_dim * BENCH_CENTROIDS);
    fill_floats(b->keys, (size_t)CHECKED * head_dim, 1);
    fill_floats(b->query, head_dim, 2);
}

static void free_head(bench *b)
{
    bench_head *h = &b->head;
    void *all[] = {b->keys,      b->query,     b->plain,     b->expected,   h->scores, h->kv.keys,
                   h->kv.kscale, h->kv.values, h->kv.vscale, h->int8_query, h->codes,  h->book,
                   h->book_of,   h->half_sq,   h->products,  h->tables};
    for (size_t i = 0; i < COUNT(all); i++)
        free(all[i]);
}

/* Random centroids for sub-vectors of this width. */
static void make_book(bench *b, uint32_t sub)
{
    bench_head *h = &b->head;
    h->sub = sub;
    h->subs = h->head_dim / sub;
    fill_floats(h->book, (size_t)h->head_dim * BENCH_CENTROIDS, 3 + sub);
    memset(h->half_sq, 0, (size_t)h->subs * BENCH_CENTROIDS * sizeof(float));
    for (uint32_t d = 0; d < h->head_dim; d++) {
        uint32_t s = d / sub, j = d % sub;
        for (uint32_t c = 0; c < BENCH_CENTROIDS; c++) {
            float x = h->book[d * BENCH_CENTROIDS + c];
            h->book_of[(c * sub + j) * h->subs + s] = x;
            h->half_sq[c * h->subs + s] += 0.5f * (x * x);
        }
    }
}

/* ---- plain loops ----------------------------------------------------------------------- */

/* Half the squared distance of a part of a key to a centroid, less half the part's square. */
static float distance(const bench_head *h, const float *part, uint32_t s, uint32_t c)
{
    float away = h->half_sq[c * h->subs + s];
    for (uint32_t j = 0; j < h->sub; j++)
        away -= part[j] * h->book[(s * h->sub + j) * BENCH_CENTROIDS + c];
    return away;
}

static uint8_t plain_code(const bench_head *h, const float *part, uint32_t s)
{
    uint32_t best = 0;
    for (uint32_t c = 1; c < BENCH_CENTROIDS; c++) {
        if (distance(h, part, s, c) < distance(h, part, s, best)) best = c;
    }
    return (uint8_t)best;
}

static void plain_codes(bench *b)
{
    const bench_head *h = &b->head;
    for (uint32_t p = 0; p < CHECKED; p++) {
        for (uint32_t s = 0; s < h->subs; s++)
            b->plain[(size_t)p * h->subs + s] =
                plain_code(h, b->keys + (size_t)p * h->head_dim + s * h->sub, s);
    }
}

static float plain_product(const bench_head *h, uint32_t s, uint32_t c)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < h->sub; j++)
        sum += h->book[(s * h->sub + j) * BENCH_CENTROIDS + c] * h->query[s * h->sub + j];
    return sum;
}

static float plain_amax(const bench_head *h)
{
    float amax = 0.0f;
    for (uint32_t i = 0; i < h->subs * BENCH_CENTROIDS; i++) {
        float size = fabsf(plain_product(h, i / BENCH_CENTROIDS, i % BENCH_CENTROIDS));
        if (size > amax) amax = size;
    }
    return amax;
}

static void plain_lookup(bench *b, int top)
{
    const bench_head *h = &b->head;
    const float amax = plain_amax(h), inv = (float)top / amax;
    const float factor = amax / (float)top * h->inv_sqrt;
    uint8_t table[EL_HEAD_DIM_MAX * BENCH_CENTROIDS];
    for (uint32_t i = 0; i < h->subs * BENCH_CENTROIDS; i++) {
        float x = plain_product(h, i / BENCH_CENTROIDS, i % BENCH_CENTROIDS) * inv;
        table[i] = (uint8_t)((int)rintf(x) + top);
    }
    for (uint32_t p = 0; p < h->length; p++) {
        int sum = 0;
        for (uint32_t s = 0; s < h->subs; s++)
            sum += table[s * BENCH_CENTROIDS + b->plain[(size_t)p * h->subs + s]];
        b->expected[p] = (float)sum * factor;
    }
}

static float plain_quantize(const float *x, int8_t *q)
{
    float amax = 0.0f;
    for (int i = 0; i < EL_BLOCK; i++)
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    for (int i = 0; i < EL_BLOCK; i++)
        q[i] = (int8_t)rintf(x[i] * (127.0f / amax));
    return amax / 127.0f;
}

static void plain_int8(bench *b)
{
    const bench_head *h = &b->head;
    for (uint32_t p = 0; p < h->length; p++) {
        float acc = 0.0f;
        for (uint32_t d = 0; d < h->head_dim; d += EL_BLOCK) {
            int8_t q[EL_BLOCK], k[EL_BLOCK];
            float qs = plain_quantize(h->query + d, q);
            float ks = plain_quantize(b->keys + (size_t)p * h->head_dim + d, k);
            int dot = 0;
            for (int i = 0; i < EL_BLOCK; i++)
                dot += q[i] * k[i];
            acc += (float)dot * (ks * qs);
        }
        b->expected[p] = acc * h->inv_sqrt;
    }
}

/* ---- checking -------------------------------------------------------------------------- */

static int differ(const char *name, const bench_way *w, const bench_head *h, const char *what,
                  uint32_t at)
{
    fprintf(stderr, "bench_attention: %s, %s, head_dim %u, sub %u: wrong %s at %u\n", name, w->name,
            h->head_dim, h->sub, what, at);
    return -1;
}

static uint8_t code_at(const bench_head *h, uint32_t p, uint32_t s)
{
    size_t at = ((size_t)(p / h->block) * (h->subs / 2) + s / 2) * h->block + p % h->block;
    return s % 2 ? h->codes[at] >> 4 : h->codes[at] & 15;
}

static int check_codes(const bench *b, const char *name, const bench_way *w)
{
    const bench_head *h = &b->head;
    for (uint32_t i = 0; w->top && i < h->length * h->subs; i++) {
        if (code_at(h, i / h->subs, i % h->subs) != b->plain[i])
            return differ(name, w, h, "code", i);
    }
    return 0;
}

/* Stores all keys in its own way and compares scores. */
static int check_way(bench *b, const char *name, const bench_way *w)
{
    bench_head *h = &b->head;
    h->block = w->block;
    h->length = CHECKED;
    for (uint32_t p = 0; p < CHECKED; p++)
        w->append(h, p, b->keys + (size_t)p * h->head_dim);
    if (check_codes(b, name, w)) return -1;
    if (w->top)
        plain_lookup(b, w->top);
    else
        plain_int8(b);
    memset(h->scores, 0xff, CHECKED * sizeof(float)); /* NaN */
    w->query(h);
    w->scores(h);
    for (uint32_t p = 0; p < CHECKED; p++) {
        if (h->scores[p] != b->expected[p]) return differ(name, w, h, "score", p);
    }
    return 0;
}

/* ---- counting -------------------------------------------------------------------------- */

/* What is counted or timed. Not inlined: callgrind can be told to count one of them. */
typedef void (*work_fn)(bench *b, const bench_way *w);

__attribute__((noinline)) static void run_query(bench *b, const bench_way *w)
{
    w->query(&b->head);
}

__attribute__((noinline)) static void run_scores(bench *b, const bench_way *w)
{
    w->scores(&b->head);
}

__attribute__((noinline)) static void run_append(bench *b, const bench_way *w)
{
    w->append(&b->head, 5, b->keys);
}

/* Not scores alone: softmax and the mix of values as well. */
__attribute__((noinline)) static void run_attend(bench *b, const bench_way *w)
{
    const bench_head *h = &b->head;
    float out[EL_HEAD_DIM_MAX];
    (void)w;
    const el_attended of = {
        .head_dim = h->head_dim, .end = h->length, .last = h->length, .scale = h->inv_sqrt};
    const el_queries q = {h->query, out, h->head_dim, 1, 1};
    b->kernels.attend(&h->kv, &q, &of, h->scores);
}

#if defined(__x86_64__)
#define TRAP_FLAG 0x100u
/* What surrounds the work is not counted. */
__attribute__((noinline)) static void run_nothing(bench *b, const bench_way *w)
{
    (void)b;
    (void)w;
}

static volatile unsigned long steps; /* of a signal handler, hence global */

static void on_step(int number)
{
    (void)number;
    steps++;
}

static unsigned long steps_of(bench *b, const bench_way *w, work_fn work)
{
    steps = 0;
    __writeeflags(__readeflags() | TRAP_FLAG);
    work(b, w);
    __writeeflags(__readeflags() & ~(unsigned long long)TRAP_FLAG);
    return steps;
}

static double instructions(bench *b, const bench_way *w, work_fn work)
{
    struct sigaction action = {.sa_handler = on_step};
    if (!b->opt->count || sigaction(SIGTRAP, &action, NULL)) return NAN;
    work(b, w); /* first calls into libc look it up */
    unsigned long around = steps_of(b, w, run_nothing);
    return (double)(steps_of(b, w, work) - around);
}
#else
static double instructions(bench *b, const bench_way *w, work_fn work)
{
    (void)b;
    (void)w;
    (void)work;
    return NAN;
}
#endif

/* Instructions of a loop over keys for each of lengths[]: two are counted, and they lie on a line,
 * as every loop does the same for each 128 keys. */
static void instructions_of(bench *b, const bench_way *w, work_fn work, double *count)
{
    double first[2];
    for (uint32_t i = 0; i < 2; i++) {
        b->head.length = (i + 2) * SHORTEST;
        first[i] = instructions(b, w, work);
    }
    for (size_t i = 0; i < COUNT(lengths); i++)
        count[i] = first[0] + (first[1] - first[0]) * ((double)lengths[i] / SHORTEST - 2.0);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Nanoseconds a key: the median. */
static double time_scores(bench *b, const bench_way *w)
{
    double round[ROUNDS];
    const unsigned long rounds = b->opt->rounds;
    if (!rounds) return NAN;
    for (unsigned long i = 0; i < rounds; i++) {
        double start = seconds();
        run_scores(b, w);
        round[i] = (seconds() - start) * 1e9 / b->head.length;
    }
    qsort(round, rounds, sizeof *round, by_value);
    return round[rounds / 2];
}

/* ---- reporting ------------------------------------------------------------------------- */

static double key_bytes(const bench_head *h, const bench_way *w)
{
    return w->top ? h->subs * 0.5 : h->head_dim + h->kv.blocks * (double)sizeof(float);
}

static void print_cell(int width, int digits, double value)
{
    if (isfinite(value)) {
        printf(" %*.*f", width, digits, value);
    } else {
        printf(" %*s", width, "-");
    }
}

/* One line. */
static void print_way(bench *b, const char *name, const bench_way *w)
{
    bench_head *h = &b->head;
    double query = instructions(b, w, run_query), append = instructions(b, w, run_append);
    double scores[COUNT(lengths)];
    printf("%-8s %-20s %5u %4u", name, w->name, h->head_dim, w->top ? h->sub : 0);
    print_cell(6, 0, key_bytes(h, w));
    print_cell(7, 0, append);
    print_cell(7, 0, query);
    instructions_of(b, w, run_scores, scores);
    for (size_t i = 0; i < COUNT(lengths); i++)
        print_cell(7, 2, (query + scores[i]) / lengths[i]);
    h->length = LONGEST;
    print_cell(7, 2, time_scores(b, w));
    printf("\n");
    fflush(stdout);
}

static void print_whole(bench *b, const char *name)
{
    const bench_head *h = &b->head;
    double all[COUNT(lengths)];
    printf("%-8s %-20s %5u    0 %6.0f %7s %7s", name, "int8, all attention", h->head_dim,
           2.0 * key_bytes(h, &bench_ways_scalar[0]), "", "");
    instructions_of(b, NULL, run_attend, all);
    for (size_t i = 0; i < COUNT(lengths); i++)
        print_cell(7, 2, all[i] / lengths[i]);
    printf("\n");
    fflush(stdout);
}

/* ---- levels ---------------------------------------------------------------------------- */

typedef struct level {
    const char *name;
    bool (*runs)(void);
    const bench_way *ways;
    void (*kernels)(el_kernels *k);
} level;

static bool always(void)
{
    return true;
}

#if defined(__aarch64__)
static bool has_dot(void)
{
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
}
#elif defined(__x86_64__)
static bool has_avx2(void)
{
    return el_cpu_has(EL_CPU_AVX2);
}

static bool has_avx512(void)
{
    return el_cpu_has(EL_CPU_AVX512);
}
#endif

static const level levels[] = {
    {"scalar", always, bench_ways_scalar, bench_kernels_scalar},
#if defined(__aarch64__)
    {"neon", always, bench_ways_neon, bench_kernels_neon},
    {"neon-dot", has_dot, bench_ways_neon_dot, bench_kernels_neon_dot},
#elif defined(__x86_64__)
    {"avx2", has_avx2, bench_ways_avx2, bench_kernels_avx2},
    {"avx512", has_avx512, bench_ways_avx512, bench_kernels_avx512},
#endif
};

static bool wanted(const bench *b, const level *l)
{
    return l->runs() && (!b->opt->level || strcmp(b->opt->level, l->name) == 0);
}

static int measure_way(bench *b, const char *name, const bench_way *w)
{
    if (check_way(b, name, w)) return -1;
    print_way(b, name, w);
    return 0;
}

/* All ways by lookup of all levels, or the int8 ones. */
static int measure_ways(bench *b, bool lookup)
{
    for (size_t i = 0; i < COUNT(levels); i++) {
        if (!wanted(b, &levels[i])) continue;
        for (const bench_way *w = levels[i].ways; w->name; w++) {
            if ((w->top > 0) == lookup && measure_way(b, levels[i].name, w)) return -1;
        }
    }
    return 0;
}

static void measure_whole(bench *b)
{
    for (size_t i = 0; i < COUNT(levels); i++) {
        if (!wanted(b, &levels[i])) continue;
        levels[i].kernels(&b->kernels);
        for (uint32_t p = 0; p < CHECKED; p++) {
            const float *key = b->keys + (size_t)p * b->head.head_dim;
            b->kernels.kv_store(&b->head.kv, p, key, key, b->head.head_dim);
        }
        print_whole(b, levels[i].name);
    }
}

static int measure_head(bench *b, uint32_t head_dim)
{
    make_head(b, head_dim);
    int failed = measure_ways(b, false);
    if (!failed) measure_whole(b);
    for (size_t i = 0; !failed && i < COUNT(sub_widths); i++) {
        make_book(b, sub_widths[i]);
        plain_codes(b);
        failed = measure_ways(b, true);
    }
    free_head(b);
    return failed;
}

/* ---- options --------------------------------------------------------------------------- */

static const char help[] =
    "usage: bench_attention [options]\n"
    "What the scores of an attention head cost with int8 keys, and by lookup of 4-bit codes of\n"
    "sub-vectors of 1, 2 or 4 dimensions. Columns: bytes of a key; instructions for appending a\n"
    "key, for making ready a query, and for each key (the query's shared by all) of 128, 512,\n"
    "2048 and 8192; nanoseconds for each of 8192 keys.\n"
    "  --rounds N     timed rounds, 0..101, default 11\n"
    "  --level NAME   only this one\n"
    "  --no-count     count no instructions (they are counted on x86-64 only)\n"
    "Example: bench_attention --rounds 0\n";

enum { ROUNDS_OPTION = 1, LEVEL, NO_COUNT };

static const struct option long_options[] = {
    {"rounds", required_argument, NULL, ROUNDS_OPTION},
    {"level", required_argument, NULL, LEVEL},
    {"no-count", no_argument, NULL, NO_COUNT},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int set_rounds(options *o, const char *text)
{
    char *end;
    errno = 0;
    o->rounds = strtoul(text, &end, 10);
    if (!errno && end != text && !*end && *text != '-' && o->rounds <= ROUNDS) return 0;
    fprintf(stderr, "bench_attention: '%s' is not a number from 0 to %d\n", text, ROUNDS);
    return -1;
}

/* Returns 0 to go on, 1 after help, -1 after an error. */
static int parse(options *o, int argc, char **argv)
{
    int which;
    while ((which = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (which == 'h') return fputs(help, stdout), 1;
        if (which == '?' || (which == ROUNDS_OPTION && set_rounds(o, optarg))) return -1;
        if (which == LEVEL) o->level = optarg;
        if (which == NO_COUNT) o->count = false;
    }
    if (optind == argc) return 0;
    fprintf(stderr, "bench_attention: unexpected '%s'\n", argv[optind]);
    return -1;
}

int main(int argc, char **argv)
{
    options o = {.rounds = 11, .count = true};
    int parsed = parse(&o, argc, argv);
    if (parsed) return parsed > 0 ? 0 : 2;
    printf("%-8s %-20s %5s %4s %6s %7s %7s %7s %7s %7s %7s %7s\n", "level", "scores", "head", "sub",
           "bytes", "append", "query", "of 128", "of 512", "of 2048", "of 8192", "ns");
    for (size_t i = 0; i < COUNT(head_dims); i++) {
        bench b = {.opt = &o};
        if (measure_head(&b, head_dims[i])) return 1;
    }
    return 0;
}
