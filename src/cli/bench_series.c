#include "cli/bench_series.h"

#include <math.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/cli_stats.h"

const char *const el_cli_bench_metric_keys[EL_CLI_BENCH_METRICS] = {"request_ms", "ttft_ms",
                                                                    "token_ms"};
const char *const el_cli_bench_metric_titles[EL_CLI_BENCH_METRICS] = {
    "whole request", "first token", "between tokens"};

#define FIELD(member) offsetof(el_cli_bench_figures, member)
const el_cli_bench_field el_cli_bench_fields[] = {
    {"mean", "mean", FIELD(mean)},
    {"deviation", "sd", FIELD(deviation)},
    {"p50", "P50", FIELD(p50)},
    {"p90", "P90", FIELD(p90)},
    {"p99", "P99", FIELD(p99)},
    {"p99.9", "P99.9", FIELD(p999)},
    {"max", "max", FIELD(max)},
    {"p99-p50", "P99-P50", FIELD(spread)},
    {NULL, NULL, 0},
};

static double *field_of(el_cli_bench_figures *figures, const el_cli_bench_field *field)
{
    return (double *)(void *)((char *)figures + field->offset);
}

double el_cli_bench_value(const el_cli_bench_figures *figures, const el_cli_bench_field *field)
{
    return *(const double *)(const void *)((const char *)figures + field->offset);
}

/* ---- memory ------------------------------------------------------------------------------- */

edgellm_status el_cli_bench_series_reserve(el_cli_bench_series *s, uint32_t runs, uint32_t steps,
                                           uint32_t blocks, bool trace, edgellm_error *err)
{
    size_t tokens = 0;
    const bool fits = !__builtin_mul_overflow((size_t)runs, (size_t)steps + 1, &tokens);
    *s = (el_cli_bench_series){.runs = runs, .steps = steps, .blocks = blocks};
    s->requests = calloc(runs, sizeof *s->requests);
    s->times = fits ? calloc(tokens, sizeof *s->times) : NULL;
    s->scratch = fits ? calloc(tokens, sizeof *s->scratch) : NULL;
    s->trace = fits && trace ? calloc(tokens, sizeof *s->trace) : NULL;
    if (s->requests != NULL && s->times != NULL && s->scratch != NULL && (s->trace || !trace))
        return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the times of %u runs of %u tokens",
                       runs, steps);
}

void el_cli_bench_series_release(el_cli_bench_series *s)
{
    free(s->requests);
    free(s->times);
    free(s->scratch);
    free(s->trace);
    *s = (el_cli_bench_series){0};
}

/* ---- distributions ------------------------------------------------------------------------ */

static size_t copy_gaps(const double *times, uint32_t count, double *out)
{
    for (uint32_t i = 1; i < count; i++)
        out[i - 1] = times[i] - times[i - 1];
    return count > 0 ? count - 1 : 0;
}

/* Latencies are compared over equal requests only. */
static bool is_whole(const el_cli_bench_request *r)
{
    return !r->failed && !r->fewer && r->count > 0;
}

size_t el_cli_bench_collect(const el_cli_bench_series *s, el_cli_bench_metric metric,
                            uint32_t block, double *out)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const el_cli_bench_request *r = &s->requests[i];
        const double *times = el_cli_bench_times(s, i);
        if (block != EL_CLI_BENCH_ALL && r->block != block) continue;
        if (metric == EL_CLI_BENCH_GAP) {
            n += copy_gaps(times, r->count, out + n);
        } else if (metric == EL_CLI_BENCH_FIRST && !r->failed && r->count > 0) {
            out[n++] = times[0];
        } else if (metric == EL_CLI_BENCH_REQUEST && is_whole(r)) {
            out[n++] = times[r->count - 1];
        }
    }
    return n;
}

