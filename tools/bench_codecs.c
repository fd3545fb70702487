/*
 * bench_codecs.c: measures the layouts of quantised weights against each other: all matrix products
 * of SmolLM2-135M, on one core, contenders taking turns. docs/CODECS.md says what is compared.
 * Every result is checked against a naive reference before anything is timed.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_codecs_model.h"

#define MAX_ROUNDS  101
#define MAX_RUNNERS 24
#define CHUNK_BYTES (96 * 1024) /* codes that a prefill keeps near while vectors pass */

typedef struct options {
    unsigned long layers, vectors, rounds, tokens, cpu, bits; /* bits 0: all */
    bool head, check, json, decode, prefill, list;
    const char *only;
} options;

typedef struct runner {
    const bench_contender *with;
    double decode[MAX_ROUNDS], prefill[MAX_ROUNDS]; /* seconds per token */
    double error; /* rms of the difference, relative to the rms of the reference */
} runner;

typedef struct bench {
    const options *opt;
    bench_model model;
    runner runners[MAX_RUNNERS];
    uint32_t count;
    double read[MAX_ROUNDS]; /* seconds for reading all bytes once */
    float *out, *reference;
} bench;

/* ---- running --------------------------------------------------------------------------- */

static void run_product(const bench_model *model, const bench_contender *with,
                        const bench_matrix *m, uint32_t n, float *out)
{
    const bench_acts *a = bench_model_acts(model, m);
    if (n == 1) {
        bench_span all = {0, m->tiles, 0, 1};
        with->decode[model->bits](m, a, &all, out);
        return;
    }
    uint32_t step = CHUNK_BYTES / (m->blocks * 64 * (uint32_t)model->bits);
    for (uint32_t tile = 0; tile < m->tiles; tile += step) {
        uint32_t tile_end = tile + step < m->tiles ? tile + step : m->tiles;
        for (uint32_t v = 0; v < n; v += with->chunk) {
            bench_span s = {tile, tile_end, v, v + with->chunk < n ? v + with->chunk : n};
            with->prefill[model->bits](m, a, &s, out);
        }
    }
}

static void prepare(const bench_model *model, const bench_contender *with, const bench_matrix *m,
                    uint32_t n)
{
    if (with->prepare) with->prepare(bench_model_acts(model, m), n);
}

/* All products of n tokens; the head for the last one only, as a prefill needs it. Not inlined, so
 * that callgrind can be told to count this alone. */
__attribute__((noinline)) static void
run_tokens(const bench_model *model, const bench_contender *with, uint32_t n, float *out)
{
    for (uint32_t i = 0; i < model->count; i++) {
        uint32_t vectors = i < model->body ? n : 1;
        const bench_matrix *m = &model->matrix[i];
        if (!bench_model_shares_input(model, i)) prepare(model, with, m, vectors);
        run_product(model, with, m, vectors, out);
    }
}

