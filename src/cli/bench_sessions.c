#include "cli/bench_sessions.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/cli_output.h"
#include "cli/cli_random.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

static const uint64_t calibration_ns = 1500000000; /* forecasts are compared with what it says */

/* What runs of so many sessions at a time took. */
typedef struct figures {
    uint32_t sessions, n;
    double *decode;        /* (runs) tokens a second, of turns that are steps */
    double *whole;         /* (runs) of all tokens in all the time, prompts too */
    double *passes;        /* (runs * steps) milliseconds of passes of all sessions; n_passes */
    double *over_forecast; /* and how many times their forecast that is */
    size_t n_passes;
} figures;

typedef struct bench {
    const el_cli_bench_plan *plan;
    el_cli_model model;
    edgellm_scheduler *scheduler;
    edgellm_memory_plan memory;
    el_cli_certified certified;
    uint32_t *prompt;
    uint64_t number; /* of the next request */
    figures one, all;
} bench;

/* ---- opening ------------------------------------------------------------------------------ */

static edgellm_status reserve(figures *f, uint32_t sessions, const el_cli_bench_plan *p,
                              edgellm_error *err)
{
    const size_t passes = (size_t)p->runs * p->steps;
    f->sessions = sessions;
    f->decode = calloc(p->runs, sizeof *f->decode);
    f->whole = calloc(p->runs, sizeof *f->whole);
    f->passes = calloc(passes, sizeof *f->passes);
    f->over_forecast = calloc(passes, sizeof *f->over_forecast);
    if (f->decode && f->whole && f->passes && f->over_forecast) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the times of %u runs", p->runs);
}

static void release(figures *f)
{
    free(f->decode);
    free(f->whole);
    free(f->passes);
    free(f->over_forecast);
}

static edgellm_scheduler_options options_of(const el_cli_bench_plan *p, uint32_t sessions)
{
    edgellm_scheduler_options o = {.session = p->model.session, .slots = sessions};
    if (o.session.context == 0) o.session.context = p->prompt_tokens + p->steps;
    return o;
}

/* By a certificate that knows these passes; where none holds, by a look at the start. */
static edgellm_status find_costs(bench *b, uint32_t sessions,
                                 const edgellm_session_options *options, edgellm_error *err)
{
    edgellm_costs costs;
    EL_CLI_TRY(el_cli_certified_find_passes(&b->certified, b->plan->certificate, &b->model,
                                            b->scheduler, sessions, options, err));
    if (b->certified.holds) return EDGELLM_OK;
    EL_CLI_TRY(edgellm_scheduler_calibrate(b->scheduler, calibration_ns, &costs, err));
    return edgellm_scheduler_set_costs(b->scheduler, &costs, err);
}

