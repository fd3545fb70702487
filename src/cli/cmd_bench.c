/*
 * cmd_bench.c: `edgellm bench`: the same request several times in this process: greedy, a fixed
 * synthetic prompt, medians over the runs. Jitter is the standard deviation of the latency of the
 * whole request. Between the requests the weights are only read (bench_roof.h), so that decode and
 * the limit it is held against meet the same noise.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/bench_roof.h"
#include "cli/cli_model.h"
#include "cli/cli_output.h"
#include "cli/cli_realtime.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

typedef struct bench_values {
    el_cli_model_values model;
    uint32_t runs, warmup, max_tokens, prompt_tokens;
    bool json;
} bench_values;

typedef struct samples {
    double *prefill_tok_s, *decode_tok_s, *ttft_ms, *request_ms; /* (runs) each */
    double *roof_ms;                                             /* (runs * ROOF_PASSES) */
    double *token_ms;                                            /* (runs * tokens) */
    double *memory;                                              /* what all of them lie in */
    uint32_t *prompt;                                            /* (prompt_tokens) */
    size_t runs, tokens, passes;
    uint64_t peak_rss;
} samples;

/* What reads the weights as tokens do; set up after the first request. */
typedef struct limit {
    const char *path;
    uint64_t bytes;
    unsigned threads;
    el_cli_roof roof;
} limit;

enum { ROOF_PASSES = 8 }; /* after each request; one more before them is not measured */

static edgellm_status allocate(samples *s, const bench_values *v, uint32_t vocab,
                               edgellm_error *err)
{
    size_t runs = v->runs, steps = 0, room = 0;
    uint32_t state = 1;
    bool fits = !__builtin_mul_overflow(runs, (size_t)v->max_tokens, &steps) &&
                !__builtin_add_overflow(steps, (4 + ROOF_PASSES) * runs, &room);
    s->memory = fits ? calloc(room, sizeof *s->memory) : NULL;
    s->prompt = calloc(v->prompt_tokens, sizeof *s->prompt);
    if (s->memory == NULL || s->prompt == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_MEMORY,
                           "no memory for the times of %zu runs of %u tokens", runs, v->max_tokens);
    }
    s->prefill_tok_s = s->memory;
    s->decode_tok_s = s->memory + runs;
    s->ttft_ms = s->memory + 2 * runs;
    s->request_ms = s->memory + 3 * runs;
    s->roof_ms = s->memory + 4 * runs;
    s->token_ms = s->memory + (4 + ROOF_PASSES) * runs;
    for (uint32_t i = 0; i < v->prompt_tokens; i++) {
        state = state * 1664525u + 1013904223u;
        s->prompt[i] = (uint32_t)(((uint64_t)state * vocab) >> 32);
    }
    return EDGELLM_OK;
}

/* One request: prompt, first token, then max_tokens steps. token_ms: (max_tokens). */
static edgellm_status request(edgellm_session *session, const bench_values *v, samples *s,
                              size_t run, double *token_ms, edgellm_error *err)
{
    EL_CLI_TRY(edgellm_session_truncate(session, 0, err));
    double start = el_cli_now_ms();
    EL_CLI_TRY(el_cli_prefill(session, s->prompt, v->prompt_tokens, err));
    double prefilled = el_cli_now_ms();
    uint32_t token = edgellm_session_sample(session);
    double first = el_cli_now_ms(), before = first;
    for (uint32_t i = 0; i < v->max_tokens; i++) {
        if (el_cli_interrupted() != 0) {
            return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
        }
        EL_CLI_TRY(edgellm_session_eval(session, &token, 1, NULL, err));
        token = edgellm_session_sample(session);
        double now = el_cli_now_ms();
        token_ms[i] = now - before;
        before = now;
    }
    s->prefill_tok_s[run] = v->prompt_tokens * 1e3 / (prefilled - start);
    s->decode_tok_s[run] = v->max_tokens * 1e3 / (before - first);
    s->ttft_ms[run] = first - start;
    s->request_ms[run] = before - start;
    return EDGELLM_OK;
}