/* The physical limit: every byte of codes and scales once. */
__attribute__((noinline)) static uint64_t read_bytes(const void *data, size_t bytes)
{
    const uint64_t *p = data;
    uint64_t sum[16] = {0};
    for (size_t i = 0; i + 16 <= bytes / sizeof *p; i += 16) {
        for (int k = 0; k < 16; k++)
            sum[k] += p[i + (size_t)k];
    }
    for (int k = 1; k < 16; k++)
        sum[0] += sum[k];
    return sum[0];
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* One untimed run, for the caches and the clock, then the mean of `times`. */
static double time_tokens(const bench *b, const bench_contender *with, uint32_t n,
                          unsigned long times)
{
    if (times > 1) run_tokens(&b->model, with, n, b->out);
    double start = seconds();
    for (unsigned long i = 0; i < times; i++)
        run_tokens(&b->model, with, n, b->out);
    return (seconds() - start) / (double)times / n;
}

static double time_read(const bench *b)
{
    volatile uint64_t sink;
    double start = seconds();
    for (unsigned long i = 0; i < b->opt->tokens; i++) {
        sink = read_bytes(b->model.packed, b->model.code_bytes);
        sink = read_bytes(b->model.scales, b->model.scale_bytes);
    }
    (void)sink;
    return (seconds() - start) / (double)b->opt->tokens;
}

static void time_all(bench *b)
{
    for (unsigned long round = 0; round < b->opt->rounds; round++) {
        b->read[round] = time_read(b);
        for (uint32_t i = 0; i < b->count; i++) {
            runner *r = &b->runners[i];
            if (b->opt->decode) r->decode[round] = time_tokens(b, r->with, 1, b->opt->tokens);
            if (b->opt->prefill) {
                r->prefill[round] = time_tokens(b, r->with, (uint32_t)b->opt->vectors, 1);
            }
        }
    }
}

/* ---- checking -------------------------------------------------------------------------- */

typedef struct squares {
    double difference, reference;
} squares;

/* Compares n vectors of a matrix; returns the number of floats that are not equal. */
static size_t compare(const bench *b, const bench_matrix *m, uint32_t n, squares *s)
{
    size_t wrong = 0;
    for (size_t i = 0; i < (size_t)n * m->rows; i++) {
        double x = b->out[i], ref = b->reference[i];
        wrong += b->out[i] != b->reference[i];
        s->difference += (x - ref) * (x - ref);
        s->reference += ref * ref;
    }
    return wrong;
}

static size_t check_runner(const bench *b, const runner *r, const bench_matrix *m, uint32_t n,
                           squares *s)
{
    size_t wrong = 0;
    prepare(&b->model, r->with, m, n);
    for (uint32_t vectors = 1; vectors <= n; vectors += n == 1 ? 1 : n - 1) {
        memset(b->out, 0xff, (size_t)vectors * m->rows * sizeof *b->out); /* NaN */
        run_product(&b->model, r->with, m, vectors, b->out);
        wrong += compare(b, m, vectors, s);
    }
    return wrong;
}

/* Every matrix, decode and prefill, every contender. Returns 0 if the exact ones are. */
static int check_all(bench *b)
{
    squares s[MAX_RUNNERS] = {{0, 0}};
    int failed = 0;
    for (uint32_t i = 0; i < b->model.count; i++) {
        const bench_matrix *m = &b->model.matrix[i];
        uint32_t n = i < b->model.body ? (uint32_t)b->opt->vectors : 1;
        bench_model_reference(&b->model, m, n, b->reference);
        for (uint32_t k = 0; k < b->count; k++) {
            const runner *r = &b->runners[k];
            size_t wrong = check_runner(b, r, m, n, &s[k]);
            if (!wrong || !r->with->exact) continue;
            fprintf(stderr, "bench_codecs: %s: %zu wrong sums in matrix %u (%u x %u), %d bits\n",
                    r->with->name, wrong, i, m->rows, m->cols, b->model.bits);
            failed = -1;
        }
    }
    for (uint32_t k = 0; k < b->count; k++) {
        b->runners[k].error = sqrt(s[k].difference / s[k].reference);
    }
    return failed;
}

static uint32_t exact_count(const bench *b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->count; i++)
        count += b->runners[i].with->exact;
    return count;
}

/* ---- reporting ------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, size_t n)
{
    double sorted[MAX_ROUNDS];
    memcpy(sorted, values, n * sizeof *values);
    qsort(sorted, n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

static double bytes_a_token(const bench *b)
{
    return (double)(b->model.code_bytes + b->model.scale_bytes);
}

/* The fastest exact contender's median, decode or prefill. */
static double best(const bench *b, bool prefill)
{
    double least = INFINITY;
    for (uint32_t i = 0; i < b->count; i++) {
        const runner *r = &b->runners[i];
        double t = median(prefill ? r->prefill : r->decode, b->opt->rounds);
        if (r->with->exact && t < least) least = t;
    }
    return least;
}

static void print_error(const bench *b, const runner *r)
{
    if (!b->opt->check) {
        printf("unchecked\n");
    } else if (r->with->exact) {
        printf("exact\n");
    } else {
        printf("%.4f\n", r->error);
    }
}

static void print_cell(int width, int digits, bool present, double value)
{
    if (present && isfinite(value)) {
        printf(" %*.*f", width, digits, value);
    } else {
        printf(" %*s", width, "-");
    }
}

static void print_runner(const bench *b, const runner *r, double read)
{
    const options *o = b->opt;
    double d = median(r->decode, o->rounds), p = median(r->prefill, o->rounds);
    double best_decode = best(b, false), best_prefill = best(b, true);
    printf("%-20s", r->with->name);
    print_cell(9, 3, o->decode, d * 1e3);
    print_cell(7, 1, o->decode, bytes_a_token(b) / d / 1e9);
    print_cell(8, 2, o->decode, d / read);
    print_cell(8, 2, o->decode && isfinite(best_decode), d / best_decode);
    print_cell(10, 3, o->prefill, p * 1e3);
    print_cell(8, 2, o->prefill && isfinite(best_prefill), p / best_prefill);
    printf("  ");
    print_error(b, r);
}

static void print_text(const bench *b)
{
    double bytes = bytes_a_token(b), read = median(b->read, b->opt->rounds);
    printf("\n%d bits, %.1f MB a token (%.3f bits a weight), medians of %lu rounds on cpu %lu\n",
           b->model.bits, bytes / 1e6, bytes * 8 / (double)b->model.weights, b->opt->rounds,
           b->opt->cpu);
    printf("%-20s %9s %7s %8s %8s %10s %8s  %s\n", "", "decode", "", "against", "against",
           "prefill", "against", "rms");
    printf("%-20s %9s %7s %8s %8s %10s %8s  %s\n", "", "ms/token", "GB/s", "reading", "best",
           "ms/token", "best", "error");
    printf("%-20s %9.3f %7.1f %8.2f\n", "reading only", read * 1e3, bytes / read / 1e9, 1.0);
    for (uint32_t i = 0; i < b->count; i++)
        print_runner(b, &b->runners[i], read);
}