el_cli_bench_figures el_cli_bench_figures_of(double *samples, size_t n)
{
    const double mean = el_cli_mean(samples, n), deviation = el_cli_deviation(samples, n);
    el_cli_sort(samples, n);
    el_cli_bench_figures f = {.samples = n,
                              .mean = mean,
                              .deviation = deviation,
                              .p50 = el_cli_percentile(samples, n, 0.5),
                              .p90 = el_cli_percentile(samples, n, 0.9),
                              .p99 = el_cli_percentile(samples, n, 0.99),
                              .p999 = el_cli_percentile(samples, n, 0.999),
                              .max = n > 0 ? samples[n - 1] : NAN};
    f.spread = f.p99 - f.p50;
    return f;
}

el_cli_bench_figures el_cli_bench_pooled(const el_cli_bench_series *s, el_cli_bench_metric metric,
                                         uint32_t block)
{
    return el_cli_bench_figures_of(s->scratch, el_cli_bench_collect(s, metric, block, s->scratch));
}

static double median_of(double *values, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (isnan(values[i])) return NAN;
    }
    el_cli_sort(values, n);
    return el_cli_median(values, n);
}

el_cli_bench_figures el_cli_bench_over_blocks(const el_cli_bench_series *s,
                                              el_cli_bench_metric metric)
{
    el_cli_bench_figures blocks[EL_CLI_BENCH_BLOCKS_MAX], result = {.samples = SIZE_MAX};
    double values[EL_CLI_BENCH_BLOCKS_MAX];
    for (uint32_t b = 0; b < s->blocks; b++) {
        blocks[b] = el_cli_bench_pooled(s, metric, b);
        if (blocks[b].samples < result.samples) result.samples = blocks[b].samples;
    }
    for (const el_cli_bench_field *f = el_cli_bench_fields; f->key != NULL; f++) {
        for (uint32_t b = 0; b < s->blocks; b++)
            values[b] = el_cli_bench_value(&blocks[b], f);
        *field_of(&result, f) = median_of(values, s->blocks);
    }
    return result;
}

/* ---- speed -------------------------------------------------------------------------------- */

double el_cli_bench_speed(const el_cli_bench_series *s, uint32_t block)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const el_cli_bench_request *r = &s->requests[i];
        const double *times = el_cli_bench_times(s, i);
        if (block != EL_CLI_BENCH_ALL && r->block != block) continue;
        if (!is_whole(r) || r->count < 2 || times[r->count - 1] <= times[0]) continue;
        s->scratch[n++] = (r->count - 1) * 1e3 / (times[r->count - 1] - times[0]);
    }
    el_cli_sort(s->scratch, n);
    return el_cli_median(s->scratch, n);
}

double el_cli_bench_prefill_speed(const el_cli_bench_series *s)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const el_cli_bench_request *r = &s->requests[i];
        if (r->failed || !(r->prefill_ms > 0) || r->prompt_tokens == EL_CLI_UNKNOWN) continue;
        s->scratch[n++] = (double)r->prompt_tokens * 1e3 / r->prefill_ms;
    }
    el_cli_sort(s->scratch, n);
    return el_cli_median(s->scratch, n);
}

double el_cli_bench_speed_over_blocks(const el_cli_bench_series *s)
{
    double values[EL_CLI_BENCH_BLOCKS_MAX];
    for (uint32_t b = 0; b < s->blocks; b++)
        values[b] = el_cli_bench_speed(s, b);
    return median_of(values, s->blocks);
}

el_cli_bench_faulty el_cli_bench_count_faulty(const el_cli_bench_series *s)
{
    el_cli_bench_faulty count = {0, 0};
    for (uint32_t i = 0; i < s->n; i++) {
        count.failed += s->requests[i].failed;
        count.fewer += s->requests[i].fewer;
    }
    return count;
}

int64_t el_cli_bench_prompt_length(const el_cli_bench_series *s)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->requests[i].prompt_tokens == EL_CLI_UNKNOWN) continue;
        s->scratch[n++] = (double)s->requests[i].prompt_tokens;
    }
    el_cli_sort(s->scratch, n);
    return n > 0 ? (int64_t)s->scratch[(n - 1) / 2] : EL_CLI_UNKNOWN;
}

/* ---- gap by position ---------------------------------------------------------------------- */

