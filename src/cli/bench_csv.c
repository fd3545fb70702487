/*
 * bench_csv.c: every token's time as a line, for a spreadsheet. Labels hold no quote or comma.
 */
#include "cli/bench_report.h"

static const char *state_of(const el_cli_bench_request *r)
{
    if (r->failed) return "failed";
    return r->fewer ? "fewer" : "whole";
}

static void put_request(el_outfile *out, const el_cli_bench_row *row, uint32_t i)
{
    const el_cli_bench_request *r = &row->series->requests[i];
    const double *times = el_cli_bench_times(row->series, i);
    for (uint32_t t = 0; t < r->count; t++) {
        el_cli_bench_put(out, "%s,%u,%u,%s,%.6f,%u,%.6f,", row->label, r->block, i, state_of(r),
                         r->start_ms, t, times[t]);
        if (t > 0) el_cli_bench_put(out, "%.6f", times[t] - times[t - 1]);
        el_cli_bench_put(out, "\n");
    }
}

bool el_cli_bench_write_csv(const el_cli_bench_report *report, el_outfile *out)
{
    el_cli_bench_put(out, "backend,block,request,state,start_ms,token,since_start_ms,gap_ms\n");
    for (uint32_t i = 0; i < report->n; i++) {
        for (uint32_t r = 0; r < report->rows[i].series->n; r++)
            put_request(out, &report->rows[i], r);
    }
    return true;
}
