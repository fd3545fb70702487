/* serve_metrics.c: GET /metrics: what the server counts and measures of itself, as Prometheus reads
 * it (text format 0.0.4). What is not known is absent. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/server_state.h"

/* ---- forms --------------------------------------------------------------------------------- */

/* What follows are its samples. */
static void family(el_out *out, const char *name, const char *type, const char *help)
{
    el_out_print(out, "# HELP edgellm_%s %s\n# TYPE edgellm_%s %s\n", name, help, name, type);
}

static void one(el_out *out, const char *name, const char *type, uint64_t value, const char *help)
{
    family(out, name, type, help);
    el_out_print(out, "edgellm_%s %" PRIu64 "\n", name, value);
}

/* NAME="VALUE" */
static void label(el_out *out, const char *name, const char *value)
{
    el_out_print(out, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '\n')
            el_out_text(out, "\\n");
        else if (*value == '"' || *value == '\\')
            el_out_print(out, "\\%c", *value);
        else
            el_out_bytes(out, value, 1);
    }
    el_out_text(out, "\"");
}

static void histogram(el_out *out, const char *name, const el_histogram *h, const char *help)
{
    uint64_t n = 0;
    family(out, name, "histogram", help);
    for (uint32_t i = 0; i < EL_HISTOGRAM_BOUNDS; i++) {
        n += el_counter_read(&h->in[i]);
        el_out_print(out, "edgellm_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
                     el_histogram_bounds[i] / 1e3, n);
    }
    n += el_counter_read(&h->in[EL_HISTOGRAM_BOUNDS]);
    el_out_print(out, "edgellm_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, n);
    el_out_print(out, "edgellm_%s_sum %.9f\nedgellm_%s_count %" PRIu64 "\n", name,
                 (double)el_counter_read(&h->sum_ns) / 1e9, name, n);
}

/* ---- requests and answers ------------------------------------------------------------------ */

static void write_requests(const el_metrics *m, el_out *out)
{
    family(out, "requests_total", "counter",
           "Requests that are over, by route (other: no such path) and by status (none: no reply "
           "went out).");
    for (uint32_t i = 0; i < m->n_rows; i++) {
        const el_metrics_row *row = &m->rows[i];
        el_out_text(out, "edgellm_requests_total{");
        label(out, "route", row->route ? row->route->path : "other");
        if (row->status > 0)
            el_out_print(out, ",status=\"%u\"} %" PRIu64 "\n", row->status, row->n);
        else
            el_out_print(out, ",status=\"none\"} %" PRIu64 "\n", row->n);
    }
}

static void write_answers(const el_metrics *m, const el_compute *c, el_out *out)
{
    one(out, "prompt_tokens_total", "counter", m->prompt_tokens,
        "Tokens of prompts whose answer has begun.");
    one(out, "answer_tokens_total", "counter", m->answer_tokens,
        "Tokens of answers, as usage counts them.");
    histogram(out, "queue_seconds", &c->meters.queue,
              "From the request to the session that computes it.");
    histogram(out, "first_token_seconds", &c->meters.first,
              "From the request to the first token of its answer.");
    histogram(out, "token_gap_seconds", &c->meters.gap,
              "Between a token of an answer and the one before it.");
    histogram(out, "request_seconds", &m->request,
              "From the request to the end of its reply, of those that were answered with tokens.");
}

static void write_deadlines(const el_metrics *m, const el_compute *c, el_out *out)
{
    one(out, "deadlines_accepted_total", "counter", el_counter_read(&c->meters.accepted),
        "Deadlines that were accepted.");
    one(out, "deadlines_refused_total", "counter", m->deadlines[EL_DEADLINE_REFUSED],
        "Deadlines that were refused.");
    family(out, "deadline_results_total", "counter",
           "What became of accepted deadlines; abandoned: the answer was cut short.");
    for (el_deadline_result i = EL_DEADLINE_MET; i <= EL_DEADLINE_ABANDONED; i++)
        el_out_print(out, "edgellm_deadline_results_total{result=\"%s\"} %" PRIu64 "\n",
                     el_deadline_result_names[i], m->deadlines[i]);
    histogram(out, "deadline_lateness_seconds", &m->lateness,
              "By how much deadlines were missed, of those that were.");
}

/* ---- the server ---------------------------------------------------------------------------- */

static void count_tasks(const el_generation *g, uint64_t *n)
{
    for (uint32_t i = 0; g && i < g->tasks.n; i++)
        n[el_task_stage(&g->tasks.list[i])]++;
}

static void write_tasks(const el_server *server, el_out *out)
{
    uint64_t n[EL_STAGE_ENDED + 1] = {0};
    count_tasks(server->now, n);
    count_tasks(server->earlier, n);
    one(out, "queue_length", "gauge", n[EL_STAGE_ASKED], "Requests that wait for a session.");
    one(out, "queue_places", "gauge", server->options->queue, "Requests that may wait.");
    one(out, "sessions_taken", "gauge", n[EL_STAGE_RUNNING], "Sessions that compute an answer.");
    one(out, "sessions", "gauge", server->options->sessions, "Sessions that there are.");
}

static void write_connections(const el_server *server, el_out *out)
{
    one(out, "connections", "gauge", server->n_open, "Connections that are open.");
    one(out, "connection_places", "gauge", server->options->connections,
        "Connections that may be open.");
    one(out, "connections_total", "counter", server->metrics.connections,
        "Connections that were taken in.");
    one(out, "connections_refused_total", "counter", server->metrics.turned_away,
        "Connections that were turned away because all places were taken.");
}

static void write_memory(const edgellm_memory_plan *p, el_out *out)
{
    const uint64_t library =
        p->weights + p->tables + p->kv_cache + p->scratch + p->threads + p->program;
    const struct {
        const char *name;
        uint64_t bytes;
    } parts[] = {{"weights", p->weights},       {"tables", p->tables},   {"kv_cache", p->kv_cache},
                 {"scratch", p->scratch},       {"threads", p->threads}, {"program", p->program},
                 {"server", p->total - library}};
    family(out, "memory_plan_bytes", "gauge",
           "Memory as it was planned, by part; the ready line tells the sum.");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        el_out_print(out, "edgellm_memory_plan_bytes{part=\"%s\"} %" PRIu64 "\n", parts[i].name,
                     parts[i].bytes);
}

static void write_senses(const el_server *server, el_out *out)
{
    el_senses s = {.celsius = NAN};
    server->options->sense(server->options->sense_context, &s);
    if (s.resident_bytes > 0)
        one(out, "resident_memory_bytes", "gauge", s.resident_bytes,
            "Memory of the process that is resident, mapped files included.");
    if (!isnan(s.celsius)) {
        family(out, "temperature_celsius", "gauge", "The hottest of the processor's sensors.");
        el_out_print(out, "edgellm_temperature_celsius %g\n", s.celsius);
    }
    if (s.n_cpus == 0) return;
    family(out, "cpu_frequency_hertz", "gauge", "The clock of each core now.");
    for (uint32_t i = 0; i < s.n_cpus; i++)
        el_out_print(out, "edgellm_cpu_frequency_hertz{cpu=\"%u\"} %" PRIu64 "\n", s.cpus[i].number,
                     s.cpus[i].hertz);
}

static void write_build(const el_server *server, el_out *out)
{
    family(out, "build_info", "gauge", "1; what runs is in the labels.");
    el_out_text(out, "edgellm_build_info{version=\"" EDGELLM_VERSION "\",");
    label(out, "kernel", server->now->info.kernel);
    el_out_text(out, ",");
    label(out, "model", server->model);
    el_out_text(out, ",");
    label(out, "fingerprint", server->now->fingerprint);
    el_out_text(out, "} 1\n");
}

static void write_keys(const el_metrics *m, el_out *out)
{
    family(out, "key_readings_total", "counter",
           "How often the file of keys was read again; kept: in vain, and the keys stayed.");
    el_out_print(out,
                 "edgellm_key_readings_total{result=\"read\"} %" PRIu64 "\n"
                 "edgellm_key_readings_total{result=\"kept\"} %" PRIu64 "\n",
                 m->keys_read, m->keys_kept);
}

static void write_swaps(const el_metrics *m, el_out *out)
{
    family(
        out, "model_readings_total", "counter",
        "How often the model's file was looked at again: swapped: it was another model, to which "
        "requests go since; same: it was the same; kept: in vain, and the model stayed.");
    for (el_swap_result i = 0; i < EL_SWAP_RESULTS; i++)
        el_out_print(out, "edgellm_model_readings_total{result=\"%s\"} %" PRIu64 "\n",
                     el_swap_result_names[i], m->models[i]);
}

static void write_log(const el_server *server, el_out *out)
{
    one(out, "log_lines_total", "counter", server->log.written, "Lines of the log.");
    one(out, "log_lines_dropped_total", "counter", server->log.dropped,
        "Lines of the log that were left out because whoever reads them was too slow.");
}

/* What only is there when the model is. */
static void write_model(const el_server *server, el_out *out)
{
    el_problem problem;
    one(out, "ready", "gauge", el_server_is_ready(server, &problem),
        "1: requests are taken; 0: the model is loaded, or the server shuts down.");
    if (!server->now) return;
    write_memory(&server->now->memory, out);
    write_build(server, out);
}

void el_serve_metrics(el_conn *conn)
{
    const el_server *server = conn->server;
    el_problem problem;
    el_out out = el_conn_long_text(conn, EL_METRICS_TEXT);
    if (!out.at) {
        el_problem_set(&problem, EL_PROBLEM_INTERNAL, NULL, "no memory for the metrics");
        el_conn_reply_problem(conn, &problem);
        return;
    }
    write_requests(&server->metrics, &out);
    write_answers(&server->metrics, &server->compute, &out);
    write_deadlines(&server->metrics, &server->compute, &out);
    write_tasks(server, &out);
    write_connections(server, &out);
    write_keys(&server->metrics, &out);
    write_swaps(&server->metrics, &out);
    write_log(server, &out);
    write_model(server, &out);
    write_senses(server, &out);
    one(&out, "start_time_seconds", "gauge", (uint64_t)server->started,
        "When the server was started, in seconds since 1970.");
    conn->text_type = "text/plain; version=0.0.4; charset=utf-8";
    el_conn_reply_bytes(conn, 200, out.at, out.used);
}
