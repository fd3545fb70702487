/*
 * cmd_batch.c: `edgellm batch`: a file of requests in OpenAI's batch format, to one of answers.
 * Here are the options and what is told; the work is src/batch.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "batch/batch.h"
#include "cli/cli_folders.h"
#include "cli/cli_model.h"
#include "cli/cli_output.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

typedef struct batch_values {
    el_cli_model_values model;
    const char *output;
    uint32_t sessions, calibrate;
    uint64_t seed, max_line;
    bool json, quiet;
} batch_values;

/* ---- progress ------------------------------------------------------------------------------ */

typedef struct progress {
    bool show;
    double began_ms;
    bool has_begun, is_drawn;
} progress;

static uint64_t done_of(const el_batch_counts *c)
{
    return c->answered + c->refused + c->unreadable;
}

static double rate_of(uint64_t n, double seconds)
{
    return seconds > 0 ? (double)n / seconds : 0;
}

static void draw(void *context, const el_batch_counts *c)
{
    progress *p = context;
    const uint64_t done = done_of(c);
    const double now = el_cli_now_ms();
    if (!p->has_begun) p->began_ms = now;
    p->has_begun = true;
    if (!p->show) return;
    const double seconds = (now - p->began_ms) / 1e3;
    fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " requests, %.1f tokens/s", c->earlier + done,
            c->requests, rate_of(c->answer_tokens, seconds));
    if (done > 0 && seconds > 0)
        fprintf(stderr, ", %.0f s left",
                (double)(c->requests - c->earlier - done) * seconds / (double)done);
    fputs("\033[K", stderr);
    p->is_drawn = true;
}

static void clear(const progress *p)
{
    if (p->is_drawn) fputs("\r\033[K", stderr);
}

/* ---- the end ------------------------------------------------------------------------------- */

static edgellm_status tell_json(const batch_values *v, const el_batch_counts *c, double seconds,
                                edgellm_error *err)
{
    json_t *o = json_object();
    json_object_set_new(o, "output", el_cli_json_text(v->output, strlen(v->output)));
    json_object_set_new(o, "requests", json_integer((json_int_t)c->requests));
    json_object_set_new(o, "earlier", json_integer((json_int_t)c->earlier));
    json_object_set_new(o, "answered", json_integer((json_int_t)c->answered));
    json_object_set_new(o, "refused", json_integer((json_int_t)c->refused));
    json_object_set_new(o, "unreadable", json_integer((json_int_t)c->unreadable));
    json_object_set_new(o, "prompt_tokens", json_integer((json_int_t)c->prompt_tokens));
    json_object_set_new(o, "answer_tokens", json_integer((json_int_t)c->answer_tokens));
    json_object_set_new(o, "seconds", json_real(seconds));
    json_object_set_new(o, "tokens_per_second", json_real(rate_of(c->answer_tokens, seconds)));
    return el_cli_print_json(o, err);
}

static void tell(const batch_values *v, const el_batch_counts *c, double seconds)
{
    printf("%s: %" PRIu64 " requests", v->output, c->requests);
    if (c->earlier > 0) printf(", %" PRIu64 " by an earlier run", c->earlier);
    printf("; %" PRIu64 " answered, %" PRIu64 " refused, %" PRIu64 " unreadable; %" PRIu64
           " tokens in %.1f s, %.1f tokens/s\n",
           c->answered, c->refused, c->unreadable, c->answer_tokens, seconds,
           rate_of(c->answer_tokens, seconds));
}

/* ---- the command --------------------------------------------------------------------------- */

static edgellm_status check(const batch_values *v, edgellm_error *err)
{
    if (v->output != NULL && v->output[0] != '\0') return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_USAGE, "no output: give one with -o OUT.jsonl");
}

static edgellm_status batch(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    const batch_values *v = values;
    progress p = {.show = !v->quiet && !v->json && isatty(STDERR_FILENO)};
    el_batch_counts counts;
    (void)n_operands;
    EL_CLI_TRY(check(v, err));
    char *cache = el_cli_cache_folder(NULL);
    el_batch_options o = {.model = operands[0],
                          .input = operands[1],
                          .output = v->output,
                          .engine = v->model.engine,
                          .session = v->model.session,
                          .sessions = v->sessions,
                          .seed = v->seed,
                          .max_line = v->max_line,
                          .calibrate_ms = v->calibrate,
                          .interrupted = el_cli_interrupted,
                          .progress = draw,
                          .context = &p};
    if (cache != NULL) el_cli_make_folders(cache);
    o.engine.kernel_cache = cache;
    o.engine.grammars = o.session.grammar = true;
    const edgellm_status status = el_batch_run(&o, &counts, err);
    el_cli_json_install();
    free(cache);
    clear(&p);
    if (status != EDGELLM_OK) return status;
    const double seconds = p.has_begun ? (el_cli_now_ms() - p.began_ms) / 1e3 : 0;
    if (v->json) return tell_json(v, &counts, seconds, err);
    if (!v->quiet) tell(v, &counts, seconds);
    return EDGELLM_OK;
}

#define FIELD(member) offsetof(batch_values, member)

static const el_cli_option options[] = {
    {"output", 'o', EL_CLI_OUTPUT, FIELD(output), "OUT.jsonl", NULL,
     "where the answers go; until all are there, OUT.jsonl.part", 0, 0, NULL},
    {"sessions", 0, EL_CLI_U32, FIELD(sessions), "N", "4", "answers at a time; never changes them",
     1, EDGELLM_SCHEDULER_SLOTS, NULL},
    {"seed", 's', EL_CLI_U64, FIELD(seed), "N", "0", "of requests that give none", 0,
     9007199254740991.0, NULL},
    {"max-line", 0, EL_CLI_SIZE, FIELD(max_line), "SIZE", "256K", "of a request", 1024, 16777216,
     NULL},
    {"calibrate", 0, EL_CLI_U32, FIELD(calibrate), "MS", "500",
     "how long to measure, at the start, what tokens take", 1, 60000, NULL},
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL, "one JSON object, no progress", 0, 0, NULL},
    {"quiet", 'q', EL_CLI_ON, FIELD(quiet), NULL, NULL, "no progress, no line at the end", 0, 0,
     NULL},
    EL_CLI_CONTEXT_ROW(batch_values, NULL,
                       "tokens of each session; 512, or less if the model knows less"),
    EL_CLI_SESSION_ROWS(batch_values),
    EL_CLI_TEMPLATE_ROW(batch_values),
    EL_CLI_ENGINE_ROWS(batch_values),
    {0},
};

const el_cli_command el_cli_cmd_batch = {
    .name = "batch",
    .synopsis = "batch MODEL IN.jsonl -o OUT.jsonl [options]",
    .about =
        "Answers a file of requests in OpenAI's batch format, several at a time (docs/SCALE.md).\n"
        "Each line is {\"custom_id\", \"method\": \"POST\", \"url\", \"body\"}, its url\n"
        "/v1/chat/completions or /v1/completions, its body as the server has it; a line of the\n"
        "output has the same custom_id, and a response or an error. Lines come in the order in\n"
        "which their answers end. A line that is wrong gets an error, and the rest goes on. What\n"
        "was stopped or killed goes on with the same command: each request is answered once.\n",
    .examples = "  edgellm batch model.tm2.bin in.jsonl -o out.jsonl\n"
                "  edgellm batch model.tm2.bin in.jsonl -o out.jsonl --sessions 8 -c 1024 --json\n",
    .options = options,
    .values_size = sizeof(batch_values),
    .min_operands = 2,
    .max_operands = 2,
    .model = EL_CLI_RUNS_MODEL,
    .run = batch,
};