/* The gaps before tokens first .. last; how many. */
static size_t gaps_between(const el_cli_bench_series *s, uint32_t first, uint32_t last)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const double *times = el_cli_bench_times(s, i);
        for (uint32_t step = first; step <= last && step < s->requests[i].count; step++)
            s->scratch[n++] = times[step] - times[step - 1];
    }
    el_cli_sort(s->scratch, n);
    return n;
}

/* The step before token 1 reads the prompt and the first token. */
static int64_t position_of(int64_t prompt, uint32_t step)
{
    return (prompt != EL_CLI_UNKNOWN ? prompt : 0) + step;
}

el_cli_bench_fit el_cli_bench_fit_of(const el_cli_bench_series *s)
{
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    const int64_t prompt = el_cli_bench_prompt_length(s);
    for (uint32_t step = 1; step <= s->steps; step++) {
        size_t count = gaps_between(s, step, step);
        if (count == 0) continue;
        const double at = (double)position_of(prompt, step), gap = el_cli_median(s->scratch, count);
        n++, x += at, y += gap, xx += at * at, xy += at * gap;
    }
    const double spread = n * xx - x * x;
    if (n < 2 || spread <= 0) return (el_cli_bench_fit){NAN, NAN};
    const double b = (n * xy - x * y) / spread;
    return (el_cli_bench_fit){(y - b * x) / n, b};
}

uint32_t el_cli_bench_ranges_of(const el_cli_bench_series *s,
                                el_cli_bench_range ranges[EL_CLI_BENCH_RANGES])
{
    const uint32_t pieces = s->steps < EL_CLI_BENCH_RANGES ? s->steps : EL_CLI_BENCH_RANGES;
    const int64_t prompt = el_cli_bench_prompt_length(s);
    uint32_t n = 0;
    for (uint32_t i = 0; i < pieces; i++) {
        const uint32_t first = 1 + (uint32_t)((uint64_t)s->steps * i / pieces);
        const uint32_t last = (uint32_t)((uint64_t)s->steps * (i + 1) / pieces);
        size_t count = gaps_between(s, first, last);
        if (count == 0) continue;
        ranges[n++] = (el_cli_bench_range){position_of(prompt, first), position_of(prompt, last),
                                           el_cli_median(s->scratch, count)};
    }
    return n;
}

/* ---- outliers ----------------------------------------------------------------------------- */

static double middle_gap(const el_cli_bench_series *s)
{
    size_t n = el_cli_bench_collect(s, EL_CLI_BENCH_GAP, EL_CLI_BENCH_ALL, s->scratch);
    el_cli_sort(s->scratch, n);
    return el_cli_median(s->scratch, n);
}

double el_cli_bench_bound(const el_cli_bench_series *s)
{
    return middle_gap(s) * EL_CLI_BENCH_BOUND_FACTOR + EL_CLI_BENCH_BOUND_MS;
}

static unsigned cause_at(const el_cli_bench_series *s, uint32_t request, uint32_t step,
                         double excess)
{
    const el_cli_bench_request *r = &s->requests[request];
    if (s->trace == NULL) return el_cli_bench_cause_of(&r->before, &r->after, excess);
    const el_cli_bench_counters *after = &s->trace[(size_t)request * (s->steps + 1) + step];
    return el_cli_bench_cause_of(after - 1, after, excess);
}

size_t el_cli_bench_outliers(const el_cli_bench_series *s, el_cli_bench_outlier *out, size_t room)
{
    size_t n = 0;
    const double middle = middle_gap(s);
    const double bound = middle * EL_CLI_BENCH_BOUND_FACTOR + EL_CLI_BENCH_BOUND_MS;
    for (uint32_t i = 0; i < s->n; i++) {
        const double *times = el_cli_bench_times(s, i);
        for (uint32_t step = 1; step < s->requests[i].count; step++) {
            const double gap = times[step] - times[step - 1];
            if (!(gap > bound)) continue;
            if (n < room) {
                out[n] = (el_cli_bench_outlier){i, step, gap, gap - middle,
                                                cause_at(s, i, step, gap - middle)};
            }
            n++;
        }
    }
    return n;
}
