#include "cli/bench_report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void el_cli_bench_put(el_outfile *out, const char *format, ...)
{
    char line[4001];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (n < 0) return;
    el_outfile_write(out, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* ---- rows --------------------------------------------------------------------------------- */

static edgellm_status list_outliers(el_cli_bench_row *row, edgellm_error *err)
{
    row->bound = el_cli_bench_bound(row->series);
    row->n_outliers = el_cli_bench_outliers(row->series, NULL, 0);
    row->listed = row->n_outliers < EL_CLI_BENCH_LISTED ? row->n_outliers : EL_CLI_BENCH_LISTED;
    if (row->listed == 0) return EDGELLM_OK;
    row->outliers = calloc(row->listed, sizeof *row->outliers);
    if (row->outliers == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the outliers");
    }
    el_cli_bench_outliers(row->series, row->outliers, row->listed);
    return EDGELLM_OK;
}

static edgellm_status work_out_row(el_cli_bench_row *row, const el_cli_bench_series *s,
                                   edgellm_error *err)
{
    row->series = s;
    for (int m = 0; m < EL_CLI_BENCH_METRICS; m++) {
        row->pooled[m] = el_cli_bench_pooled(s, m, EL_CLI_BENCH_ALL);
        row->over_blocks[m] = el_cli_bench_over_blocks(s, m);
    }
    row->tok_s = el_cli_bench_speed(s, EL_CLI_BENCH_ALL);
    row->tok_s_over_blocks = el_cli_bench_speed_over_blocks(s);
    row->prefill_tok_s = el_cli_bench_prefill_speed(s);
    row->prompt_tokens = el_cli_bench_prompt_length(s);
    row->faulty = el_cli_bench_count_faulty(s);
    row->fit = el_cli_bench_fit_of(s);
    row->n_ranges = el_cli_bench_ranges_of(s, row->ranges);
    return list_outliers(row, err);
}

edgellm_status el_cli_bench_work_out(el_cli_bench_report *report, const el_cli_bench *bench,
                                     edgellm_error *err)
{
    *report = (el_cli_bench_report){.bench = bench};
    for (uint32_t i = 0; i < bench->n_backends; i++) {
        el_cli_bench_row *row = &report->rows[report->n++];
        row->backend = &bench->backends[i];
        snprintf(row->label, sizeof row->label, "%u %.12s", i + 1, row->backend->kind->name);
        EL_CLI_TRY(work_out_row(row, &row->backend->series, err));
    }
    if (bench->floor.n == 0) return EDGELLM_OK;
    el_cli_bench_row *row = &report->rows[report->n++];
    snprintf(row->label, sizeof row->label, "floor");
    return work_out_row(row, &bench->floor, err);
}

void el_cli_bench_report_release(el_cli_bench_report *report)
{
    for (uint32_t i = 0; i < report->n; i++)
        free(report->rows[i].outliers);
    report->n = 0;
}

/* ---- ratios ------------------------------------------------------------------------------- */

#define OF(member) offsetof(el_cli_bench_figures, member)
const el_cli_bench_ratio el_cli_bench_ratios[] = {
    {"jitter", "jitter", EL_CLI_BENCH_REQUEST, OF(deviation)},
    {"request_mean", "request mean", EL_CLI_BENCH_REQUEST, OF(mean)},
    {"request_p99", "request P99", EL_CLI_BENCH_REQUEST, OF(p99)},
    {"request_spread", "request P99-P50", EL_CLI_BENCH_REQUEST, OF(spread)},
    {"first_mean", "first token mean", EL_CLI_BENCH_FIRST, OF(mean)},
    {"gap_p50", "gap P50", EL_CLI_BENCH_GAP, OF(p50)},
    {"gap_p99", "gap P99", EL_CLI_BENCH_GAP, OF(p99)},
    {"gap_max", "worst gap", EL_CLI_BENCH_GAP, OF(max)},
    {NULL, NULL, EL_CLI_BENCH_GAP, 0},
};

bool el_cli_bench_is_peer(const el_cli_bench_row *row)
{
    return row->backend != NULL && row->backend->is_peer && row->series->n > 0;
}

const char *el_cli_bench_no_ratio(const el_cli_bench_report *report)
{
    bool ours = false, peer = false;
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_row *row = &report->rows[i];
        peer = peer || el_cli_bench_is_peer(row);
        ours = ours || (row->backend != NULL && !row->backend->kind->needs_address);
    }
    if (!peer) return "no ratio: no Ollama or llama-server was measured";
    return ours ? NULL : "no ratio: edgellm was not measured";
}

const el_cli_bench_row *el_cli_bench_ours(const el_cli_bench_report *report)
{
    if (el_cli_bench_no_ratio(report) != NULL) return NULL;
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_backend *backend = report->rows[i].backend;
        if (backend != NULL && !backend->kind->needs_address) return &report->rows[i];
    }
    return NULL;
}

static double value_at(const el_cli_bench_figures *figures, size_t offset)
{
    const el_cli_bench_field field = {NULL, NULL, offset};
    return el_cli_bench_value(figures, &field);
}

double el_cli_bench_ratio_of(const el_cli_bench_row *theirs, const el_cli_bench_row *ours,
                             const el_cli_bench_ratio *what, bool *pooled)
{
    double ratio = value_at(&theirs->over_blocks[what->metric], what->offset) /
                   value_at(&ours->over_blocks[what->metric], what->offset);
    *pooled = isnan(ratio);
    if (!*pooled) return ratio;
    return value_at(&theirs->pooled[what->metric], what->offset) /
           value_at(&ours->pooled[what->metric], what->offset);
}
