/*
 * bench_html.c: the report as one page that needs nothing else: tables, histograms, timelines.
 * What comes from outside (names of servers, models, errors) is escaped.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_svg.h"
#include "cli/cli_output.h"
#include "cli/cli_realtime.h"

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\"><title>edgellm bench</title>\n<style>\n"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;"
    "color:#222;background:#fff}\n"
    "table{border-collapse:collapse;font-size:13px;width:100%}\n"
    "th,td{padding:.2rem .5rem;text-align:right;border-bottom:1px solid #ddd}\n"
    "th:first-child,td:first-child{text-align:left}\n"
    "h2{margin-top:2.2rem}h3{margin:1rem 0 .2rem;font-size:14px}\n"
    "svg{width:100%;height:auto;display:block;margin-bottom:.4rem}\n"
    "svg text{font-size:10px;fill:#555}.y{text-anchor:end}.x{text-anchor:middle}\n"
    ".axis{stroke:#999;fill:none}.fit{stroke:#222;stroke-dasharray:4 3;fill:none}\n"
    "circle{fill:#d1002a}.bad{color:#a00020}.swatch{display:inline-block;width:.8em;height:.8em;"
    "margin-right:.4em}\n</style></head><body>\n";

static const char *colour_of(const el_cli_bench_report *report, uint32_t i)
{
    static const char *const colours[] = {"#1b6ca8", "#c8553d", "#4f8a4c", "#8b5fa3",
                                          "#b8860b", "#2f8f8f", "#a0522d", "#5a5a9a"};
    if (report->rows[i].backend == NULL) return "#888888";
    return colours[i % (sizeof colours / sizeof colours[0])];
}

static void put_escaped(el_outfile *out, const char *text)
{
    static const struct {
        char byte;
        const char *name;
    } names[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}};
    for (; *text != '\0'; text++) {
        const char *name = NULL;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            name = *text == names[i].byte ? names[i].name : name;
        if (name != NULL) {
            el_cli_bench_put(out, "%s", name);
        } else {
            el_outfile_write(out, text, 1);
        }
    }
}

static void put_cell(el_outfile *out, double value)
{
    if (isnan(value)) {
        el_cli_bench_put(out, "<td>-</td>");
    } else {
        el_cli_bench_put(out, "<td>%.*f</td>", value < 100 ? 2 : 1, value);
    }
}

/* ---- who and what ------------------------------------------------------------------------- */

static void put_backend(el_outfile *out, const el_cli_bench_row *row, const char *colour)
{
    char words[128];
    const el_cli_bench_backend *b = row->backend;
    el_cli_bench_put(out, "<p><span class=\"swatch\" style=\"background:%s\"></span><b>%s</b> ",
                     colour, row->label);
    put_escaped(out, b->title);
    el_cli_bench_put(out, ", ");
    put_escaped(out, b->model);
    for (uint32_t i = 0; i < b->threads.n; i++)
        el_cli_bench_put(out, "<br>%s",
                         el_cli_bench_way_words(&b->threads.way[i], words, sizeof words));
    el_cli_bench_put(out, "</p>\n");
}

/* How it is scheduled, and what its certificate came to, in the words of the terminal's report. */
static void put_engine(el_outfile *out, const el_cli_bench *bench)
{
    el_cli_bench_facts facts;
    char *text = NULL;
    size_t len = 0;
    if (!el_cli_bench_facts_of(bench, &facts)) return;
    FILE *lines = open_memstream(&text, &len);
    if (lines == NULL) return;
    el_cli_realtime_print(facts.model->session, lines);
    el_cli_certified_print_line(facts.certified, lines);
    if (fclose(lines) == 0 && len > 0) {
        el_cli_bench_put(out, "<pre>");
        put_escaped(out, text);
        el_cli_bench_put(out, "</pre>\n");
    }
    free(text);
}

static void put_error(el_outfile *out, const el_cli_bench *bench)
{
    edgellm_error err = {EDGELLM_OK, ""};
    if (el_cli_bench_verdict(bench, &err) == EDGELLM_OK) return;
    el_cli_bench_put(out, "<p class=\"bad\">");
    put_escaped(out, err.message);
    el_cli_bench_put(out, "</p>\n");
}

static void put_who(const el_cli_bench_report *report, el_outfile *out)
{
    char load[160];
    const el_cli_bench_plan *p = &report->bench->plan;
    el_cli_bench_put(out, "<h1>edgellm bench</h1>\n");
    put_error(out, report->bench);
    for (uint32_t i = 0; i < report->n; i++) {
        if (report->rows[i].backend != NULL)
            put_backend(out, &report->rows[i], colour_of(report, i));
    }
    put_engine(out, report->bench);
    el_cli_bench_put(
        out,
        "<p>%u requests in %u blocks, %u before each block not counted; %u tokens each "
        "(the first and %u steps).<br>Load: %s.</p>\n",
        p->runs, p->blocks, p->warmup, p->steps + 1, p->steps,
        el_cli_bench_load_words(&report->bench->load, load, sizeof load));
}

/* ---- tables ------------------------------------------------------------------------------- */

static void put_figures(el_outfile *out, const char *label, const char *kind,
                        const el_cli_bench_figures *figures)
{
    el_cli_bench_put(out, "<tr><td>%s%s</td><td>%zu</td>", label, kind, figures->samples);
    for (const el_cli_bench_field *f = el_cli_bench_fields; f->key != NULL; f++)
        put_cell(out, el_cli_bench_value(figures, f));
    el_cli_bench_put(out, "</tr>\n");
}

