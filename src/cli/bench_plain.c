/*
 * bench_plain.c: what `edgellm bench MODEL` prints: speeds, distributions, and the roofline: the
 * share that decode reaches of the speed at which the weights can be read.
 */
#include <math.h>
#include <stdio.h>

#include "cli/bench_report.h"
#include "cli/cli_output.h"
#include "cli/cli_realtime.h"
#include "cli/cli_stats.h"

/* What all of it is printed from. */
typedef struct plain {
    const el_cli_bench_row *row, *floor;
    el_cli_bench_facts facts;
    edgellm_memory_plan plan;
} plain;

static plain gather(const el_cli_bench_report *report)
{
    plain p = {.row = &report->rows[0], .floor = &report->rows[report->n - 1]};
    (void)el_cli_bench_facts_of(report->bench, &p.facts); /* there is one in this form */
    edgellm_session_plan(p.facts.model->session, &p.plan);
    return p;
}

/* ---- roofline ----------------------------------------------------------------------------- */

typedef struct roofline {
    uint64_t weight_bytes, kv_bytes, roof_bytes; /* that a token reads, and a pass */
    double weight_gb_s, roof_gb_s, share;
    size_t passes;
    bool copied, is_unlike; /* what the roof reads; and what a token reads is not so */
} roofline;

static roofline roofline_of(const plain *p)
{
    const el_cli_bench_series *s = p->floor->series;
    /* Steps read from prompt + 1 to prompt + steps positions of the cache. */
    const uint64_t twice_the_mean = 2 * (uint64_t)p->row->prompt_tokens + p->row->series->steps + 1;
    roofline r = {.weight_bytes = p->facts.model->info.token_bytes,
                  .kv_bytes = p->plan.position_bytes * twice_the_mean / 2,
                  .roof_bytes = p->facts.roof_bytes,
                  .copied = p->facts.roof_copied,
                  .is_unlike = p->facts.roof_copied != p->facts.model->info.copied};
    r.passes = el_cli_bench_collect(s, EL_CLI_BENCH_GAP, EL_CLI_BENCH_ALL, s->scratch);
    el_cli_sort(s->scratch, r.passes);
    r.weight_gb_s = (double)r.weight_bytes * 1e-9 * p->row->tok_s;
    r.roof_gb_s = (double)r.roof_bytes * 1e-6 / el_cli_median(s->scratch, r.passes);
    r.share = r.weight_gb_s / r.roof_gb_s;
    return r;
}

static json_t *roofline_json(const roofline *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "weight_bytes", json_integer((json_int_t)r->weight_bytes));
    json_object_set_new(o, "kv_bytes", json_integer((json_int_t)r->kv_bytes));
    json_object_set_new(o, "weight_gb_s", el_cli_json_real(r->weight_gb_s));
    json_object_set_new(o, "roof_bytes", json_integer((json_int_t)r->roof_bytes));
    json_object_set_new(o, "roof_gb_s", el_cli_json_real(r->roof_gb_s));
    json_object_set_new(o, "roof_copied", json_boolean(r->copied));
    json_object_set_new(o, "roof_passes", json_integer((json_int_t)r->passes));
    json_object_set_new(o, "share", el_cli_json_real(r->share));
    return o;
}

static void print_roofline(const roofline *r)
{
    printf("read per token  %.1f MB of weights, %.2f GB/s; and %.1f MB of the KV cache\n",
           (double)r->weight_bytes / EL_CLI_MB, r->weight_gb_s, (double)r->kv_bytes / EL_CLI_MB);
    printf("roofline        %.0f %% of %.2f GB/s (only reading as many bytes of the file%s; median "
           "of %zu)\n",
           100 * r->share, r->roof_gb_s,
           r->is_unlike ? ", mapped: there is no room for a second copy" : "", r->passes);
}

/* ---- text --------------------------------------------------------------------------------- */