static void print_number(const char *key, bool present, double value)
{
    if (present) printf(", \"%s\": %.6g", key, value);
}

static void print_json(const bench *b)
{
    const options *o = b->opt;
    double bytes = bytes_a_token(b);
    printf("{\"bits\": %d, \"bytes_per_token\": %.0f, \"rounds\": %lu, \"cpu\": %lu, "
           "\"layers\": %lu, \"vectors\": %lu, \"read_ms\": %.6g, \"results\": [",
           b->model.bits, bytes, o->rounds, o->cpu, o->layers, o->vectors,
           median(b->read, o->rounds) * 1e3);
    for (uint32_t i = 0; i < b->count; i++) {
        const runner *r = &b->runners[i];
        double d = median(r->decode, o->rounds), p = median(r->prefill, o->rounds);
        printf("%s{\"name\": \"%s\", \"exact\": %s", i ? ", " : "", r->with->name,
               r->with->exact ? "true" : "false");
        print_number("decode_ms", o->decode, d * 1e3);
        print_number("decode_gb_s", o->decode, bytes / d / 1e9);
        print_number("prefill_ms", o->prefill, p * 1e3);
        print_number("rms_error", o->check, r->error);
        printf("}");
    }
    printf("]}\n");
}

/* ---- one width of codes ---------------------------------------------------------------- */

typedef struct family {
    bool (*runs)(void);
    const bench_contender *list;
} family;

static const family families[] = {
    {bench_has_portable, bench_portable},
#if defined(__x86_64__)
    {bench_has_avx2, bench_avx2},
    {bench_has_avx512, bench_avx512},
#elif defined(__aarch64__)
    {bench_has_neon, bench_neon},
    {bench_has_neon_dot, bench_neon_dot},
#endif
};

#if defined(__x86_64__)
/* Every CPU with AVX2 has F16C. */
bool bench_has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

bool bench_has_avx512(void)
{
    return bench_has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}
#endif

static void choose(bench *b, int bits)
{
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        if (!families[f].runs()) continue;
        for (const bench_contender *c = families[f].list; c->name; c++) {
            bool wanted = !b->opt->only || strstr(c->name, b->opt->only);
            if (!wanted || !c->decode[bits] || b->count == MAX_RUNNERS) continue;
            b->runners[b->count++] = (runner){.with = c};
        }
    }
}

static void list_names(const bench *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        printf("%d bits  %s\n", b->model.bits, b->runners[i].with->name);
    }
}

/* Makes the model, checks and times. Returns the exit code. */
static int measure(bench *b, int bits)
{
    const options *o = b->opt;
    size_t floats = (size_t)o->vectors * 1536 > 49152 ? (size_t)o->vectors * 1536 : 49152;
    b->out = malloc(floats * sizeof(float));
    b->reference = malloc(floats * sizeof(float));
    if (!b->out || !b->reference ||
        bench_model_make(&b->model, bits, (uint32_t)o->layers, o->head, (uint32_t)o->vectors)) {
        fprintf(stderr, "bench_codecs: out of memory\n");
        return 1;
    }
    if (o->check && check_all(b)) return 1;
    if (o->check && !o->json) {
        printf("%d bits: %u exact contenders agree with the reference\n", bits, exact_count(b));
        fflush(stdout);
    }
    if (!o->rounds) return 0;
    time_all(b);
    if (o->json) {
        print_json(b);
    } else {
        print_text(b);
    }
    return 0;
}

static int run_bits(const options *o, int bits)
{
    bench *b = calloc(1, sizeof *b);
    if (!b) return 1;
    b->opt = o;
    b->model.bits = bits;
    choose(b, bits);
    int code = 0;
    if (o->list) {
        list_names(b);
    } else if (b->count) {
        code = measure(b, bits);
    }
    bench_model_free(&b->model);
    free(b->out);
    free(b->reference);
    free(b);
    return code;
}

/* ---- options --------------------------------------------------------------------------- */

