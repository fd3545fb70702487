/*
 * bench_text.c: the report for a terminal: who was measured and how they were scheduled, one table
 * a metric, outliers with their causes, ratios against peers.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_report.h"
#include "cli/cli_output.h"
#include "cli/cli_realtime.h"

enum { SHOWN = 10 }; /* outliers of a backend */

static void print_number(double value)
{
    if (isnan(value)) {
        printf(" %8s", "-");
    } else {
        printf(" %8.*f", value < 10 ? 3 : value < 1000 ? 2 : 1, value);
    }
}

/* ---- who ---------------------------------------------------------------------------------- */

static void print_ways(const el_cli_bench_backend *backend)
{
    char words[128];
    const el_cli_bench_threads *threads = &backend->threads;
    if (threads->n == 0)
        printf("          its processes are not on this machine, or not to be seen\n");
    for (uint32_t i = 0; i < threads->n; i++)
        printf("          %s\n", el_cli_bench_way_words(&threads->way[i], words, sizeof words));
    if (threads->others > 0) printf("          and %u threads otherwise\n", threads->others);
}

/* The engine in this process. */
static void print_engine(const el_cli_bench_facts *facts)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(facts->model->session, &plan);
    printf(", %s, %u thread%s", facts->model->info.kernel, plan.n_threads,
           plan.n_threads == 1 ? "" : "s");
}

static void print_who(const el_cli_bench_report *report)
{
    el_cli_bench_facts facts;
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_row *row = &report->rows[i];
        if (row->backend == NULL) continue;
        printf("%-9s %s, %s", row->label, row->backend->title, row->backend->model);
        const bool local =
            !row->backend->kind->needs_address && el_cli_bench_facts_of(report->bench, &facts);
        if (local) print_engine(&facts);
        printf("\n");
        print_ways(row->backend);
        if (local) el_cli_realtime_print(facts.model->session, stdout);
        if (local) el_cli_certified_print_line(facts.certified, stdout);
    }
}

static void print_what(const el_cli_bench *bench)
{
    char load[160];
    const el_cli_bench_plan *p = &bench->plan;
    printf(
        "requests  %u in %u block%s, %u before each block not counted; %u tokens each (the first "
        "and %u steps)\n",
        p->runs, p->blocks, p->blocks == 1 ? "" : "s", p->warmup, p->steps + 1, p->steps);
    if (p->prompt != NULL) {
        printf("prompt    %zu bytes of text%s%s\n", strlen(p->prompt),
               p->unique ? ", behind a number that no two requests share" : "",
               p->chat ? ", as a chat message" : "");
    } else {
        printf("prompt    %u tokens at random%s\n", p->prompt_tokens,
               p->unique ? ", others for each request" : "");
    }
    printf("load      %s\n", el_cli_bench_load_words(&bench->load, load, sizeof load));
}

/* ---- tables ------------------------------------------------------------------------------- */

static void print_head(const char *title)
{
    printf("%-16s %7s", title, "n");
    for (const el_cli_bench_field *f = el_cli_bench_fields; f->key != NULL; f++)
        printf(" %8s", f->title);
    printf("\n");
}

static void print_figures(const char *label, const el_cli_bench_figures *figures)
{
    printf("  %-14s %7zu", label, figures->samples);
    for (const el_cli_bench_field *f = el_cli_bench_fields; f->key != NULL; f++)
        print_number(el_cli_bench_value(figures, f));
    printf("\n");
}

static bool has_metric(const el_cli_bench_row *row, int metric)
{
    return row->backend != NULL || metric != EL_CLI_BENCH_FIRST;
}

static void print_tables(const el_cli_bench_report *report, bool over_blocks)
{
    if (over_blocks) {
        printf("\nmedians over %u blocks, ms\n", report->bench->plan.blocks);
    } else {
        printf("\nall samples, ms\n");
    }
    for (int m = 0; m < EL_CLI_BENCH_METRICS; m++) {
        print_head(el_cli_bench_metric_titles[m]);
        for (uint32_t i = 0; i < report->n; i++) {
            const el_cli_bench_row *row = &report->rows[i];
            if (!has_metric(row, m)) continue;
            print_figures(row->label, over_blocks ? &row->over_blocks[m] : &row->pooled[m]);
        }
    }
}

static void print_whole(int64_t value)
{
    if (value == EL_CLI_UNKNOWN) {
        printf(" %8s", "-");
    } else {
        printf(" %8lld", (long long)value);
    }
}

static void print_speeds(const el_cli_bench_report *report)
{
    printf("\n%-16s %8s %8s %8s %8s %8s %8s\n", "", "tok/s", "prompt/s", "prompt", "peak MB",
           "failed", "fewer");
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_row *row = &report->rows[i];
        const double peak = row->backend != NULL ? (double)row->backend->peak_bytes : 0;
        printf("%-16s", row->label);
        print_number(row->tok_s);
        print_number(row->prefill_tok_s);
        print_whole(row->prompt_tokens);
        print_number(peak > 0 ? peak / EL_CLI_MB : NAN);
        printf(" %8u %8u\n", row->faulty.failed, row->faulty.fewer);
    }
}