/* The first pass finds other things in the caches, and the threads asleep. */
static edgellm_status read_weights(limit *l, samples *s, edgellm_error *err)
{
    if (l->roof.crew == NULL)
        EL_CLI_TRY(el_cli_roof_open(&l->roof, l->path, l->bytes, l->threads, err));
    el_cli_roof_read(&l->roof);
    for (int i = 0; i < ROOF_PASSES; i++) {
        if (el_cli_interrupted() != 0) {
            return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
        }
        double start = el_cli_now_ms();
        el_cli_roof_read(&l->roof);
        s->roof_ms[s->passes++] = el_cli_now_ms() - start;
    }
    return EDGELLM_OK;
}

static edgellm_status measure(edgellm_session *session, const bench_values *v, samples *s, limit *l,
                              edgellm_error *err)
{
    edgellm_sampler_options greedy = edgellm_sampler_defaults();
    greedy.temperature = 0;
    greedy.repeat_penalty = 1;
    EL_CLI_TRY(edgellm_session_set_sampler(session, &greedy, err));
    for (uint32_t i = 0; i < v->warmup; i++) {
        EL_CLI_TRY(request(session, v, s, 0, s->token_ms, err));
    }
    for (uint32_t i = 0; i < v->runs; i++) {
        double *token_ms = s->token_ms + (size_t)i * v->max_tokens;
        EL_CLI_TRY(request(session, v, s, i, token_ms, err));
        s->runs = i + 1;
        s->tokens += v->max_tokens;
        /* A request allocates nothing; mapped a second time, the file would count twice. */
        if (i == 0) s->peak_rss = el_cli_peak_rss();
        EL_CLI_TRY(read_weights(l, s, err));
    }
    return EDGELLM_OK;
}

/* ---- report ------------------------------------------------------------------------------- */

static void print_distribution(const char *title, const double *sorted, size_t n)
{
    static const struct {
        const char *name;
        double p;
    } rows[] = {{"P50", 0.5}, {"P90", 0.9}, {"P99", 0.99}, {"P99.9", 0.999}};
    printf("%-16s", title);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double ms = el_cli_percentile(sorted, n, rows[i].p);
        if (!isnan(ms)) printf("%s %.2f  ", rows[i].name, ms);
    }
    printf("max %.2f ms (%zu samples)\n", sorted[n - 1], n);
}

/* How much of the limit decode reaches. */
typedef struct roofline {
    uint64_t weight_bytes, kv_bytes, roof_bytes; /* that a token reads, and a pass */
    double weight_gb_s, roof_gb_s, share;
} roofline;

static roofline roofline_of(const samples *s, const bench_values *v, const limit *l,
                            const edgellm_memory_plan *plan)
{
    /* Steps read from prompt + 1 to prompt + max_tokens positions of the cache. */
    const uint64_t twice_the_mean = 2 * (uint64_t)v->prompt_tokens + v->max_tokens + 1;
    roofline r = {.weight_bytes = l->bytes,
                  .kv_bytes = plan->position_bytes * twice_the_mean / 2,
                  .roof_bytes = el_cli_roof_bytes(&l->roof)};
    r.weight_gb_s = (double)r.weight_bytes * 1e-9 * el_cli_median(s->decode_tok_s, s->runs);
    r.roof_gb_s = (double)r.roof_bytes * 1e-6 / el_cli_median(s->roof_ms, s->passes);
    r.share = r.weight_gb_s / r.roof_gb_s;
    return r;
}

static void print_roofline(const roofline *r, size_t passes)
{
    printf("read per token  %.1f MB of weights, %.2f GB/s; and %.1f MB of the KV cache\n",
           (double)r->weight_bytes / EL_CLI_MB, r->weight_gb_s, (double)r->kv_bytes / EL_CLI_MB);
    printf(
        "roofline        %.0f %% of %.2f GB/s (only reading as many bytes of the file; median of "
        "%zu)\n",
        100 * r->share, r->roof_gb_s, passes);
}

