/*
 * cmd_run.c: `edgellm run`: one prompt, one answer as it is made, one measured line. What the
 * token loop needs is set up before it starts: inside it only the answer is written.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_model.h"
#include "cli/cli_output.h"
#include "cli/cli_sampler.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

typedef struct run_values {
    el_cli_model_values model;
    el_cli_sampler_values sampler;
    const char *prompt, *prompt_file, *system;
    uint32_t max_tokens;
    bool raw, special, ignore_eos, hash, json, quiet;
} run_values;

typedef enum finish { FINISH_LENGTH, FINISH_END, FINISH_CONTEXT, FINISH_INTERRUPTED } finish;

static const char *const finish_names[] = {"length", "end", "context", "interrupted"};

typedef struct answer {
    uint32_t *tokens; /* (max_tokens) */
    double *token_ms; /* (max_tokens): time from one token to the next; [0] to the first */
    size_t n, prompt_tokens;
    double started_ms, prefill_ms, decode_ms; /* decode: from the first token to the last */
    uint64_t hash, peak_rss;
    finish finish;
} answer;

/* ---- prompt ------------------------------------------------------------------------------- */

static edgellm_status chat_tokens(const el_cli_model *model, const run_values *v,
                                  const el_cli_bytes *prompt, el_cli_tokens *tokens,
                                  edgellm_error *err)
{
    edgellm_message messages[2];
    size_t n = 0, count = 0;
    if (memchr(prompt->text, '\0', prompt->len) != NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "the prompt holds a NUL byte; a chat message cannot (see --raw)");
    }
    if (v->system != NULL) messages[n++] = (edgellm_message){"system", v->system};
    messages[n++] = (edgellm_message){"user", prompt->text};
    EL_CLI_TRY(edgellm_chat_prompt(model->engine, messages, n, true, NULL, 0, &count, err));
    uint32_t *ids = count < SIZE_MAX / 8 ? malloc((count + 1) * sizeof *ids) : NULL;
    if (ids == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the prompt");
    edgellm_status status =
        edgellm_chat_prompt(model->engine, messages, n, true, ids, count, &count, err);
    if (status != EDGELLM_OK) {
        free(ids);
        return status;
    }
    *tokens = (el_cli_tokens){ids, count};
    return EDGELLM_OK;
}

static edgellm_status encode_prompt(const el_cli_model *model, const run_values *v,
                                    const el_cli_bytes *prompt, el_cli_tokens *tokens,
                                    edgellm_error *err)
{
    bool raw = v->raw || !model->info.has_chat_template;
    if (raw && v->system != NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "--system needs a chat template: %s",
                           v->raw ? "--raw turns it off" : "this model has none");
    }
    if (!raw) return chat_tokens(model, v, prompt, tokens, err);
    unsigned flags = EDGELLM_TOKENIZE_BOS | (v->special ? EDGELLM_TOKENIZE_SPECIAL : 0u);
    return el_cli_tokenize(model->engine, prompt->text, prompt->len, flags, tokens, err);
}