static const char help[] =
    "usage: bench_codecs [options]\n"
    "Measures the layouts of quantised weights over all matrix products of SmolLM2-135M.\n"
    "  --bits N       2, 3 or 4; default: each of them\n"
    "  --only TEXT    only contenders whose name contains TEXT\n"
    "  --layers N     1..30, default 30\n"
    "  --no-head      without the product over the vocabulary\n"
    "  --vectors N    vectors of a prefill, 2..64, default 64\n"
    "  --phase NAME   decode, prefill or both (default)\n"
    "  --rounds N     0..101, default 7; 0 only checks\n"
    "  --tokens N     tokens decoded per contender and round, 1..1000, default 10\n"
    "  --cpu N        the core to run on; default: the last one allowed\n"
    "  --no-check     time without checking first\n"
    "  --json         one line of JSON per width\n"
    "  --list         names only\n"
    "Example: bench_codecs --bits 2 --only lookup\n";

enum { BITS = 1, ONLY, LAYERS, NO_HEAD, VECTORS, PHASE, ROUNDS, TOKENS, CPU, NO_CHECK, JSON, LIST };

static const struct option long_options[] = {
    {"bits", required_argument, NULL, BITS},
    {"only", required_argument, NULL, ONLY},
    {"layers", required_argument, NULL, LAYERS},
    {"no-head", no_argument, NULL, NO_HEAD},
    {"vectors", required_argument, NULL, VECTORS},
    {"phase", required_argument, NULL, PHASE},
    {"rounds", required_argument, NULL, ROUNDS},
    {"tokens", required_argument, NULL, TOKENS},
    {"cpu", required_argument, NULL, CPU},
    {"no-check", no_argument, NULL, NO_CHECK},
    {"json", no_argument, NULL, JSON},
    {"list", no_argument, NULL, LIST},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

typedef struct range {
    size_t offset; /* of the unsigned long in options */
    unsigned long min, max;
} range;

static const range ranges[] = {
    [BITS] = {offsetof(options, bits), 2, 4},
    [LAYERS] = {offsetof(options, layers), 1, 30},
    [VECTORS] = {offsetof(options, vectors), 2, BENCH_VECTORS},
    [ROUNDS] = {offsetof(options, rounds), 0, MAX_ROUNDS},
    [TOKENS] = {offsetof(options, tokens), 1, 1000},
    [CPU] = {offsetof(options, cpu), 0, CPU_SETSIZE - 1},
};

static int set_number(options *o, int which, const char *text)
{
    const range *r = &ranges[which];
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < r->min || value > r->max) {
        fprintf(stderr, "bench_codecs: '%s' is not a number from %lu to %lu\n", text, r->min,
                r->max);
        return -1;
    }
    memcpy((char *)o + r->offset, &value, sizeof value);
    return 0;
}

static int set_phase(options *o, const char *text)
{
    o->decode = strcmp(text, "prefill") != 0;
    o->prefill = strcmp(text, "decode") != 0;
    if (!o->decode || !o->prefill || strcmp(text, "both") == 0) return 0;
    fprintf(stderr, "bench_codecs: '%s' is not decode, prefill or both\n", text);
    return -1;
}

static int set_option(options *o, int which)
{
    switch (which) {
    case ONLY:
        o->only = optarg;
        return 0;
    case PHASE:
        return set_phase(o, optarg);
    case NO_HEAD:
        o->head = false;
        return 0;
    case NO_CHECK:
        o->check = false;
        return 0;
    case JSON:
        o->json = true;
        return 0;
    case LIST:
        o->list = true;
        return 0;
    default:
        return set_number(o, which, optarg);
    }
}

/* Returns 0 to go on, 1 after help, -1 after an error. */
static int parse(options *o, int argc, char **argv)
{
    int which;
    while ((which = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (which == 'h') return fputs(help, stdout), 1;
        if (which == '?' || set_option(o, which)) return -1;
    }
    if (optind == argc) return 0;
    fprintf(stderr, "bench_codecs: unexpected '%s'\n", argv[optind]);
    return -1;
}

static unsigned long last_cpu(void)
{
    cpu_set_t set;
    unsigned long last = 0;
    if (sched_getaffinity(0, sizeof set, &set)) return 0;
    for (unsigned long i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &set)) last = i;
    }
    return last;
}

static int pin(unsigned long cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set);
}

int main(int argc, char **argv)
{
    options o = {.layers = 30,
                 .vectors = BENCH_VECTORS,
                 .rounds = 7,
                 .tokens = 10,
                 .cpu = last_cpu(),
                 .head = true,
                 .check = true,
                 .decode = true,
                 .prefill = true};
    int parsed = parse(&o, argc, argv);
    if (parsed) return parsed > 0 ? 0 : 2;
    if (pin(o.cpu)) {
        fprintf(stderr, "bench_codecs: cannot run on cpu %lu: %s\n", o.cpu, strerror(errno));
        return 3;
    }
    for (int bits = 2; bits <= 4; bits++) {
        int code = o.bits == 0 || o.bits == (unsigned long)bits ? run_bits(&o, bits) : 0;
        if (code) return code;
    }
    return 0;
}
