/*
 * cmd_bench.c: `edgellm bench`: equal requests, several times, to the engine in this process and to
 * servers, with every token's time kept. Here: options, what excludes what, and files; bench.h has
 * the rest. Files are opened before anything is measured, so that hours are not lost to a bad name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/bench_report.h"
#include "cli/bench_sessions.h"
#include "cli/cli_output.h"

typedef struct bench_values {
    el_cli_model_values model;
    el_cli_texts backends;
    el_cli_climate_values climate;
    uint32_t runs, warmup, blocks, max_tokens, prompt_tokens, load, timeout, sessions;
    const char *prompt, *output, *csv, *html, *submit, *certificate;
    bool unique, chat, trace, json;
    const char *emulated;
} bench_values;

enum { BLOCKS = 5 }; /* where backends are compared */

/* ---- plan --------------------------------------------------------------------------------- */

static bool is_plain(const bench_values *v)
{
    return v->backends.n == 0 && v->blocks <= 1 && v->load == 0 && v->prompt == NULL &&
           v->output == NULL && v->csv == NULL && v->html == NULL && !v->unique && !v->chat &&
           !v->trace;
}

/* Requests are numbered from another place each time, so that no server has seen them before. */
static uint64_t first_number(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static el_cli_bench_plan plan_of(const bench_values *v)
{
    const bool plain = is_plain(v);
    return (el_cli_bench_plan){
        .runs = v->runs,
        .warmup = v->warmup,
        .blocks = v->blocks > 0       ? v->blocks
                  : v->backends.n > 1 ? BLOCKS
                                      : 1,
        .steps = v->max_tokens,
        .passes = plain ? EL_CLI_BENCH_PASSES : v->max_tokens,
        .prompt = v->prompt,
        .prompt_tokens = v->prompt_tokens,
        .first_number = first_number(),
        .plain = plain,
        .unique = v->unique,
        .chat = v->chat,
        .trace = v->trace,
        .emulated = v->emulated,
        .timeout = v->timeout,
        .certificate = v->certificate,
        .climate = v->climate,
        .model = v->model,
    };
}

static edgellm_status add_backends(el_cli_bench *b, const el_cli_texts *texts, edgellm_error *err)
{
    if (texts->n > EL_CLI_BENCH_BACKENDS) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "%u backends are too many: at most %d", texts->n,
                           (int)EL_CLI_BENCH_BACKENDS);
    }
    if (texts->n == 0) EL_CLI_TRY(el_cli_bench_backend_parse(&b->backends[0], "edgellm", err));
    for (uint32_t i = 0; i < texts->n; i++)
        EL_CLI_TRY(el_cli_bench_backend_parse(&b->backends[i], texts->text[i], err));
    b->n_backends = texts->n > 0 ? texts->n : 1;
    return EDGELLM_OK;
}

typedef struct asked {
    bool local, server, twice;
} asked;

static asked what_is_asked(const el_cli_bench *b)
{
    asked a = {false, false, false};
    for (uint32_t i = 0; i < b->n_backends; i++) {
        const bool server = b->backends[i].kind->needs_address;
        a.twice = a.twice || (a.local && !server);
        a.local = a.local || !server;
        a.server = a.server || server;
    }
    return a;
}