static void put_table(const el_cli_bench_report *report, int metric, el_outfile *out)
{
    el_cli_bench_put(out, "<table><tr><th>ms</th><th>n</th>");
    for (const el_cli_bench_field *f = el_cli_bench_fields; f->key != NULL; f++)
        el_cli_bench_put(out, "<th>%s</th>", f->title);
    el_cli_bench_put(out, "</tr>\n");
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_row *row = &report->rows[i];
        if (row->backend == NULL && metric == EL_CLI_BENCH_FIRST) continue;
        put_figures(out, row->label, "", &row->pooled[metric]);
        if (report->bench->plan.blocks > 1)
            put_figures(out, row->label, ", medians over blocks", &row->over_blocks[metric]);
    }
    el_cli_bench_put(out, "</table>\n");
}

static void put_metric(const el_cli_bench_report *report, int metric, el_outfile *out)
{
    el_cli_bench_span span = {0, 0};
    el_cli_bench_put(out, "<h2>%s</h2>\n", el_cli_bench_metric_titles[metric]);
    put_table(report, metric, out);
    if (!el_cli_bench_span_of(report, metric, &span)) return;
    el_cli_bench_put(out,
                     "<p>How many there were of each length; the last column has all that were "
                     "longer.</p>\n");
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_row *row = &report->rows[i];
        if (row->backend == NULL && metric == EL_CLI_BENCH_FIRST) continue;
        el_cli_bench_put(out, "<h3>%s</h3>\n", row->label);
        el_cli_bench_put_histogram(out, row, metric, span, colour_of(report, i));
    }
}

static void put_speeds(const el_cli_bench_report *report, el_outfile *out)
{
    el_cli_bench_put(out,
                     "<h2>Speed and memory</h2><table><tr><th></th><th>tok/s</th>"
                     "<th>prompt tok/s</th><th>peak MB</th><th>failed</th><th>fewer tokens</th>"
                     "</tr>\n");
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_row *row = &report->rows[i];
        const double peak = row->backend != NULL ? (double)row->backend->peak_bytes : 0;
        el_cli_bench_put(out, "<tr><td>%s</td>", row->label);
        put_cell(out, row->tok_s);
        put_cell(out, row->prefill_tok_s);
        put_cell(out, peak > 0 ? peak / EL_CLI_MB : NAN);
        el_cli_bench_put(out, "<td>%u</td><td>%u</td></tr>\n", row->faulty.failed,
                         row->faulty.fewer);
    }
    el_cli_bench_put(out, "</table>\n");
}

static void put_ratios(const el_cli_bench_report *report, el_outfile *out)
{
    bool pooled;
    const el_cli_bench_row *ours = el_cli_bench_ours(report);
    el_cli_bench_put(out, "<h2>Ratios, theirs over ours</h2>\n");
    if (ours == NULL) {
        el_cli_bench_put(out, "<p>%s</p>\n", el_cli_bench_no_ratio(report));
        return;
    }
    el_cli_bench_put(out, "<table><tr><th></th>");
    for (const el_cli_bench_ratio *w = el_cli_bench_ratios; w->key != NULL; w++)
        el_cli_bench_put(out, "<th>%s</th>", w->title);
    el_cli_bench_put(out, "</tr>\n");
    for (uint32_t i = 0; i < report->n; i++) {
        if (!el_cli_bench_is_peer(&report->rows[i])) continue;
        el_cli_bench_put(out, "<tr><td>%s</td>", report->rows[i].label);
        for (const el_cli_bench_ratio *w = el_cli_bench_ratios; w->key != NULL; w++)
            put_cell(out, el_cli_bench_ratio_of(&report->rows[i], ours, w, &pooled));
        el_cli_bench_put(out, "</tr>\n");
    }
    el_cli_bench_put(out, "</table>\n");
}

/* ---- pictures over time and position ------------------------------------------------------ */

static void put_pictures(const el_cli_bench_report *report, el_outfile *out)
{
    el_cli_bench_put(out,
                     "<h2>Every token over time</h2><p>Red: gaps longer than %.1f x median + %.1f "
                     "ms; point at one to see the cause that was found.</p>\n",
                     EL_CLI_BENCH_BOUND_FACTOR, EL_CLI_BENCH_BOUND_MS);
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_row *row = &report->rows[i];
        if (row->pooled[EL_CLI_BENCH_GAP].samples == 0) continue;
        el_cli_bench_put(out, "<h3>%s: %zu of %zu beyond %.2f ms</h3>\n", row->label,
                         row->n_outliers, row->pooled[EL_CLI_BENCH_GAP].samples, row->bound);
        el_cli_bench_put_timeline(out, row, colour_of(report, i));
    }
    el_cli_bench_put(out, "<h2>Gap by position in the context</h2>\n");
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_row *row = &report->rows[i];
        if (row->backend == NULL) continue;
        el_cli_bench_put(out, "<h3>%s", row->label);
        if (!isnan(row->fit.b))
            el_cli_bench_put(out, ": %.3f ms %+.5f ms x position", row->fit.a, row->fit.b);
        el_cli_bench_put(out, "</h3>\n");
        el_cli_bench_put_positions(out, row, colour_of(report, i));
    }
}

bool el_cli_bench_write_html(const el_cli_bench_report *report, el_outfile *out)
{
    el_outfile_write(out, head, sizeof head - 1);
    put_who(report, out);
    for (int m = 0; m < EL_CLI_BENCH_METRICS; m++)
        put_metric(report, m, out);
    put_speeds(report, out);
    put_ratios(report, out);
    put_pictures(report, out);
    el_cli_bench_put(out, "</body></html>\n");
    return true;
}
