/*
 * bench_json.c: the report as JSON: figures by way of jansson; in a file, behind them, all samples,
 * which are written one request at a time, since there may be millions.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_report.h"
#include "cli/cli_output.h"
#include "cli/cli_realtime.h"
#include "cli/cli_stats.h"

static json_t *whole(int64_t value)
{
    return value != EL_CLI_UNKNOWN ? json_integer(value) : json_null();
}

static json_t *figures_json(const el_cli_bench_figures *figures)
{
    json_t *o = json_object();
    json_object_set_new(o, "samples", json_integer((json_int_t)figures->samples));
    for (const el_cli_bench_field *f = el_cli_bench_fields; f->key != NULL; f++)
        json_object_set_new(o, f->key, el_cli_json_real(el_cli_bench_value(figures, f)));
    return o;
}

static json_t *metrics_json(const el_cli_bench_figures figures[EL_CLI_BENCH_METRICS])
{
    json_t *o = json_object();
    for (int m = 0; m < EL_CLI_BENCH_METRICS; m++)
        json_object_set_new(o, el_cli_bench_metric_keys[m], figures_json(&figures[m]));
    return o;
}

static json_t *blocks_json(const el_cli_bench_series *s)
{
    json_t *list = json_array();
    el_cli_bench_figures figures[EL_CLI_BENCH_METRICS];
    for (uint32_t b = 0; b < s->blocks; b++) {
        for (int m = 0; m < EL_CLI_BENCH_METRICS; m++)
            figures[m] = el_cli_bench_pooled(s, m, b);
        json_t *block = metrics_json(figures);
        json_object_set_new(block, "tok_s", el_cli_json_real(el_cli_bench_speed(s, b)));
        json_array_append_new(list, block);
    }
    return list;
}

static json_t *positions_json(const el_cli_bench_row *row)
{
    json_t *o = json_object(), *list = json_array();
    json_object_set_new(o, "a_ms", el_cli_json_real(row->fit.a));
    json_object_set_new(o, "b_ms", el_cli_json_real(row->fit.b));
    for (uint32_t i = 0; i < row->n_ranges; i++) {
        json_t *range = json_object();
        json_object_set_new(range, "first", json_integer(row->ranges[i].first));
        json_object_set_new(range, "last", json_integer(row->ranges[i].last));
        json_object_set_new(range, "median_ms", el_cli_json_real(row->ranges[i].median));
        json_array_append_new(list, range);
    }
    json_object_set_new(o, "ranges", list);
    return o;
}

static json_t *outlier_json(const el_cli_bench_row *row, const el_cli_bench_outlier *o)
{
    json_t *item = json_object();
    const el_cli_bench_request *r = &row->series->requests[o->request];
    const el_cli_bench_counters *before = &r->before, *after = &r->after;
    if (row->series->trace != NULL) {
        after = &row->series->trace[(size_t)o->request * (row->series->steps + 1) + o->step];
        before = after - 1;
    }
    json_object_set_new(item, "request", json_integer(o->request));
    json_object_set_new(item, "token", json_integer(o->step));
    json_object_set_new(item, "gap_ms", json_real(o->gap));
    json_object_set_new(item, "causes", el_cli_bench_cause_json(o->causes));
    json_object_set_new(item, "counted", el_cli_bench_change_json(before, after));
    return item;
}

static json_t *outliers_json(const el_cli_bench_row *row)
{
    json_t *o = json_object(), *list = json_array();
    for (size_t i = 0; i < row->listed; i++)
        json_array_append_new(list, outlier_json(row, &row->outliers[i]));
    json_object_set_new(o, "bound_ms", el_cli_json_real(row->bound));
    json_object_set_new(o, "total", json_integer((json_int_t)row->n_outliers));
    json_object_set_new(o, "counted_over",
                        json_string(row->series->trace != NULL ? "gap" : "request"));
    json_object_set_new(o, "list", list);
    return o;
}

static json_t *ratios_json(const el_cli_bench_row *theirs, const el_cli_bench_row *ours)
{
    bool pooled;
    json_t *o = json_object();
    for (const el_cli_bench_ratio *what = el_cli_bench_ratios; what->key != NULL; what++) {
        const double ratio = el_cli_bench_ratio_of(theirs, ours, what, &pooled);
        json_t *item = json_object();
        json_object_set_new(item, "ratio", el_cli_json_real(ratio));
        json_object_set_new(item, "of", json_string(pooled ? "all samples" : "block medians"));
        json_object_set_new(o, what->key, item);
    }
    return o;
}

static void describe_backend(json_t *o, const el_cli_bench_backend *backend)
{
    json_object_set_new(o, "kind", json_string(backend->kind->name));
    json_object_set_new(o, "server", el_cli_json_text(backend->title, strlen(backend->title)));
    json_object_set_new(o, "model", el_cli_json_text(backend->model, strlen(backend->model)));
    json_object_set_new(o, "threads", el_cli_bench_threads_json(&backend->threads));
    json_object_set_new(o, "peak_rss", json_integer((json_int_t)backend->peak_bytes));
    json_object_set_new(o, "error",
                        backend->failure.status != EDGELLM_OK
                            ? json_string(backend->failure.message)
                            : json_null());
    json_object_set_new(o, "complaint",
                        backend->complaint.status != EDGELLM_OK
                            ? json_string(backend->complaint.message)
                            : json_null());
}

static json_t *row_json(const el_cli_bench_row *row)
{
    json_t *o = json_object();
    if (row->backend != NULL) describe_backend(o, row->backend);
    json_object_set_new(o, "requests", json_integer(row->series->n));
    json_object_set_new(o, "failed", json_integer(row->faulty.failed));
    json_object_set_new(o, "fewer", json_integer(row->faulty.fewer));
    json_object_set_new(o, "prompt_tokens", whole(row->prompt_tokens));
    json_object_set_new(o, "tok_s", el_cli_json_real(row->tok_s));
    json_object_set_new(o, "prefill_tok_s", el_cli_json_real(row->prefill_tok_s));
    json_object_set_new(o, "all", metrics_json(row->pooled));
    json_object_set_new(o, "block_medians", metrics_json(row->over_blocks));
    json_object_set_new(o, "blocks", blocks_json(row->series));
    json_object_set_new(o, "positions", positions_json(row));
    json_object_set_new(o, "outliers", outliers_json(row));
    return o;
}

static json_t *plan_json(const el_cli_bench *bench)
{
    char load[160];
    const el_cli_bench_plan *p = &bench->plan;
    json_t *o = json_object();
    json_object_set_new(o, "runs", json_integer(p->runs));
    json_object_set_new(o, "blocks", json_integer(p->blocks));
    json_object_set_new(o, "warmup", json_integer(p->warmup));
    json_object_set_new(o, "steps", json_integer(p->steps));
    json_object_set_new(o, "prompt",
                        p->prompt != NULL ? el_cli_json_text(p->prompt, strlen(p->prompt))
                                          : json_null());
    json_object_set_new(o, "first_number",
                        p->unique ? json_integer((json_int_t)p->first_number) : json_null());
    json_object_set_new(o, "chat", json_boolean(p->chat));
    el_cli_bench_load_words(&bench->load, load, sizeof load);
    json_object_set_new(o, "load", json_string(load));
    return o;
}

static json_t *engine_json(const el_cli_bench *bench)
{
    el_cli_bench_facts facts;
    edgellm_memory_plan plan;
    if (!el_cli_bench_facts_of(bench, &facts)) return json_null();
    json_t *o = json_object();
    edgellm_session_plan(facts.model->session, &plan);
    json_object_set_new(o, "version", json_string(edgellm_version()));
    json_object_set_new(o, "kernel", json_string(facts.model->info.kernel));
    json_object_set_new(o, "threads", json_integer(plan.n_threads));
    json_object_set_new(o, "batch", json_integer(plan.batch));
    json_object_set_new(o, "context", json_integer(plan.context));
    json_object_set_new(o, "copied", json_boolean(facts.model->info.copied));
    json_object_set_new(o, "file_bytes", json_integer((json_int_t)facts.model->info.file_bytes));
    json_object_set_new(o, "conditions", el_cli_climate_json(facts.climate));
    json_object_set_new(o, "certificate", el_cli_certified_json(facts.certified));
    el_cli_realtime_add(o, facts.model->session);
    json_object_set_new(o, "token_bytes", json_integer((json_int_t)facts.model->info.token_bytes));
    json_object_set_new(o, "roof_bytes", json_integer((json_int_t)facts.roof_bytes));
    json_object_set_new(o, "roof_copied", json_boolean(facts.roof_copied));
    return o;
}

json_t *el_cli_bench_json(const el_cli_bench_report *report)
{
    edgellm_error err = {EDGELLM_OK, ""};
    json_t *o = json_object(), *backends = json_array(), *ratios = json_object();
    const el_cli_bench_row *ours = el_cli_bench_ours(report);
    const char *none = el_cli_bench_no_ratio(report);
    json_object_set_new(o, "plan", plan_json(report->bench));
    json_object_set_new(o, "engine", engine_json(report->bench));
    json_object_set_new(o, "backends", backends);
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_row *row = &report->rows[i];
        if (row->backend == NULL) {
            json_object_set_new(o, "floor", row_json(row));
        } else {
            json_array_append_new(backends, row_json(row));
        }
        if (ours != NULL && el_cli_bench_is_peer(row))
            json_object_set_new(ratios, row->label, ratios_json(row, ours));
    }
    json_object_set_new(o, "ratios", ratios);
    json_object_set_new(o, "no_ratio", none != NULL ? json_string(none) : json_null());
    const bool failed = el_cli_bench_verdict(report->bench, &err) != EDGELLM_OK;
    json_object_set_new(o, "error", failed ? json_string(err.message) : json_null());
    return o;
}

/* ---- a file ------------------------------------------------------------------------------- */