static void print_distribution(const char *title, const el_cli_bench_figures *figures)
{
    printf("%-16s", title);
    for (const el_cli_bench_field *f = el_cli_bench_fields; f->key != NULL; f++) {
        const double ms = el_cli_bench_value(figures, f);
        if (f->title[0] == 'P' && f->offset != offsetof(el_cli_bench_figures, spread) && !isnan(ms))
            printf("%s %.2f  ", f->title, ms);
    }
    printf("max %.2f ms (%zu samples)\n", figures->max, figures->samples);
}

void el_cli_bench_print_plain(const el_cli_bench_report *report)
{
    const plain p = gather(report);
    const el_cli_bench_figures *request = &p.row->pooled[EL_CLI_BENCH_REQUEST];
    const roofline r = roofline_of(&p);
    printf("kernel          %s, %u threads, batch %u, context %u%s\n", p.facts.model->info.kernel,
           p.plan.n_threads, p.plan.batch, p.plan.context,
           p.facts.model->info.copied ? ", weights copied" : "");
    el_cli_realtime_print(p.facts.model->session, stdout);
    printf("decode          %.1f tok/s (median of %zu runs)\n", p.row->tok_s, request->samples);
    printf("prefill         %.1f tok/s\n", p.row->prefill_tok_s);
    print_distribution("first token", &p.row->pooled[EL_CLI_BENCH_FIRST]);
    print_distribution("per token", &p.row->pooled[EL_CLI_BENCH_GAP]);
    if (isnan(request->deviation)) {
        printf("jitter          needs 2 runs\n");
    } else {
        printf("jitter          %.2f ms (of whole requests)\n", request->deviation);
    }
    print_roofline(&r);
    el_cli_certified_print_line(p.facts.certified, stdout);
    el_cli_climate_print_lines(p.facts.climate, stdout);
    printf("peak memory     %.1f MB, file %.1f MB\n",
           (double)p.row->backend->peak_bytes / EL_CLI_MB,
           (double)p.facts.model->info.file_bytes / EL_CLI_MB);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static json_t *distribution(const plain *p, el_cli_bench_metric metric)
{
    const el_cli_bench_series *s = p->row->series;
    size_t n = el_cli_bench_collect(s, metric, EL_CLI_BENCH_ALL, s->scratch);
    el_cli_sort(s->scratch, n);
    return el_cli_distribution(s->scratch, n);
}

json_t *el_cli_bench_plain_json(const el_cli_bench_report *report)
{
    const plain p = gather(report);
    const roofline r = roofline_of(&p);
    const edgellm_model_info *info = &p.facts.model->info;
    json_t *o = json_object();
    json_object_set_new(o, "decode_tok_s", el_cli_json_real(p.row->tok_s));
    json_object_set_new(o, "prefill_tok_s", el_cli_json_real(p.row->prefill_tok_s));
    for (int m = EL_CLI_BENCH_METRICS - 1; m >= 0; m--)
        json_object_set_new(o, el_cli_bench_metric_keys[m], distribution(&p, m));
    json_object_set_new(o, "jitter_ms",
                        el_cli_json_real(p.row->pooled[EL_CLI_BENCH_REQUEST].deviation));
    json_object_set_new(o, "roofline", roofline_json(&r));
    json_object_set_new(o, "runs", json_integer(p.row->series->n));
    json_object_set_new(o, "prompt_tokens", json_integer((json_int_t)p.row->prompt_tokens));
    json_object_set_new(o, "tokens", json_integer(p.row->series->steps));
    json_object_set_new(o, "kernel", json_string(info->kernel));
    json_object_set_new(o, "threads", json_integer(p.plan.n_threads));
    json_object_set_new(o, "batch", json_integer(p.plan.batch));
    json_object_set_new(o, "context", json_integer(p.plan.context));
    json_object_set_new(o, "copied", json_boolean(p.facts.model->info.copied));
    json_object_set_new(o, "peak_rss", json_integer((json_int_t)p.row->backend->peak_bytes));
    json_object_set_new(o, "file_bytes", json_integer((json_int_t)info->file_bytes));
    json_object_set_new(o, "conditions", el_cli_climate_json(p.facts.climate));
    json_object_set_new(o, "certificate", el_cli_certified_json(p.facts.certified));
    el_cli_realtime_add(o, p.facts.model->session);
    return o;
}