static edgellm_status read_prompt(const el_cli_model *model, const run_values *v,
                                  el_cli_tokens *tokens, edgellm_error *err)
{
    el_cli_bytes bytes = {NULL, 0};
    if (v->prompt != NULL) {
        bytes.len = strlen(v->prompt);
        bytes.text = strdup(v->prompt);
        if (bytes.text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory");
    } else {
        EL_CLI_TRY(el_cli_read(v->prompt_file, &bytes, err));
    }
    edgellm_status status = encode_prompt(model, v, &bytes, tokens, err);
    free(bytes.text);
    if (status == EDGELLM_OK && tokens->count == 0) {
        status = el_cli_fail(err, EDGELLM_ERR_USAGE, "the prompt is empty");
    }
    return status;
}

/* ---- the token loop ----------------------------------------------------------------------- */

static edgellm_status prepare(answer *a, const run_values *v, size_t prompt_tokens,
                              const edgellm_memory_plan *plan, edgellm_error *err)
{
    /* The context bounds the answer: the last token need not be computed, so one more fits. */
    size_t room = plan->context - prompt_tokens + 1;
    size_t n = v->max_tokens < room ? v->max_tokens : room;
    a->tokens = calloc(n, sizeof *a->tokens);
    a->token_ms = calloc(n, sizeof *a->token_ms);
    if (a->tokens == NULL || a->token_ms == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for an answer of %zu tokens", n);
    }
    for (size_t i = 0; i < n; i++)
        a->tokens[i] = 0, a->token_ms[i] = 0; /* touch the pages */
    a->prompt_tokens = prompt_tokens;
    a->hash = EDGELLM_HASH_START;
    return EDGELLM_OK;
}

static void add_hash(answer *a, const el_cli_model *model, const run_values *v)
{
    if (!v->hash) return;
    a->hash =
        edgellm_hash_logits(a->hash, edgellm_session_logits(model->session), model->info.vocab);
}

/* May another token follow? Sets a->finish if not. */
static bool goes_on(answer *a, const el_cli_model *model, const run_values *v, uint32_t context)
{
    if (a->n >= v->max_tokens) {
        a->finish = FINISH_LENGTH;
    } else if (el_cli_interrupted() != 0) {
        a->finish = FINISH_INTERRUPTED;
    } else if (edgellm_session_position(model->session) >= context) {
        a->finish = FINISH_CONTEXT;
    } else {
        return true;
    }
    return false;
}

static edgellm_status stream_out(const el_cli_model *model, edgellm_stream *stream, uint32_t token,
                                 edgellm_error *err)
{
    char text[EDGELLM_STREAM_BYTES];
    return el_cli_write(text, edgellm_stream_push(model->engine, stream, token, text), err);
}

static edgellm_status stream_end(edgellm_stream *stream, edgellm_error *err)
{
    char text[EDGELLM_STREAM_BYTES];
    size_t len = edgellm_stream_flush(stream, text);
    text[len++] = '\n';
    return el_cli_write(text, len, err);
}

static edgellm_status decode(answer *a, const el_cli_model *model, const run_values *v,
                             uint32_t context, edgellm_error *err)
{
    edgellm_stream stream = {{0}, 0};
    double before = a->started_ms, first = before;
    do {
        uint32_t token = edgellm_session_sample(model->session);
        if (!v->ignore_eos && edgellm_is_end(model->engine, token)) {
            a->finish = FINISH_END;
            break;
        }
        if (!v->json) EL_CLI_TRY(stream_out(model, &stream, token, err));
        double now = el_cli_now_ms();
        if (a->n == 0) first = now;
        a->tokens[a->n] = token;
        a->token_ms[a->n++] = now - before;
        before = now;
        if (!goes_on(a, model, v, context)) break;
        EL_CLI_TRY(edgellm_session_eval(model->session, &token, 1, NULL, err));
        add_hash(a, model, v);
    } while (true);
    a->decode_ms = a->n > 0 ? before - first : 0;
    return v->json ? EDGELLM_OK : stream_end(&stream, err);
}

static edgellm_status generate(answer *a, const el_cli_model *model, const run_values *v,
                               const el_cli_tokens *prompt, edgellm_error *err)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    if (prompt->count <= plan.context) EL_CLI_TRY(prepare(a, v, prompt->count, &plan, err));
    a->started_ms = el_cli_now_ms();
    EL_CLI_TRY(el_cli_prefill(model->session, prompt->ids, prompt->count, err));
    a->prefill_ms = el_cli_now_ms() - a->started_ms;
    add_hash(a, model, v);
    EL_CLI_TRY(decode(a, model, v, plan.context, err));
    a->peak_rss = el_cli_peak_rss(); /* before the report takes memory of its own */
    return EDGELLM_OK;
}

/* ---- report ------------------------------------------------------------------------------- */

static double per_second(double count, double ms)
{
    return ms > 0 ? count * 1e3 / ms : NAN;
}

/* Steps after the first token: what decode speed and percentiles are taken over. */
static size_t steps(const answer *a)
{
    return a->n > 0 ? a->n - 1 : 0;
}

static void print_percentile(const answer *a, const char *name, double p)
{
    double ms = el_cli_percentile(a->token_ms + 1, steps(a), p);
    if (isnan(ms)) {
        fprintf(stderr, "%s needs %.0f tokens, ", name, ceil(10 / (1 - p) - 1e-6) + 1);
    } else {
        fprintf(stderr, "%s %.2f ms, ", name, ms);
    }
}