static edgellm_status check(const el_cli_bench *b, const bench_values *v, edgellm_error *err)
{
    const asked a = what_is_asked(b);
    const char *wrong = NULL;
    if (v->emulated != NULL && v->submit == NULL) wrong = "--emulated is for --submit FILE";
    if (v->submit != NULL && (!is_plain(v) || v->sessions > 0))
        wrong =
            "--submit takes a MODEL, --runs, --warmup, -n, -p, --emulated, --certificate, --json "
            "and the model's options alone";
    if (v->sessions > 0 && !is_plain(v))
        wrong = "--sessions takes a MODEL, --runs, --warmup, -n, -p, --certificate and the model's "
                "options alone";
    if (a.twice) wrong = "the backend edgellm can be given once";
    if (a.local && b->plan.path == NULL)
        wrong = "a MODEL file is missing: the backend edgellm needs one";
    if (!a.local && b->plan.path != NULL)
        wrong = "a MODEL file is for the backend edgellm: add --backend edgellm";
    if (b->plan.blocks > v->runs) wrong = "there must be at least as many --runs as --blocks";
    if (v->chat && v->prompt == NULL && !a.server) wrong = "--chat needs --prompt TEXT";
    if (wrong != NULL) return el_cli_fail(err, EDGELLM_ERR_USAGE, "%s", wrong);
    return EDGELLM_OK;
}

/* ---- files -------------------------------------------------------------------------------- */

enum { FILES = 4 };

typedef struct files {
    el_outfile out[FILES]; /* open where `temporary` is not NULL */
} files;

typedef bool (*write_fn)(const el_cli_bench_report *report, el_outfile *out);
static const write_fn writers[FILES] = {el_cli_bench_write_json, el_cli_bench_write_csv,
                                        el_cli_bench_write_html, el_cli_bench_write_submission};

static edgellm_status open_files(files *f, const bench_values *v, edgellm_error *err)
{
    const char *const paths[FILES] = {v->output, v->csv, v->html, v->submit};
    for (int i = 0; i < FILES; i++) {
        if (paths[i] != NULL) EL_CLI_TRY(el_outfile_create(&f->out[i], paths[i], err));
    }
    return EDGELLM_OK;
}

static edgellm_status write_file(int i, el_outfile *out, const el_cli_bench_report *report,
                                 edgellm_error *err)
{
    if (writers[i](report, out)) return el_outfile_commit(out, err);
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for '%.300s'", out->path);
}

/* Each that can be written is; the first failure is told. */
static edgellm_status write_files(files *f, const el_cli_bench_report *report, edgellm_error *err)
{
    edgellm_status first = EDGELLM_OK;
    edgellm_error untold;
    for (int i = 0; i < FILES; i++) {
        if (f->out[i].temporary == NULL) continue;
        const edgellm_status status =
            write_file(i, &f->out[i], report, first == EDGELLM_OK ? err : &untold);
        if (first == EDGELLM_OK) first = status;
    }
    return first;
}

static void cancel_files(files *f)
{
    for (int i = 0; i < FILES; i++) {
        if (f->out[i].temporary != NULL) el_outfile_cancel(&f->out[i]);
    }
}

/* ---- command ------------------------------------------------------------------------------ */

static edgellm_status print_report(const el_cli_bench_report *report, bool json, edgellm_error *err)
{
    const bool plain = report->bench->plan.plain;
    if (json) {
        return el_cli_print_json(
            plain ? el_cli_bench_plain_json(report) : el_cli_bench_json(report), err);
    }
    (plain ? el_cli_bench_print_plain : el_cli_bench_print)(report);
    return EDGELLM_OK;
}

/* What was measured is told also where a backend failed half way, or a file cannot be written (a
 * full disk); the error comes after it. */
static edgellm_status tell(const el_cli_bench *b, files *f, const bench_values *v,
                           edgellm_error *err)
{
    el_cli_bench_report report;
    edgellm_error late = {EDGELLM_OK, ""};
    edgellm_status status = el_cli_bench_work_out(&report, b, err);
    if (status == EDGELLM_OK) {
        const edgellm_status written = write_files(f, &report, &late);
        status = print_report(&report, v->json, err);
        if (status == EDGELLM_OK && written != EDGELLM_OK) *err = late, status = written;
    }
    el_cli_bench_report_release(&report);
    return status == EDGELLM_OK ? el_cli_bench_verdict(b, err) : status;
}

