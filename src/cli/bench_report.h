/*
 * bench_report.h: what was measured, worked out once and told in several forms. A row is a backend,
 * or the floor; all forms show the same figures.
 */
#ifndef EL_CLI_BENCH_REPORT_H
#define EL_CLI_BENCH_REPORT_H

#include <jansson.h>

#include "base/outfile.h"
#include "cli/bench.h"

enum {
    EL_CLI_BENCH_ROWS = EL_CLI_BENCH_BACKENDS + 1,
    EL_CLI_BENCH_LISTED = 10000, /* outliers of a row; more are only counted */
};

typedef struct el_cli_bench_row {
    char label[24];                      /* "2 ollama", "floor" */
    const el_cli_bench_backend *backend; /* NULL: the floor */
    const el_cli_bench_series *series;
    el_cli_bench_figures pooled[EL_CLI_BENCH_METRICS], over_blocks[EL_CLI_BENCH_METRICS];
    double tok_s, tok_s_over_blocks, prefill_tok_s;
    int64_t prompt_tokens;
    el_cli_bench_faulty faulty;
    el_cli_bench_fit fit;
    el_cli_bench_range ranges[EL_CLI_BENCH_RANGES];
    uint32_t n_ranges;
    double bound;
    el_cli_bench_outlier *outliers; /* (listed), in the order of time */
    size_t listed, n_outliers;
} el_cli_bench_row;

typedef struct el_cli_bench_report {
    const el_cli_bench *bench;
    el_cli_bench_row rows[EL_CLI_BENCH_ROWS];
    uint32_t n;
} el_cli_bench_report;

/* Errors: MEMORY. Release in any case. */
edgellm_status el_cli_bench_work_out(el_cli_bench_report *report, const el_cli_bench *bench,
                                     edgellm_error *err);
void el_cli_bench_report_release(el_cli_bench_report *report);

/* ---- ratios ------------------------------------------------------------------------------- */

/* What is compared: a figure of a metric; ends with a row without key. */
typedef struct el_cli_bench_ratio {
    const char *key, *title;
    el_cli_bench_metric metric;
    size_t offset; /* in el_cli_bench_figures */
} el_cli_bench_ratio;
extern const el_cli_bench_ratio el_cli_bench_ratios[];

/* The row of this process's engine, which others are divided by; NULL: none, or no peer. */
const el_cli_bench_row *el_cli_bench_ours(const el_cli_bench_report *report);
bool el_cli_bench_is_peer(const el_cli_bench_row *row);

/* Theirs over ours: of the medians over blocks, or, where a block has too few samples, of all
 * samples (*pooled). NaN: neither. */
double el_cli_bench_ratio_of(const el_cli_bench_row *theirs, const el_cli_bench_row *ours,
                             const el_cli_bench_ratio *what, bool *pooled);

/* Why there is none, for a reader; NULL: there are. */
const char *el_cli_bench_no_ratio(const el_cli_bench_report *report);

/* ---- forms -------------------------------------------------------------------------------- */

/* The plain form: one backend, in this process. */
void el_cli_bench_print_plain(const el_cli_bench_report *report);
json_t *el_cli_bench_plain_json(const el_cli_bench_report *report);

void el_cli_bench_print(const el_cli_bench_report *report);
json_t *el_cli_bench_json(const el_cli_bench_report *report); /* without samples */

/* Into a file that is open; errors are remembered by it. false: no memory. */
bool el_cli_bench_write_json(const el_cli_bench_report *report, el_outfile *out);
bool el_cli_bench_write_csv(const el_cli_bench_report *report, el_outfile *out);
bool el_cli_bench_write_submission(const el_cli_bench_report *report,
                                   el_outfile *out); /* of the plain form */
bool el_cli_bench_write_html(const el_cli_bench_report *report, el_outfile *out);

/* printf into such a file; what is longer than a line of 4000 bytes is cut. */
void el_cli_bench_put(el_outfile *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