static void put_whole(el_outfile *out, const char *key, int64_t value)
{
    if (value == EL_CLI_UNKNOWN) {
        el_cli_bench_put(out, "\"%s\":null,", key);
    } else {
        el_cli_bench_put(out, "\"%s\":%lld,", key, (long long)value);
    }
}

static void put_request(el_outfile *out, const el_cli_bench_series *s, uint32_t i)
{
    const el_cli_bench_request *r = &s->requests[i];
    const double *times = el_cli_bench_times(s, i);
    el_cli_bench_put(out, "{\"block\":%u,\"start_ms\":%.6f,\"failed\":%s,\"fewer\":%s,", r->block,
                     r->start_ms, r->failed ? "true" : "false", r->fewer ? "true" : "false");
    put_whole(out, "prompt_tokens", r->prompt_tokens);
    put_whole(out, "tokens", r->tokens);
    el_cli_bench_put(out, "\"token_ms\":[");
    for (uint32_t t = 0; t < r->count; t++)
        el_cli_bench_put(out, "%s%.6f", t > 0 ? "," : "", times[t]);
    el_cli_bench_put(out, "]}");
}

static void put_series(el_outfile *out, const el_cli_bench_row *row)
{
    el_cli_bench_put(out, "{\"backend\":\"%s\",\"requests\":[\n", row->label);
    for (uint32_t i = 0; i < row->series->n; i++) {
        if (i > 0) el_cli_bench_put(out, ",\n");
        put_request(out, row->series, i);
    }
    el_cli_bench_put(out, "]}");
}

bool el_cli_bench_write_json(const el_cli_bench_report *report, el_outfile *out)
{
    char *text =
        el_cli_json_dump(el_cli_bench_json(report), JSON_INDENT(1) | JSON_REAL_PRECISION(12));
    if (text == NULL) return false;
    el_cli_bench_put(out, "{\"summary\":");
    el_outfile_write(out, text, strlen(text));
    free(text);
    el_cli_bench_put(out, ",\n\"samples\":[\n");
    for (uint32_t i = 0; i < report->n; i++) {
        if (i > 0) el_cli_bench_put(out, ",\n");
        put_series(out, &report->rows[i]);
    }
    el_cli_bench_put(out, "]}\n");
    return true;
}