static edgellm_status open_all(bench *b, uint32_t sessions, edgellm_error *err)
{
    const el_cli_bench_plan *p = b->plan;
    const edgellm_scheduler_options o = options_of(p, sessions);
    b->prompt = calloc(p->prompt_tokens, sizeof *b->prompt);
    if (b->prompt == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the prompt");
    EL_CLI_TRY(reserve(&b->one, 1, p, err));
    EL_CLI_TRY(reserve(&b->all, sessions, p, err));
    EL_CLI_TRY(el_cli_model_open_adapted(&b->model, p->path, &p->model, err));
    EL_CLI_TRY(edgellm_scheduler_open(b->model.engine, &o, &b->scheduler, err));
    edgellm_scheduler_memory(b->scheduler, &b->memory);
    return find_costs(b, sessions, &o.session, err);
}

static void close_all(bench *b)
{
    edgellm_scheduler_close(b->scheduler);
    el_cli_certified_release(&b->certified);
    el_cli_model_close(&b->model);
    release(&b->one);
    release(&b->all);
    free(b->prompt);
}

/* ---- a run -------------------------------------------------------------------------------- */

/* Others each time, so that no slot holds a part of them. */
static edgellm_status submit(bench *b, edgellm_error *err)
{
    edgellm_sampler_options greedy = edgellm_sampler_defaults();
    const edgellm_request request = {.tokens = b->prompt,
                                     .count = b->plan->prompt_tokens,
                                     .max_tokens = b->plan->steps + 1,
                                     .sampler = &greedy};
    uint32_t state = (uint32_t)(b->number++ * 2654435761u);
    uint64_t id;
    greedy.temperature = 0;
    greedy.repeat_penalty = 1;
    for (uint32_t i = 0; i < request.count; i++) {
        b->prompt[i] = el_cli_random_below(&state, b->model.info.vocab);
    }
    return edgellm_scheduler_submit(b->scheduler, &request, &id, NULL, err);
}

/* Sums of one run. */
typedef struct sums {
    double steps, steps_ms;
} sums;

static void count(figures *f, const edgellm_turn *t, double ms, bool is_kept, sums *sum)
{
    sum->steps += t->steps;
    if (t->steps > 0) sum->steps_ms += ms;
    if (!is_kept || t->steps != f->sessions) return;
    f->passes[f->n_passes] = ms;
    f->over_forecast[f->n_passes++] = ms * 1e6 / t->forecast_ns;
}

static edgellm_status run_once(bench *b, figures *f, bool is_kept, edgellm_error *err)
{
    const double start = el_cli_now_ms(), tokens = (double)f->sessions * (b->plan->steps + 1);
    edgellm_turn turn = {.steps = 1};
    sums sum = {0, 0};
    double now = start;
    for (uint32_t i = 0; i < f->sessions; i++)
        EL_CLI_TRY(submit(b, err));
    while (turn.steps + turn.prompt_tokens > 0) {
        if (el_cli_interrupted() != 0)
            return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
        const double before = el_cli_now_ms();
        EL_CLI_TRY(edgellm_scheduler_turn(b->scheduler, &turn, err));
        now = el_cli_now_ms();
        if (is_kept && f->sessions == 1 && turn.steps == 1)
            el_cli_certified_count(&b->certified, b->plan->prompt_tokens + (uint32_t)sum.steps,
                                   now - before);
        count(f, &turn, now - before, is_kept, &sum);
    }
    if (!is_kept) return EDGELLM_OK;
    f->decode[f->n] = sum.steps * 1e3 / sum.steps_ms;
    f->whole[f->n++] = tokens * 1e3 / (now - start);
    return EDGELLM_OK;
}

static void sort(figures *f)
{
    el_cli_sort(f->decode, f->n);
    el_cli_sort(f->whole, f->n);
    el_cli_sort(f->passes, f->n_passes);
    el_cli_sort(f->over_forecast, f->n_passes);
}

static edgellm_status measure(bench *b, edgellm_error *err)
{
    const el_cli_bench_plan *p = b->plan;
    for (uint32_t i = 0; i < p->warmup + p->runs; i++) {
        EL_CLI_TRY(run_once(b, &b->one, i >= p->warmup, err));
        EL_CLI_TRY(run_once(b, &b->all, i >= p->warmup, err));
    }
    sort(&b->one);
    sort(&b->all);
    return EDGELLM_OK;
}

/* ---- report ------------------------------------------------------------------------------- */

static double ratio_of(const bench *b)
{
    return el_cli_median(b->all.decode, b->all.n) / el_cli_median(b->one.decode, b->one.n);
}

static void print_figures(const figures *f)
{
    printf("%2u session%s     decode %.1f tok/s (median of %u runs), with prompts %.1f\n",
           f->sessions, f->sessions == 1 ? " " : "s", el_cli_median(f->decode, f->n), f->n,
           el_cli_median(f->whole, f->n));
}

/* A pass of all of them may be too long for an action, or the batch too small: then there is none.
 */
static void print_passes(const figures *f)
{
    const double p99 = el_cli_percentile(f->over_forecast, f->n_passes, 0.99);
    printf("a pass of %-2u    ", f->sessions);
    if (f->n_passes == 0) {
        printf("none: more than an action or the batch holds\n");
        return;
    }
    printf("%.2f ms (median of %zu), %.2f of its forecast", el_cli_median(f->passes, f->n_passes),
           f->n_passes, el_cli_median(f->over_forecast, f->n_passes));
    if (f->n_passes >= 1000) printf(", P99 %.2f", p99);
    printf("\n");
}

static void print_text(const bench *b)
{
    printf("kernel          %s, %u threads, batch %u; %u slots, context %u, %.1f MB in all\n",
           b->model.info.kernel, b->memory.n_threads, b->memory.batch, b->all.sessions,
           b->memory.context, (double)b->memory.total / EL_CLI_MB);
    el_cli_certified_print_line(&b->certified, stdout);
    print_figures(&b->one);
    print_figures(&b->all);
    printf("forecast        by %s\n", b->certified.holds ? "the certificate" : "a calibration");
    print_passes(&b->one);
    print_passes(&b->all);
    printf("together        %.2f times the decode speed of one\n", ratio_of(b));
}

static json_t *figures_json(const figures *f)
{
    json_t *o = json_object();
    json_object_set_new(o, "sessions", json_integer(f->sessions));
    json_object_set_new(o, "decode_tok_s", el_cli_json_real(el_cli_median(f->decode, f->n)));
    json_object_set_new(o, "whole_tok_s", el_cli_json_real(el_cli_median(f->whole, f->n)));
    json_object_set_new(o, "pass_ms", el_cli_distribution(f->passes, f->n_passes));
    json_object_set_new(o, "forecast_share", el_cli_distribution(f->over_forecast, f->n_passes));
    return o;
}

static json_t *json_of(const bench *b)
{
    json_t *o = json_object();
    json_object_set_new(o, "one", figures_json(&b->one));
    json_object_set_new(o, "together", figures_json(&b->all));
    json_object_set_new(o, "ratio", el_cli_json_real(ratio_of(b)));
    json_object_set_new(o, "forecast_by",
                        json_string(b->certified.holds ? "certificate" : "calibration"));
    json_object_set_new(o, "certificate", el_cli_certified_json(&b->certified));
    json_object_set_new(o, "runs", json_integer(b->plan->runs));
    json_object_set_new(o, "prompt_tokens", json_integer(b->plan->prompt_tokens));
    json_object_set_new(o, "tokens", json_integer(b->plan->steps));
    json_object_set_new(o, "kernel", json_string(b->model.info.kernel));
    json_object_set_new(o, "threads", json_integer(b->memory.n_threads));
    json_object_set_new(o, "batch", json_integer(b->memory.batch));
    json_object_set_new(o, "context", json_integer(b->memory.context));
    json_object_set_new(o, "planned_bytes", json_integer((json_int_t)b->memory.total));
    return o;
}

edgellm_status el_cli_bench_sessions(const el_cli_bench_plan *plan, uint32_t sessions, bool json,
                                     edgellm_error *err)
{
    bench b = {.plan = plan, .number = 1};
    edgellm_status status = open_all(&b, sessions, err);
    if (status == EDGELLM_OK) status = measure(&b, err);
    if (status == EDGELLM_OK && json) status = el_cli_print_json(json_of(&b), err);
    if (status == EDGELLM_OK && !json) print_text(&b);
    close_all(&b);
    return status;
}