/* One line: the times were sorted before. */
static void print_stats(const answer *a, double first_ms, const el_cli_model *model,
                        const run_values *v, uint64_t seed)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    fprintf(stderr, "prefill %zu tokens", a->prompt_tokens);
    fprintf(stderr, " %.1f tok/s | ", per_second((double)a->prompt_tokens, a->prefill_ms));
    if (a->n > 0) fprintf(stderr, "first token %.1f ms | ", first_ms);
    if (steps(a) > 0) {
        fprintf(stderr, "decode %zu tokens %.1f tok/s | per token ", steps(a),
                per_second((double)steps(a), a->decode_ms));
        print_percentile(a, "P50", 0.5);
        print_percentile(a, "P99", 0.99);
        fprintf(stderr, "max %.2f ms | ", a->token_ms[a->n - 1]);
    }
    fprintf(stderr, "peak memory %.1f MB | file %.1f MB | ", (double)a->peak_rss / EL_CLI_MB,
            (double)model->info.file_bytes / EL_CLI_MB);
    fprintf(stderr, "%s, %u thread%s", model->info.kernel, plan.n_threads,
            plan.n_threads == 1 ? "" : "s");
    if (v->sampler.options.temperature > 0)
        fprintf(stderr, " | seed %llu", (unsigned long long)seed);
    fprintf(stderr, " | %s\n", finish_names[a->finish]);
}

static json_t *stats_json(const answer *a, double first_ms, double load_ms)
{
    json_t *o = json_object();
    json_object_set_new(o, "load_ms", json_real(load_ms));
    json_object_set_new(o, "prefill_tok_s",
                        el_cli_json_real(per_second((double)a->prompt_tokens, a->prefill_ms)));
    json_object_set_new(o, "ttft_ms", a->n > 0 ? json_real(first_ms) : json_null());
    json_object_set_new(o, "decode_tok_s",
                        el_cli_json_real(per_second((double)steps(a), a->decode_ms)));
    json_object_set_new(o, "token_ms", el_cli_distribution(a->token_ms + (a->n > 0), steps(a)));
    return o;
}

static edgellm_status print_json(const answer *a, double first_ms, double load_ms,
                                 const el_cli_model *model, const run_values *v, uint64_t seed,
                                 edgellm_error *err)
{
    el_cli_bytes text;
    char hash[20];
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    EL_CLI_TRY(el_cli_detokenize(model->engine, a->tokens, a->n, false, &text, err));
    json_t *o = json_object(), *ids = json_array();
    for (size_t i = 0; i < a->n; i++)
        json_array_append_new(ids, json_integer(a->tokens[i]));
    json_object_set_new(o, "text", el_cli_json_text(text.text, text.len));
    free(text.text);
    json_object_set_new(o, "tokens", ids);
    json_object_set_new(o, "prompt_tokens", json_integer((json_int_t)a->prompt_tokens));
    json_object_set_new(o, "finish", json_string(finish_names[a->finish]));
    json_object_set_new(o, "seed", json_integer((json_int_t)seed));
    if (v->hash) {
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)a->hash);
        json_object_set_new(o, "hash", json_string(hash));
    }
    json_object_set_new(o, "timings", stats_json(a, first_ms, load_ms));
    json_object_set_new(o, "kernel", json_string(model->info.kernel));
    json_object_set_new(o, "threads", json_integer(plan.n_threads));
    json_object_set_new(o, "context", json_integer(plan.context));
    json_object_set_new(o, "planned_bytes", json_integer((json_int_t)plan.total));
    json_object_set_new(o, "peak_rss", json_integer((json_int_t)a->peak_rss));
    json_object_set_new(o, "file_bytes", json_integer((json_int_t)model->info.file_bytes));
    return el_cli_print_json(o, err);
}

static edgellm_status report(answer *a, double load_ms, const el_cli_model *model,
                             const run_values *v, uint64_t seed, edgellm_error *err)
{
    double first_ms = a->n > 0 ? a->token_ms[0] : 0;
    el_cli_sort(a->token_ms + 1, steps(a));
    if (v->json) {
        EL_CLI_TRY(print_json(a, first_ms, load_ms, model, v, seed, err));
    } else if (v->hash) {
        fprintf(stderr, "hash %016llx\n", (unsigned long long)a->hash);
    }
    if (!v->json && !v->quiet) print_stats(a, first_ms, model, v, seed);
    if (a->finish != FINISH_INTERRUPTED) return EDGELLM_OK;
    err->message[0] = '\0';
    return EDGELLM_ERR_INTERRUPTED;
}

