/*
 * cmd_certify.c: `edgellm certify`: measures a model on this board for a while, and writes down
 * what was measured; or measures again and says whether the board has become slower.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/outfile.h"
#include "cli/bench_load.h"
#include "cli/certify_soak.h"
#include "cli/cli_certificate.h"
#include "cli/cli_folders.h"
#include "cli/cli_output.h"
#include "cli/cli_realtime.h"
#include "cli/cli_stats.h"
#include "cli/doctor_tree.h"

enum { DEFAULT_CONTEXT = 2048, DEFAULT_SECONDS = 60, CHECK_SECONDS = 5 };

typedef struct certify_values {
    el_cli_model_values model;
    const char *output, *certificate;
    float seconds, slower;
    uint32_t load, sessions;
    bool check, json, quiet;
} certify_values;

/* What a run makes of a model. */
typedef struct work {
    const certify_values *v;
    const char *model_path;
    el_cli_model model;
    el_cli_bench_load load;
    char load_words[160];
    el_cli_passes passes;
    el_cli_soak soak;
    el_cli_certificate certificate, then; /* then: that which is checked */
    char *path;                           /* owned: where the certificate is, or will be */
} work;

/* ---- what was measured, as JSON ----------------------------------------------------------- */

/* The samples of a series, in milliseconds and in order. */
static json_t *times_json(const el_cli_series *s, double *scratch)
{
    for (size_t i = 0; i < s->n; i++)
        scratch[i] = s->ns[i] / 1e6;
    el_cli_sort(scratch, s->n);
    return el_cli_distribution(scratch, s->n);
}

static json_t *over_json(const el_cli_series *s, const edgellm_costs *costs, double *scratch)
{
    el_cli_fit_over(s, costs, scratch);
    for (size_t i = 0; i < s->n; i++)
        scratch[i] /= 1e6;
    return el_cli_distribution(scratch, s->n);
}

static json_t *sorted_json(const double *samples, size_t n, double *scratch)
{
    memcpy(scratch, samples, n * sizeof *samples);
    el_cli_sort(scratch, n);
    return el_cli_distribution(scratch, n);
}

static json_t *requests_json(const el_cli_soak *s)
{
    if (s->n_requests == 0) return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "prompt_tokens", json_integer(s->request_prompt));
    json_object_set_new(o, "tokens", json_integer(s->request_tokens));
    json_object_set_new(o, "jitter_ms",
                        el_cli_json_real(el_cli_deviation(s->request_ms, s->n_requests)));
    json_object_set_new(o, "request_ms", sorted_json(s->request_ms, s->n_requests, s->scratch));
    json_object_set_new(o, "ttft_ms", sorted_json(s->first_ms, s->n_requests, s->scratch));
    return o;
}

static json_t *known(int64_t value, double unit)
{
    return value == EL_CLI_UNKNOWN ? json_null() : json_real((double)value / unit);
}

static json_t *conditions_json(const el_cli_conditions *c)
{
    json_t *o = json_object();
    json_object_set_new(o, "temperature_first_c", known(c->heat_first, 1e3));
    json_object_set_new(o, "temperature_last_c", known(c->heat_last, 1e3));
    json_object_set_new(o, "temperature_most_c", known(c->heat_most, 1e3));
    json_object_set_new(o, "clock_least_mhz", known(c->clock_least, 1e3));
    json_object_set_new(o, "clock_most_mhz", known(c->clock_most, 1e3));
    json_object_set_new(o, "faults_minor", json_integer(c->faults_minor));
    json_object_set_new(o, "faults_major", json_integer(c->faults_major));
    json_object_set_new(o, "switches_own", json_integer(c->switches_own));
    json_object_set_new(o, "switches_forced", json_integer(c->switches_forced));
    return o;
}