static json_t *roofline_json(const roofline *r, size_t passes)
{
    json_t *o = json_object();
    json_object_set_new(o, "weight_bytes", json_integer((json_int_t)r->weight_bytes));
    json_object_set_new(o, "kv_bytes", json_integer((json_int_t)r->kv_bytes));
    json_object_set_new(o, "weight_gb_s", el_cli_json_real(r->weight_gb_s));
    json_object_set_new(o, "roof_bytes", json_integer((json_int_t)r->roof_bytes));
    json_object_set_new(o, "roof_gb_s", el_cli_json_real(r->roof_gb_s));
    json_object_set_new(o, "roof_passes", json_integer((json_int_t)passes));
    json_object_set_new(o, "share", el_cli_json_real(r->share));
    return o;
}

static void print_text(const samples *s, double jitter_ms, const roofline *r,
                       const el_cli_model *model, const edgellm_memory_plan *plan)
{
    printf("kernel          %s, %u threads, batch %u, context %u\n", model->info.kernel,
           plan->n_threads, plan->batch, plan->context);
    el_cli_realtime_print(model->session, stdout);
    printf("decode          %.1f tok/s (median of %zu runs)\n",
           el_cli_median(s->decode_tok_s, s->runs), s->runs);
    printf("prefill         %.1f tok/s\n", el_cli_median(s->prefill_tok_s, s->runs));
    print_distribution("first token", s->ttft_ms, s->runs);
    print_distribution("per token", s->token_ms, s->tokens);
    if (isnan(jitter_ms)) {
        printf("jitter          needs 2 runs\n");
    } else {
        printf("jitter          %.2f ms (of whole requests)\n", jitter_ms);
    }
    print_roofline(r, s->passes);
    printf("peak memory     %.1f MB, file %.1f MB\n", (double)s->peak_rss / EL_CLI_MB,
           (double)model->info.file_bytes / EL_CLI_MB);
}

static json_t *as_json(const samples *s, double jitter_ms, const roofline *r, const bench_values *v,
                       const el_cli_model *model, const edgellm_memory_plan *plan)
{
    json_t *o = json_object();
    json_object_set_new(o, "decode_tok_s",
                        el_cli_json_real(el_cli_median(s->decode_tok_s, s->runs)));
    json_object_set_new(o, "prefill_tok_s",
                        el_cli_json_real(el_cli_median(s->prefill_tok_s, s->runs)));
    json_object_set_new(o, "ttft_ms", el_cli_distribution(s->ttft_ms, s->runs));
    json_object_set_new(o, "token_ms", el_cli_distribution(s->token_ms, s->tokens));
    json_object_set_new(o, "request_ms", el_cli_distribution(s->request_ms, s->runs));
    json_object_set_new(o, "jitter_ms", el_cli_json_real(jitter_ms));
    json_object_set_new(o, "roofline", roofline_json(r, s->passes));
    json_object_set_new(o, "runs", json_integer((json_int_t)s->runs));
    json_object_set_new(o, "prompt_tokens", json_integer(v->prompt_tokens));
    json_object_set_new(o, "tokens", json_integer(v->max_tokens));
    json_object_set_new(o, "kernel", json_string(model->info.kernel));
    json_object_set_new(o, "threads", json_integer(plan->n_threads));
    json_object_set_new(o, "batch", json_integer(plan->batch));
    json_object_set_new(o, "context", json_integer(plan->context));
    json_object_set_new(o, "peak_rss", json_integer((json_int_t)s->peak_rss));
    json_object_set_new(o, "file_bytes", json_integer((json_int_t)model->info.file_bytes));
    el_cli_realtime_add(o, model->session);
    return o;
}

