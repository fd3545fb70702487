/*
 * bench_svg.h: pictures of a row as SVG that stands in an HTML page: no script, nothing from
 * elsewhere. Their size does not grow with the number of samples.
 */
#ifndef EL_CLI_BENCH_SVG_H
#define EL_CLI_BENCH_SVG_H

#include "cli/bench_report.h"

/* A range of values that several pictures share, so that they can be compared. */
typedef struct el_cli_bench_span {
    double low, high;
} el_cli_bench_span;

/* From the least to what 99.5 % stay below, of all rows. False: there are no samples. */
bool el_cli_bench_span_of(const el_cli_bench_report *report, el_cli_bench_metric metric,
                          el_cli_bench_span *span);

/* Those beyond the span are in the last column. */
void el_cli_bench_put_histogram(el_outfile *out, const el_cli_bench_row *row,
                                el_cli_bench_metric metric, el_cli_bench_span span,
                                const char *colour);

/* Every gap over the time of the run: from the shortest to the longest of each column; outliers as
 * dots whose titles say the cause. */
void el_cli_bench_put_timeline(el_outfile *out, const el_cli_bench_row *row, const char *colour);

/* The median gap of each position, and the line fitted to them. */
void el_cli_bench_put_positions(el_outfile *out, const el_cli_bench_row *row, const char *colour);

#endif