static json_t *passes_json(const work *w)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < w->passes.n_series; i++) {
        json_t *row = json_object();
        json_object_set_new(row, "sessions", json_integer(w->passes.series[i].tokens));
        json_object_set_new(row, "ms", times_json(&w->passes.series[i], w->soak.scratch));
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *measured_json(const work *w)
{
    const el_cli_soak *s = &w->soak;
    const edgellm_costs *costs = &w->certificate.costs;
    json_t *o = json_object();
    json_object_set_new(o, "seconds", json_real(s->seconds));
    json_object_set_new(o, "rounds", json_integer(s->rounds));
    json_object_set_new(o, "load", json_string(w->load_words));
    json_object_set_new(o, "step_samples", json_integer((json_int_t)s->series[0].seen));
    json_object_set_new(o, "step_ms", times_json(&s->series[0], s->scratch));
    json_object_set_new(o, "step_over_ms", over_json(&s->series[0], costs, s->scratch));
    json_object_set_new(o, "requests", requests_json(s));
    if (w->passes.n_series > 0) json_object_set_new(o, "passes", passes_json(w));
    json_object_set_new(o, "longest_ms", json_real(s->longest_ms));
    json_object_set_new(o, "conditions", conditions_json(&s->conditions));
    return o;
}

/* ---- what was measured, as text ----------------------------------------------------------- */

static void print_conditions(const el_cli_soak *s)
{
    const el_cli_conditions *c = &s->conditions;
    printf("meanwhile       %lld page faults (%lld from a disk), %lld forced switches of threads",
           (long long)c->faults_minor + (long long)c->faults_major, (long long)c->faults_major,
           (long long)c->switches_forced);
    printf(", %.2f ms the longest of all", s->longest_ms);
    if (c->heat_most != EL_CLI_UNKNOWN)
        printf(", up to %.1f degrees Celsius", (double)c->heat_most / 1e3);
    if (c->clock_least != EL_CLI_UNKNOWN)
        printf(", %.0f to %.0f MHz", (double)c->clock_least / 1e3, (double)c->clock_most / 1e3);
    printf("\n");
}

static void print_steps(const el_cli_soak *s, const edgellm_costs *c)
{
    const el_cli_series *steps = &s->series[0];
    printf("a token         %.3f ms, and %.3f us for each position before it\n", c->step / 1e6,
           c->step_position / 1e3);
    for (size_t i = 0; i < steps->n; i++)
        s->scratch[i] = steps->ns[i] / 1e6;
    el_cli_sort(s->scratch, steps->n);
    el_cli_print_tail("  at all", s->scratch, steps->n);
    el_cli_fit_over(steps, c, s->scratch);
    for (size_t i = 0; i < steps->n; i++)
        s->scratch[i] /= 1e6;
    el_cli_print_tail("  above that", s->scratch, steps->n);
}

static void print_chunks(const edgellm_costs *c)
{
    if (c->n_chunks == 0) return;
    printf("a prompt        ");
    for (uint32_t i = 0; i < c->n_chunks; i++)
        printf("%u: %.2f%s", c->chunk_tokens[i], c->chunk[i] / 1e6,
               i + 1 < c->n_chunks ? ", " : " ms");
    printf(", and %.3f us for each token and position before\n", c->chunk_pair / 1e3);
}

static void print_choices(const edgellm_costs *c)
{
    printf("beside a token  a mask %.3f ms, log-probabilities %.3f ms, the most probable %.3f ms\n",
           c->mask / 1e6, c->logprobs / 1e6, c->top_logprobs / 1e6);
}

static void print_passes(const edgellm_costs *c)
{
    if (c->n_passes == 0) return;
    printf("a pass          ");
    for (uint32_t i = 0; i < c->n_passes; i++)
        printf("%u: %.2f%s", c->pass_sessions[i], c->pass[i] / 1e6,
               i + 1 < c->n_passes ? ", " : " ms, by its number of sessions\n");
}

static void print_text(const work *w)
{
    const el_cli_soak *s = &w->soak;
    const el_cli_setup *setup = &w->certificate.setup;
    printf("measured        %.1f s, %u round%s; %s, %u thread%s, batch %u, context %u\n",
           s->seconds, s->rounds, s->rounds == 1 ? "" : "s", setup->kernel, setup->threads,
           setup->threads == 1 ? "" : "s", setup->batch, setup->context);
    printf("load            %s\n", w->load_words);
    el_cli_realtime_print(w->model.session, stdout);
    print_steps(s, &w->certificate.costs);
    print_chunks(&w->certificate.costs);
    print_passes(&w->certificate.costs);
    print_choices(&w->certificate.costs);
    if (s->n_requests > 1) {
        printf("equal requests  %u + %u tokens: mean %.2f ms, jitter %.2f ms (%zu of them)\n",
               s->request_prompt, s->request_tokens, el_cli_mean(s->request_ms, s->n_requests),
               el_cli_deviation(s->request_ms, s->n_requests), s->n_requests);
    }
    print_conditions(s);
}

/* ---- measuring ---------------------------------------------------------------------------- */

static double share_of_chunks(const el_cli_soak *s, const edgellm_costs *costs)
{
    if (s->n_series == 1) return 1;
    return el_cli_fit_share(&s->series[s->n_series - 1], costs, s->scratch);
}

static edgellm_status soak(work *w, edgellm_error *err)
{
    const certify_values *v = w->v;
    const double seconds = v->seconds > 0 ? (double)v->seconds
                           : v->check     ? (double)CHECK_SECONDS
                                          : (double)DEFAULT_SECONDS;
    el_cli_bench_load_begin(&w->load);
    EL_CLI_TRY(el_cli_soak_run(&w->soak, &w->model, &w->passes, seconds,
                               !v->quiet && isatty(STDERR_FILENO), err));
    return el_cli_bench_load_check(&w->load, err);
}

static void fit(work *w)
{
    el_cli_certificate *c = &w->certificate;
    const el_cli_soak *s = &w->soak;
    el_cli_fit(s->series, s->n_series, s->scratch, &c->costs);
    el_cli_fit_passes(w->passes.series, w->passes.n_series, s->scratch, &c->costs);
    c->most_over = el_cli_fit_most_over(&s->series[0], &c->costs);
    c->step_share = el_cli_fit_share(&s->series[0], &c->costs, s->scratch);
    c->chunk_share = share_of_chunks(s, &c->costs);
}

/* Where the certificate is, or will be. */
static edgellm_status find_place(work *w, const char *given, edgellm_error *err)
{
    w->path = given != NULL ? strdup(given) : el_cli_certificate_path(&w->certificate.setup);
    if (w->path != NULL) return EDGELLM_OK;
    if (given != NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a file's name");
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "there is no folder to keep certificates in: name a "
                       "file with %s",
                       w->v->check ? "--certificate" : "-o");
}

/* ---- certify ------------------------------------------------------------------------------ */

/* *text: the certificate as it is written, owned. */
static edgellm_status write_certificate(work *w, el_outfile *out, char **text, edgellm_error *err)
{
    json_t *o = el_cli_certificate_json(&w->certificate);
    json_object_set_new(o, "measured", measured_json(w));
    edgellm_status status = el_cli_certificate_seal(o, err);
    if (status != EDGELLM_OK) {
        json_decref(o);
        return status;
    }
    *text = el_cli_json_dump(o, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    if (*text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the certificate");
    el_outfile_write(out, *text, strlen(*text));
    el_outfile_write(out, "\n", 1);
    return EDGELLM_OK;
}

/* What masks and log-probabilities take is not soaked: a look will do. */
static edgellm_status measure_choices(work *w, edgellm_error *err)
{
    static const uint64_t budget_ns = 200000000;
    edgellm_costs looked, *costs = &w->certificate.costs;
    EL_CLI_TRY(edgellm_session_truncate(w->model.session, 0, err));
    EL_CLI_TRY(edgellm_session_calibrate(w->model.session, budget_ns, &looked, err));
    costs->mask = looked.mask;
    costs->logprobs = looked.logprobs;
    costs->top_logprobs = looked.top_logprobs;
    return EDGELLM_OK;
}

static edgellm_status measure(work *w, el_outfile *out, char **text, edgellm_error *err)
{
    EL_CLI_TRY(soak(w, err));
    fit(w);
    EL_CLI_TRY(measure_choices(w, err));
    return write_certificate(w, out, text, err);
}

static edgellm_status print_certificate(const work *w, const char *text, bool written,
                                        edgellm_error *err)
{
    if (w->v->json) {
        EL_CLI_TRY(el_cli_write(text, strlen(text), err));
        return el_cli_write("\n", 1, err);
    }
    print_text(w);
    if (written) printf("written         %s\n", w->path);
    return EDGELLM_OK;
}

/* What was measured is told also where it cannot be written (a full disk): with --json that is the
 * certificate. */
static edgellm_status keep(const work *w, el_outfile *out, const char *text, edgellm_error *err)
{
    edgellm_error late = {EDGELLM_OK, ""};
    const edgellm_status written = el_outfile_commit(out, &late);
    EL_CLI_TRY(print_certificate(w, text, written == EDGELLM_OK, err));
    if (written != EDGELLM_OK) *err = late;
    return written;
}

/* The file is begun before the minute of measuring: where it cannot be, that is known at once. */
static edgellm_status certify(work *w, edgellm_error *err)
{
    el_outfile out;
    char *text = NULL;
    EL_CLI_TRY(find_place(w, w->v->output, err));
    if (w->v->output == NULL) el_cli_make_folders(w->path);
    EL_CLI_TRY(el_outfile_create(&out, w->path, err));
    edgellm_status status = measure(w, &out, &text, err);
    if (status == EDGELLM_OK)
        status = keep(w, &out, text, err);
    else
        el_outfile_cancel(&out);
    free(text);
    return status;
}

/* ---- check -------------------------------------------------------------------------------- */

/* Percent that something takes longer than when the certificate was made. */
typedef struct slower {
    double steps, chunks;
} slower;

static slower compare(const work *w)
{
    const el_cli_certificate *c = &w->certificate;
    const double steps = el_cli_fit_share(&w->soak.series[0], &c->costs, w->soak.scratch);
    slower s = {.steps = 100 * (steps / c->step_share - 1)};
    if (w->soak.n_series > 1)
        s.chunks = 100 * (share_of_chunks(&w->soak, &c->costs) / c->chunk_share - 1);
    return s;
}

static edgellm_status print_check(const work *w, const slower *s, edgellm_error *err)
{
    if (!w->v->json) {
        printf("against         %s\n"
               "a token         takes %+.1f %% (median of %zu)\n"
               "a prompt        takes %+.1f %%\n",
               w->path, s->steps, w->soak.series[0].n, s->chunks);
        return EDGELLM_OK;
    }
    json_t *o = json_object();
    json_object_set_new(o, "certificate", el_cli_json_text(w->path, strlen(w->path)));
    json_object_set_new(o, "steps_slower_percent", el_cli_json_real(s->steps));
    json_object_set_new(o, "chunks_slower_percent", el_cli_json_real(s->chunks));
    json_object_set_new(o, "bound_percent", json_real((double)w->v->slower));
    json_object_set_new(o, "measured", measured_json(w));
    return el_cli_print_json(o, err);
}

/* What is not said is as in the certificate, if that is of this model. A batch is always said; it
 * holds for those up to its own. */
static void follow(const el_cli_certificate *then, const el_cli_setup *here,
                   edgellm_session_options *o)
{
    if (strcmp(then->setup.identity, here->identity) != 0) return;
    if (o->context == 0) o->context = then->setup.context;
    if (o->threads == 0) o->threads = then->setup.threads;
    if (o->batch > then->setup.batch) o->batch = then->setup.batch;
}

/* The certificate that is to be checked, before there is a session: where it lies by default
 * depends on what is planned. */
static edgellm_status load_then(work *w, edgellm_session_options *o, edgellm_error *err)
{
    edgellm_memory_plan plan;
    el_cli_certificate then;
    edgellm_session_options planned = *o;
    planned.max_ram = 0; /* that is for the session which follows the certificate */
    EL_CLI_TRY(edgellm_plan(w->model_path, &planned, &plan, err));
    w->certificate.setup = el_cli_setup_planned(&w->model, &plan, o);
    EL_CLI_TRY(find_place(w, w->v->certificate, err));
    if (access(w->path, F_OK) != 0 && errno == ENOENT)
        return el_cli_fail(err, EDGELLM_ERR_IO,
                           "there is no certificate '%.300s': the same command without --check "
                           "makes one%s",
                           w->path,
                           w->v->certificate != NULL ? " (with -o for --certificate)" : "");
    EL_CLI_TRY(el_cli_certificate_load(&then, w->path, err));
    follow(&then, &w->certificate.setup, o);
    w->then = then;
    return EDGELLM_OK;
}

static edgellm_status check(work *w, edgellm_error *err)
{
    const el_cli_certificate here = w->certificate;
    EL_CLI_TRY(el_cli_certificate_check(&w->then, w->path, &here.setup, &here.board, err));
    w->certificate = w->then;
    EL_CLI_TRY(soak(w, err));
    const slower s = compare(w);
    EL_CLI_TRY(print_check(w, &s, err));
    const double bound = (double)w->v->slower;
    if (s.steps <= bound && s.chunks <= bound) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_DEADLINE,
                       "the board has become slower than its certificate: a token takes %+.1f %%, "
                       "a prompt %+.1f %%, %.1f %% are allowed (--slower); look at edgellm doctor, "
                       "or certify anew",
                       s.steps, s.chunks, bound);
}

/* ---- command ------------------------------------------------------------------------------ */

static edgellm_status start(work *w, edgellm_error *err)
{
    edgellm_session_options o = w->v->model.session;
    const uint32_t trained = w->model.info.context_trained;
    if (w->v->check) EL_CLI_TRY(load_then(w, &o, err));
    if (o.context == 0) o.context = trained < DEFAULT_CONTEXT ? trained : DEFAULT_CONTEXT;
    if (w->v->sessions > 0)
        EL_CLI_TRY(el_cli_passes_open(&w->passes, &w->model, &o, w->v->sessions, err));
    o.grammar = true; /* room to see what masks take */
    EL_CLI_TRY(el_cli_model_start(&w->model, &o, err));
    if (w->v->sessions > 0) EL_CLI_TRY(el_cli_passes_begin(&w->passes, &w->model, err));
    w->certificate.setup = el_cli_setup_of(&w->model, &o);
    EL_CLI_TRY(el_cli_board_gather(&w->certificate.board, err));
    return w->v->check ? check(w, err) : certify(w, err);
}

/* Forked before there are threads, on the cores that those may have. */
static edgellm_status prepare_load(work *w, edgellm_error *err)
{
    cpu_set_t cores;
    EL_CLI_TRY(el_cli_bench_load_prepare_here(&w->load, w->v->load, &cores, err));
    el_cli_bench_load_words(&w->load, w->load_words, sizeof w->load_words);
    return EDGELLM_OK;
}

/* The session that was made real-time goes first, then those beside it, then what all are of. */
static void close_model(work *w)
{
    edgellm_session_close(w->model.session);
    w->model.session = NULL;
    el_cli_passes_release(&w->passes);
    el_cli_model_close(&w->model);
}

static edgellm_status check_options(const certify_values *v, edgellm_error *err)
{
    const char *wrong = NULL;
    if (v->check && v->output != NULL) wrong = "--check writes nothing: leave out -o";
    if (v->check && v->sessions > 0) wrong = "--check measures no passes: leave out --sessions";
    if (!v->check && v->certificate != NULL)
        wrong = "--certificate is for --check; the file to write is -o";
    return wrong == NULL ? EDGELLM_OK : el_cli_fail(err, EDGELLM_ERR_USAGE, "%s", wrong);
}

static edgellm_status run(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    certify_values v = *(const certify_values *)values;
    v.model.engine.grammars = true;
    work w = {.v = &v, .model_path = operands[0]};
    (void)n_operands;
    EL_CLI_TRY(check_options(w.v, err));
    EL_CLI_TRY(el_cli_model_open_adapted(&w.model, operands[0], &w.v->model, err));
    edgellm_status status = prepare_load(&w, err);
    if (status == EDGELLM_OK) status = start(&w, err);
    el_cli_bench_load_stop(&w.load);
    el_cli_soak_release(&w.soak);
    close_model(&w);
    free(w.path);
    return status;
}

#define FIELD(member) offsetof(certify_values, member)

static const el_cli_option options[] = {
    {"duration", 0, EL_CLI_FLOAT, FIELD(seconds), "SECONDS", NULL,
     "how long to measure, one whole round at least; 60, with --check 5", 0.001, 1000000, NULL},
    {"output", 'o', EL_CLI_OUTPUT, FIELD(output), "FILE", NULL,
     "the certificate; in the cache, where run and others look, if not given", 0, 0, NULL},
    {"check", 0, EL_CLI_ON, FIELD(check), NULL, NULL,
     "measure again: exit code 9 if the board has become slower", 0, 0, NULL},
    {"certificate", 0, EL_CLI_INPUT, FIELD(certificate), "FILE", NULL,
     "with --check: the certificate; that of the cache if not given", 0, 0, NULL},
    {"slower", 0, EL_CLI_FLOAT, FIELD(slower), "PERCENT", "10",
     "with --check: how much slower the median may be", 0, 1000000, NULL},
    EL_CLI_CONTEXT_ROW(certify_values, NULL,
                       "context in tokens; 2048, or less if the model knows less"),
    {"sessions", 0, EL_CLI_U32, FIELD(sessions), "N", NULL,
     "passes of 2 to N answers at once too, for a scheduler", 2, EDGELLM_SCHEDULER_SLOTS, NULL},
    EL_CLI_LOAD_ROW(certify_values),
    EL_CLI_SESSION_ROWS(certify_values),
    EL_CLI_REALTIME_ROWS(certify_values),
    EL_CLI_ENGINE_ROWS(certify_values),
    EL_CLI_LORA_ROW(certify_values),
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL, "print one JSON object", 0, 0, NULL},
    {"quiet", 'q', EL_CLI_ON, FIELD(quiet), NULL, NULL, "no progress", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_certify = {
    .name = "certify",
    .summary = "measure what tokens take on this board, and write it down",
    .synopsis = "certify MODEL [options]",
    .about =
        "Computes tokens at all positions of the context and prompts of several lengths, for a\n"
        "minute, and writes a certificate: what a token takes at position n (a + b n), what a\n"
        "prompt takes, and how much longer it may be. Other commands forecast by it and count\n"
        "what is above. It was measured, it is not a proven worst case, and it holds for this\n"
        "model, version, kernel level, number of threads and board, with --rt or without. Measure\n"
        "under the conditions that are to come: temperature, governor, neighbours (--load stands\n"
        "in for those).\n"
        "With --check what is not said (-c, -j) is as in the certificate.\n"
        "With --sessions N also what a step of 2 to N answers in one pass takes: a scheduler can\n"
        "then promise deadlines by the certificate (bench --sessions N reports by it).\n",
    .examples = "  edgellm certify model.tm2.bin\n"
                "  edgellm certify model.tm2.bin -c 512 -j 1 --duration 600 -o board.json\n"
                "  edgellm certify model.tm2.bin --rt --load all\n"
                "  edgellm certify model.tm2.bin --sessions 4\n"
                "  edgellm certify model.tm2.bin --check\n"
                "  edgellm certify model.tm2.bin --check --certificate board.json --slower 5\n",
    .options = options,
    .values_size = sizeof(certify_values),
    .min_operands = 1,
    .max_operands = 1,
    .model = EL_CLI_RUNS_MODEL,
    .run = run,
};