/* ---- command ------------------------------------------------------------------------------ */

static edgellm_status answer_prompt(el_cli_model *model, const run_values *v, answer *a,
                                    double began_ms, edgellm_error *err)
{
    el_cli_tokens prompt = {NULL, 0};
    uint64_t seed = 0;
    edgellm_status status = read_prompt(model, v, &prompt, err);
    if (status == EDGELLM_OK) status = el_cli_model_start(model, &v->model.session, err);
    if (status == EDGELLM_OK) status = el_cli_sampler_set(&v->sampler, model->session, &seed, err);
    if (status == EDGELLM_OK) status = generate(a, model, v, &prompt, err);
    free(prompt.ids);
    if (status != EDGELLM_OK) return status;
    return report(a, a->started_ms - began_ms, model, v, seed, err);
}

static edgellm_status run(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    const run_values *v = values;
    double began_ms = el_cli_now_ms();
    el_cli_model model;
    answer a = {0};
    (void)n_operands;
    if ((v->prompt == NULL) == (v->prompt_file == NULL)) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "give the prompt with either -p TEXT or --prompt-file FILE");
    }
    EL_CLI_TRY(el_cli_model_open(&model, operands[0], &v->model.engine, err));
    edgellm_status status = answer_prompt(&model, v, &a, began_ms, err);
    el_cli_model_close(&model);
    free(a.tokens);
    free(a.token_ms);
    return status;
}

#define FIELD(member) offsetof(run_values, member)

static const el_cli_option options[] = {
    {"prompt", 'p', EL_CLI_TEXT, FIELD(prompt), "TEXT", NULL, "what to answer", 0, 0, NULL},
    {"prompt-file", 0, EL_CLI_TEXT, FIELD(prompt_file), "FILE", NULL,
     "read the prompt from FILE; - is standard input", 0, 0, NULL},
    {"system", 0, EL_CLI_TEXT, FIELD(system), "TEXT", NULL,
     "system message; the chat template's own if not given", 0, 0, NULL},
    {"raw", 0, EL_CLI_ON, FIELD(raw), NULL, NULL, "continue the text: no chat template", 0, 0,
     NULL},
    {"special", 0, EL_CLI_ON, FIELD(special), NULL, NULL,
     "with --raw: names of special tokens become those tokens", 0, 0, NULL},
    {"tokens", 'n', EL_CLI_U32, FIELD(max_tokens), "N", "128", "longest answer, in tokens", 1,
     16777216, NULL},
    {"ignore-eos", 0, EL_CLI_ON, FIELD(ignore_eos), NULL, NULL, "go on past end tokens", 0, 0,
     NULL},
    EL_CLI_SAMPLER_ROWS(run_values),
    EL_CLI_CONTEXT_ROW(run_values, NULL, "context in tokens; 512, or less if the model knows less"),
    EL_CLI_SESSION_ROWS(run_values),
    EL_CLI_ENGINE_ROWS(run_values),
    {"hash", 0, EL_CLI_ON, FIELD(hash), NULL, NULL,
     "print a 64-bit hash over all logits that were sampled from", 0, 0, NULL},
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL, "one JSON object at the end, nothing else", 0,
     0, NULL},
    {"quiet", 'q', EL_CLI_ON, FIELD(quiet), NULL, NULL, "no measured line", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_run = {
    .name = "run",
    .summary = "answer a prompt, with measured latency",
    .synopsis = "run MODEL -p TEXT [options]",
    .about = "Answers one prompt. The text goes to standard output as it is made, then one line\n"
             "of measurements to standard error. A percentile p is printed only with at least\n"
             "10/(1-p) samples.\n",
    .examples = "  edgellm run model.tm2.bin -p \"Why is the sky blue?\"\n"
                "  edgellm model.tm2.bin -n 20 -t 0.7 -p \"Say hello.\"\n"
                "  edgellm run model.tm2.bin --raw -t 0 -n 50 -p \"Once upon a time\"\n"
                "  edgellm run model.tm2.bin -s 1 -p \"A haiku\" --hash --json\n"
                "  edgellm run model.tm2.bin --prompt-file - < letter.txt\n",
    .options = options,
    .values_size = sizeof(run_values),
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
};