static edgellm_status report(samples *s, const bench_values *v, const limit *l,
                             const el_cli_model *model, edgellm_error *err)
{
    edgellm_memory_plan plan;
    double jitter_ms = el_cli_deviation(s->request_ms, s->runs);
    edgellm_session_plan(model->session, &plan);
    el_cli_sort(s->prefill_tok_s, s->runs);
    el_cli_sort(s->decode_tok_s, s->runs);
    el_cli_sort(s->ttft_ms, s->runs);
    el_cli_sort(s->request_ms, s->runs);
    el_cli_sort(s->token_ms, s->tokens);
    el_cli_sort(s->roof_ms, s->passes);
    roofline r = roofline_of(s, v, l, &plan);
    if (v->json) return el_cli_print_json(as_json(s, jitter_ms, &r, v, model, &plan), err);
    print_text(s, jitter_ms, &r, model, &plan);
    return EDGELLM_OK;
}

/* ---- command ------------------------------------------------------------------------------ */

static limit limit_of(const el_cli_model *model, const char *path)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    return (limit){.path = path, .bytes = model->info.token_bytes, .threads = plan.n_threads};
}

static edgellm_status bench_session(const el_cli_model *model, const bench_values *v,
                                    const char *path, edgellm_error *err)
{
    samples s = {0};
    limit l = limit_of(model, path);
    edgellm_status status = allocate(&s, v, model->info.vocab, err);
    if (status == EDGELLM_OK) status = measure(model->session, v, &s, &l, err);
    if (status == EDGELLM_OK) status = report(&s, v, &l, model, err);
    el_cli_roof_close(&l.roof);
    free(s.memory);
    free(s.prompt);
    return status;
}

static edgellm_status bench(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    const bench_values *v = values;
    edgellm_session_options session = v->model.session;
    el_cli_model model;
    (void)n_operands;
    if (session.context == 0) session.context = v->prompt_tokens + v->max_tokens;
    EL_CLI_TRY(el_cli_model_open(&model, operands[0], &v->model.engine, err));
    edgellm_status status = el_cli_model_start(&model, &session, err);
    if (status == EDGELLM_OK) status = bench_session(&model, v, operands[0], err);
    el_cli_model_close(&model);
    return status;
}

#define FIELD(member) offsetof(bench_values, member)

static const el_cli_option options[] = {
    {"runs", 0, EL_CLI_U32, FIELD(runs), "N", "5", "requests that are measured", 1, 100000, NULL},
    {"warmup", 0, EL_CLI_U32, FIELD(warmup), "N", "1", "requests before that", 0, 100000, NULL},
    {"tokens", 'n', EL_CLI_U32, FIELD(max_tokens), "N", "128", "decode steps of a request", 1,
     65536, NULL},
    {"prompt-tokens", 'p', EL_CLI_U32, FIELD(prompt_tokens), "N", "128", "length of the prompt", 1,
     1048576, NULL},
    EL_CLI_CONTEXT_ROW(bench_values, NULL, "context in tokens; what the request needs"),
    EL_CLI_SESSION_ROWS(bench_values),
    EL_CLI_REALTIME_ROW(bench_values),
    EL_CLI_ENGINE_ROWS(bench_values),
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL, "one JSON object", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_bench = {
    .name = "bench",
    .summary = "measure speed and jitter on this machine",
    .synopsis = "bench MODEL [options]",
    .about =
        "Sends the same request several times, in this process: a fixed synthetic prompt,\n"
        "greedy. Speeds are medians over the runs; jitter is the standard deviation of the\n"
        "latency of whole requests. A percentile p is printed only with at least 10/(1-p)\n"
        "samples.\n"
        "A token of decode reads all weights. The roofline is how fast that many bytes of the\n"
        "model file are read where nothing else is done, in the same run and on as many\n"
        "threads; its percentage is the share that decode reaches. It tells of memory only\n"
        "with models much larger than the caches.\n",
    .examples = "  edgellm bench model.tm2.bin\n"
                "  edgellm bench model.tm2.bin --runs 20 -n 64 -j 1 --json\n"
                "  edgellm bench model.tm2.bin -p 512 -b 512 -n 1\n",
    .options = options,
    .values_size = sizeof(bench_values),
    .min_operands = 1,
    .max_operands = 1,
    .run = bench,
};