static edgellm_status measure(el_cli_bench *b, const bench_values *v, edgellm_error *err)
{
    files f = {0};
    edgellm_status status = open_files(&f, v, err);
    if (status == EDGELLM_OK) status = el_cli_bench_open(b, v->load, err);
    if (status == EDGELLM_OK) status = el_cli_bench_measure(b, err);
    if (status == EDGELLM_OK) status = tell(b, &f, v, err);
    el_cli_bench_close(b);
    cancel_files(&f);
    return status;
}

static edgellm_status set_up(el_cli_bench *b, const bench_values *v, const char *path,
                             edgellm_error *err)
{
    b->plan = plan_of(v);
    b->plan.path = path;
    EL_CLI_TRY(add_backends(b, &v->backends, err));
    return check(b, v, err);
}

static edgellm_status bench(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    const bench_values *v = values;
    char *words = NULL;
    el_cli_bench *b = calloc(1, sizeof *b);
    if (b == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the benchmark");
    edgellm_status status = set_up(b, v, n_operands > 0 ? operands[0] : NULL, err);
    if (status == EDGELLM_OK && v->sessions > 0) {
        status = el_cli_bench_sessions(&b->plan, v->sessions, v->json, err);
        free(b);
        return status;
    }
    if (status == EDGELLM_OK && b->plan.prompt == NULL && what_is_asked(b).server) {
        words = el_cli_bench_words(v->prompt_tokens);
        b->plan.prompt = words;
        if (words == NULL)
            status = el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the prompt");
    }
    if (status == EDGELLM_OK) status = measure(b, v, err);
    free(words);
    free(b);
    return status;
}

#define FIELD(member) offsetof(bench_values, member)

static const el_cli_option options[] = {
    {"backend", 0, EL_CLI_TEXTS, FIELD(backends), "KIND[=URL]", NULL,
     "edgellm, ollama=URL[#MODEL] or openai=URL[#MODEL]; several take turns", 0, 0, NULL},
    {"runs", 0, EL_CLI_U32, FIELD(runs), "N", "5", "requests that are measured", 1, 100000, NULL},
    {"warmup", 0, EL_CLI_U32, FIELD(warmup), "N", "1", "requests before that, in each block", 0,
     100000, NULL},
    {"blocks", 0, EL_CLI_U32, FIELD(blocks), "N", NULL,
     "blocks the runs are cut into; 1, or 5 for several backends", 1, EL_CLI_BENCH_BLOCKS_MAX,
     NULL},
    {"tokens", 'n', EL_CLI_U32, FIELD(max_tokens), "N", "128",
     "decode steps of a request, after its first token", 1, 65536, NULL},
    {"prompt", 0, EL_CLI_TEXT, FIELD(prompt), "TEXT", NULL, "the prompt, as it is", 0, 0, NULL},
    {"prompt-tokens", 'p', EL_CLI_U32, FIELD(prompt_tokens), "N", "128",
     "prompt: tokens at random; so many words for servers", 1, 1048576, NULL},
    {"unique-prompts", 0, EL_CLI_ON, FIELD(unique), NULL, NULL,
     "each prompt begins with another number: no cache of prefixes helps", 0, 0, NULL},
    {"chat", 0, EL_CLI_ON, FIELD(chat), NULL, NULL,
     "edgellm: the prompt as a chat message, as Ollama takes it", 0, 0, NULL},
    {"sessions", 0, EL_CLI_U32, FIELD(sessions), "N", NULL,
     "edgellm: so many answers at a time by a scheduler, beside one", 1, EDGELLM_SCHEDULER_SLOTS,
     NULL},
    EL_CLI_LOAD_ROW(bench_values),
    {"trace", 0, EL_CLI_ON, FIELD(trace), NULL, NULL,
     "edgellm: read counters after each token, not each request", 0, 0, NULL},
    {"timeout", 0, EL_CLI_U32, FIELD(timeout), "S", "120", "seconds a server may take to answer", 1,
     86400, NULL},
    {"output", 0, EL_CLI_OUTPUT, FIELD(output), "FILE", NULL, "all samples and figures, as JSON", 0,
     0, NULL},
    {"csv", 0, EL_CLI_OUTPUT, FIELD(csv), "FILE", NULL, "a line for each token", 0, 0, NULL},
    {"html", 0, EL_CLI_OUTPUT, FIELD(html), "FILE", NULL, "one page: tables, histograms, timelines",
     0, 0, NULL},
    {"submit", 0, EL_CLI_OUTPUT, FIELD(submit), "FILE", NULL,
     "a report on this board to publish: docs/boards", 0, 0, NULL},
    {"emulated", 0, EL_CLI_TEXT, FIELD(emulated), "CPU", NULL,
     "say in that report that the processor is emulated, and which", 0, 0, NULL},
    EL_CLI_CONTEXT_ROW(bench_values, NULL, "context in tokens; what the request needs"),
    EL_CLI_SESSION_ROWS(bench_values),
    EL_CLI_REALTIME_ROWS(bench_values),
    EL_CLI_TEMPLATE_ROW(bench_values),
    EL_CLI_ENGINE_ROWS(bench_values),
    EL_CLI_LORA_ROW(bench_values),
    EL_CLI_CERTIFICATE_ROW(bench_values),
    EL_CLI_CLIMATE_ROWS(bench_values),
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL, "one JSON object", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_bench = {
    .name = "bench",
    .summary = "measure speed and jitter on this machine",
    .synopsis = "bench [MODEL] [options]",
    .about =
        "Sends equal requests, greedy, and keeps every token's time. Speeds are medians over\n"
        "the runs; jitter is the standard deviation of the latency of whole requests. A\n"
        "percentile p is printed only with at least 10/(1-p) samples.\n"
        "With MODEL alone: in this process, a fixed synthetic prompt. A token of decode reads\n"
        "all weights. The roofline is how fast that many bytes of the model file are read where\n"
        "nothing else is done, in the same run and on as many threads; its percentage is the\n"
        "share that decode reaches. It tells of memory only with models much larger than the\n"
        "caches.\n"
        "With any of --backend, --blocks, --prompt, --unique-prompts, --load, --trace, --output,\n"
        "--csv and --html the report is longer: each backend's distributions, the medians over\n"
        "blocks, which take turns, how its processes are scheduled, gaps by position, outliers\n"
        "with the cause that the kernel's counters show; and the floor, a loop that only reads\n"
        "the weights, once for each step. Ratios are taken against an Ollama or a llama-server\n"
        "only. A backend that fails is left out from then on; what was measured is told.\n"
        "With --sessions a scheduler computes N answers at a time and one alone, in turn: the\n"
        "speed of their decode steps, and what passes take beside their forecast, which is by a\n"
        "certificate that knows them (certify --sessions N), else by a look at the start.\n"
        "With --submit what was measured, and on what, is written to FILE too, without any name\n"
        "of a machine or a user, address, serial number or path: for docs/boards/reports.\n",
    .examples =
        "  edgellm bench model.tm2.bin\n"
        "  edgellm bench model.tm2.bin --runs 20 -n 64 -j 1 --json\n"
        "  edgellm bench model.tm2.bin -p 512 -b 512 -n 1\n"
        "  edgellm bench model.tm2.bin --sessions 4 -j 1\n"
        "  edgellm bench model.tm2.bin --runs 20 --submit pi5-smollm2.json\n"
        "  edgellm bench model.tm2.bin --runs 100 --warmup 5 -n 31 -p 24 --unique-prompts \\\n"
        "      --backend edgellm --backend ollama=http://127.0.0.1:11434 --load all \\\n"
        "      --output run.json --html run.html\n",
    .options = options,
    .values_size = sizeof(bench_values),
    .min_operands = 0,
    .max_operands = 1,
    .model = EL_CLI_RUNS_MODEL,
    .run = bench,
};
