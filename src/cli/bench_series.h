/*
 * bench_series.h: the times of one backend, every token's, and what they say. Requests are equal,
 * so the deviation of their latency is jitter; a request that failed or gave fewer tokens is kept,
 * but counts only for the gaps that it has. Percentiles need samples (cli_stats.h); the median over
 * blocks is of a figure that each block has by itself.
 */
#ifndef EL_CLI_BENCH_SERIES_H
#define EL_CLI_BENCH_SERIES_H

#include "cli/bench_causes.h"
#include "edgellm.h"

#define EL_CLI_BENCH_BLOCKS_MAX 100

typedef struct el_cli_bench_request {
    uint32_t block, count;         /* count: of token times */
    int64_t tokens, prompt_tokens; /* as the backend tells; EL_CLI_UNKNOWN */
    double start_ms;               /* of the monotonic clock */
    double prefill_ms;             /* NaN: not told */
    bool failed, fewer;
    char finish[16]; /* why it ended; "" where that isn't told */
    el_cli_bench_counters before, after;
} el_cli_bench_request;

typedef struct el_cli_bench_series {
    uint32_t runs, steps, blocks;   /* room: requests, of steps + 1 tokens each */
    uint32_t n;                     /* requests held, in the order of time */
    el_cli_bench_request *requests; /* (runs) */
    double *times;                  /* (runs, steps + 1) milliseconds since the request's start */
    double *scratch;                /* (runs * (steps + 1)) */
    el_cli_bench_counters *trace;   /* (runs, steps + 1) after each token; NULL: none kept */
} el_cli_bench_series;

/* Errors: MEMORY. Release in any case. */
edgellm_status el_cli_bench_series_reserve(el_cli_bench_series *s, uint32_t runs, uint32_t steps,
                                           uint32_t blocks, bool trace, edgellm_error *err);
void el_cli_bench_series_release(el_cli_bench_series *s);

static inline double *el_cli_bench_times(const el_cli_bench_series *s, uint32_t request)
{
    return s->times + (size_t)request * (s->steps + 1);
}

/* ---- distributions ------------------------------------------------------------------------ */

typedef enum el_cli_bench_metric {
    EL_CLI_BENCH_REQUEST, /* to the last token */
    EL_CLI_BENCH_FIRST,   /* to the first */
    EL_CLI_BENCH_GAP,     /* from one to the next */
    EL_CLI_BENCH_METRICS
} el_cli_bench_metric;

extern const char *const el_cli_bench_metric_keys[EL_CLI_BENCH_METRICS];
extern const char *const el_cli_bench_metric_titles[EL_CLI_BENCH_METRICS];

/* Milliseconds; NaN where there are too few samples. */
typedef struct el_cli_bench_figures {
    size_t samples;
    double mean, deviation, p50, p90, p99, p999, max, spread; /* spread: p99 - p50 */
} el_cli_bench_figures;

/* The fields above by name, for reports; ends with a row without key. */
typedef struct el_cli_bench_field {
    const char *key, *title;
    size_t offset;
} el_cli_bench_field;
extern const el_cli_bench_field el_cli_bench_fields[];
double el_cli_bench_value(const el_cli_bench_figures *figures, const el_cli_bench_field *field);

#define EL_CLI_BENCH_ALL UINT32_MAX /* blocks */

/* The samples of one block, or of all, into out (runs * (steps + 1)); how many there are. */
size_t el_cli_bench_collect(const el_cli_bench_series *s, el_cli_bench_metric metric,
                            uint32_t block, double *out);

/* Sorts. */
el_cli_bench_figures el_cli_bench_figures_of(double *samples, size_t n);

el_cli_bench_figures el_cli_bench_pooled(const el_cli_bench_series *s, el_cli_bench_metric metric,
                                         uint32_t block);

/* Each figure's median over the blocks; NaN if a block lacks it. samples: of the smallest block. */
el_cli_bench_figures el_cli_bench_over_blocks(const el_cli_bench_series *s,
                                              el_cli_bench_metric metric);

/* Tokens a second after the first, of prompts: medians over requests. NaN: none is known. */
double el_cli_bench_speed(const el_cli_bench_series *s, uint32_t block);
double el_cli_bench_prefill_speed(const el_cli_bench_series *s);
double el_cli_bench_speed_over_blocks(const el_cli_bench_series *s);

/* Requests that failed; that gave fewer tokens than asked. */
typedef struct el_cli_bench_faulty {
    uint32_t failed, fewer;
} el_cli_bench_faulty;
el_cli_bench_faulty el_cli_bench_count_faulty(const el_cli_bench_series *s);

/* The middle one of what the requests tell; UNKNOWN. */
int64_t el_cli_bench_prompt_length(const el_cli_bench_series *s);

/* ---- gap by position ---------------------------------------------------------------------- */

/* gap(n) = a + b n milliseconds, n: position in the context; by least squares over the median of
 * each position, so that single outliers do not tilt the line. NaN with fewer than 2 positions. */
typedef struct el_cli_bench_fit {
    double a, b;
} el_cli_bench_fit;
el_cli_bench_fit el_cli_bench_fit_of(const el_cli_bench_series *s);

/* Medians of ranges of positions: first .. last each. */
enum { EL_CLI_BENCH_RANGES = 8 };
typedef struct el_cli_bench_range {
    int64_t first, last;
    double median;
} el_cli_bench_range;
uint32_t el_cli_bench_ranges_of(const el_cli_bench_series *s,
                                el_cli_bench_range ranges[EL_CLI_BENCH_RANGES]);

/* ---- outliers ----------------------------------------------------------------------------- */

/* A gap is one if it is longer than 1.5 times the median and 0.2 ms. */
#define EL_CLI_BENCH_BOUND_FACTOR 1.5
#define EL_CLI_BENCH_BOUND_MS     0.2
double el_cli_bench_bound(const el_cli_bench_series *s);

typedef struct el_cli_bench_outlier {
    uint32_t request, step; /* the gap before token `step`, 1 .. steps */
    double gap, excess;     /* excess: over the median */
    unsigned causes;        /* el_cli_bench_cause_of() */
} el_cli_bench_outlier;

/* In the order of time, the first `room` of them; how many there are. */
size_t el_cli_bench_outliers(const el_cli_bench_series *s, el_cli_bench_outlier *out, size_t room);

#endif