static void warn_of_prompts(const el_cli_bench_report *report)
{
    int64_t first = EL_CLI_UNKNOWN;
    for (uint32_t i = 0; i < report->n; i++) {
        const int64_t tokens = report->rows[i].prompt_tokens;
        if (tokens == EL_CLI_UNKNOWN) continue;
        if (first == EL_CLI_UNKNOWN) first = tokens;
        if (tokens == first) continue;
        printf("the prompts differ in length: first tokens are not of equal work (see --chat)\n");
        return;
    }
}

static void print_positions(const el_cli_bench_report *report)
{
    printf("\ngap by position, ms\n");
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_row *row = &report->rows[i];
        if (row->backend == NULL || row->n_ranges == 0) continue;
        printf("%-10s", row->label);
        if (!isnan(row->fit.b)) printf("%.3f %+.5f x position", row->fit.a, row->fit.b);
        for (uint32_t r = 0; r < row->n_ranges; r++) {
            const el_cli_bench_range *range = &row->ranges[r];
            printf("%s%lld-%lld: %.3f", r % 4 == 0 ? "\n          " : "   ",
                   (long long)range->first, (long long)range->last, range->median);
        }
        printf("\n");
    }
}

/* ---- outliers ----------------------------------------------------------------------------- */

static int longest_first(const void *a, const void *b)
{
    const double x = ((const el_cli_bench_outlier *)a)->gap;
    const double y = ((const el_cli_bench_outlier *)b)->gap;
    return (x < y) - (x > y);
}

static void print_outlier(const el_cli_bench_outlier *o)
{
    char words[160];
    printf("          request %u, token %u: %.2f ms: %s\n", o->request + 1, o->step + 1, o->gap,
           el_cli_bench_cause_words(o->causes, words, sizeof words));
}

static void print_worst(const el_cli_bench_row *row)
{
    el_cli_bench_outlier *sorted = calloc(row->listed, sizeof *sorted);
    if (sorted == NULL) return;
    memcpy(sorted, row->outliers, row->listed * sizeof *sorted);
    qsort(sorted, row->listed, sizeof *sorted, longest_first);
    for (size_t i = 0; i < row->listed && i < SHOWN; i++)
        print_outlier(&sorted[i]);
    if (row->listed > SHOWN) printf("          ... (the longest %d of them)\n", (int)SHOWN);
    free(sorted);
}

static void print_outliers(const el_cli_bench_report *report)
{
    printf("\noutliers: gaps longer than %.1f x median + %.1f ms\n", EL_CLI_BENCH_BOUND_FACTOR,
           EL_CLI_BENCH_BOUND_MS);
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_row *row = &report->rows[i];
        if (row->backend == NULL || row->pooled[EL_CLI_BENCH_GAP].samples == 0) continue;
        printf("%-9s %zu of %zu (beyond %.2f ms)%s\n", row->label, row->n_outliers,
               row->pooled[EL_CLI_BENCH_GAP].samples, row->bound,
               row->listed == 0             ? ""
               : row->series->trace != NULL ? "; counted in the gap:"
                                            : "; counted in the same request:");
        if (row->listed > 0) print_worst(row);
    }
}

/* ---- ratios ------------------------------------------------------------------------------- */

static void print_ratio(const el_cli_bench_row *theirs, const el_cli_bench_row *ours)
{
    bool pooled, any = false;
    for (const el_cli_bench_ratio *what = el_cli_bench_ratios; what->key != NULL; what++) {
        const double ratio = el_cli_bench_ratio_of(theirs, ours, what, &pooled);
        if (!isfinite(ratio)) continue;
        printf("%s%s %.2f%s", any ? ", " : "", what->title, ratio, pooled ? "*" : "");
        any = true;
    }
    printf("%s\n", any ? "" : "too few samples");
}

static void print_ratios(const el_cli_bench_report *report)
{
    const char *none = el_cli_bench_no_ratio(report);
    const el_cli_bench_row *ours = el_cli_bench_ours(report);
    if (none != NULL || ours == NULL) {
        printf("\n%s\n", none != NULL ? none : "");
        return;
    }
    printf(
        "\nratios: theirs over ours, of the medians over blocks (*: of all samples, where blocks "
        "are too short)\n");
    for (uint32_t i = 0; i < report->n; i++) {
        if (!el_cli_bench_is_peer(&report->rows[i])) continue;
        printf("%-9s ", report->rows[i].label);
        print_ratio(&report->rows[i], ours);
    }
}

void el_cli_bench_print(const el_cli_bench_report *report)
{
    print_who(report);
    print_what(report->bench);
    print_tables(report, false);
    if (report->bench->plan.blocks > 1) print_tables(report, true);
    print_speeds(report);
    warn_of_prompts(report);
    print_positions(report);
    print_outliers(report);
    print_ratios(report);
}
