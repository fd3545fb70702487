/*
 * cmd_run.c: `edgellm run`: one prompt, one answer as it is made, one measured line.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_deadline.h"
#include "cli/cli_grammar.h"
#include "cli/cli_output.h"
#include "cli/cli_prompt_cache.h"
#include "cli/cli_realtime.h"
#include "cli/cli_sampler.h"
#include "cli/cli_stats.h"

typedef struct run_values {
    el_cli_model_values model;
    el_cli_sampler_values sampler;
    el_cli_answer_options answer;
    el_cli_deadline_values deadline;
    el_cli_climate_values climate;
    const char *prompt, *prompt_file, *system, *certificate, *prompt_cache;
    el_cli_grammar_values grammar;
    bool raw, special, json, quiet;
} run_values;

/* An answer and what was known before it. */
typedef struct promise {
    el_cli_answer answer;
    el_cli_certified certified;
    el_cli_deadline deadline;
    el_cli_prompt_cache cache;
    el_cli_climate climate;
    edgellm_grammar *grammar; /* NULL: none */
    double born_ms, load_ms;
    uint64_t seed;
} promise;

/* ---- prompt ------------------------------------------------------------------------------- */

static edgellm_status chat_tokens(const el_cli_model *model, const run_values *v,
                                  const el_cli_bytes *prompt, el_cli_tokens *tokens,
                                  edgellm_error *err)
{
    edgellm_message messages[2];
    size_t n = 0;
    if (memchr(prompt->text, '\0', prompt->len) != NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "the prompt holds a NUL byte; a chat message cannot (see --raw)");
    }
    if (v->system != NULL) messages[n++] = (edgellm_message){"system", v->system};
    messages[n++] = (edgellm_message){"user", prompt->text};
    return el_cli_lay_out(model->engine, messages, n, EDGELLM_CHAT_OPEN_ANSWER, tokens, err);
}

/* A model that was taught a template is not asked without one by mistake. */
static edgellm_status check_template(const el_cli_model *model, const run_values *v,
                                     edgellm_error *err)
{
    if (v->raw || !model->info.has_unknown_template) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "the model's chat template is not one of those known: choose one with "
                       "--template NAME, or --raw for none");
}

static edgellm_status encode_prompt(const el_cli_model *model, const run_values *v,
                                    const el_cli_bytes *prompt, el_cli_tokens *tokens,
                                    edgellm_error *err)
{
    bool raw = v->raw || !model->info.has_chat_template;
    EL_CLI_TRY(check_template(model, v, err));
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
        if (bytes.text == NULL)
            return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the prompt");
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

/* What the prompt cache is to hold: the system message that was given, else all but the last token,
 * after which the answer begins. A prompt that is too long holds nothing: that is said later. */
static edgellm_status common_beginning(const el_cli_model *model, const run_values *v,
                                       const el_cli_tokens *prompt, size_t *n, edgellm_error *err)
{
    const edgellm_message message = {"system", v->system};
    edgellm_memory_plan plan;
    el_cli_tokens system;
    edgellm_session_plan(model->session, &plan);
    *n = v->prompt_cache != NULL && prompt->count <= plan.context ? prompt->count - 1 : 0;
    if (*n == 0 || v->system == NULL) return EDGELLM_OK;
    EL_CLI_TRY(el_cli_lay_out(model->engine, &message, 1, 0, &system, err));
    size_t same = 0;
    while (same < *n && same < system.count && prompt->ids[same] == system.ids[same])
        same++;
    *n = same;
    free(system.ids);
    return EDGELLM_OK;
}

/* ---- report ------------------------------------------------------------------------------- */

static void print_percentile(const el_cli_answer *a, const char *name, double p)
{
    double ms = el_cli_percentile(a->token_ms + 1, el_cli_answer_steps(a), p);
    if (isnan(ms)) {
        fprintf(stderr, "%s needs %.0f tokens, ", name, ceil(10 / (1 - p) - 1e-6) + 1);
    } else {
        fprintf(stderr, "%s %.2f ms, ", name, ms);
    }
}

/* From the start of the process to the first token; NaN without one. */
static double boot_ms(const promise *p)
{
    return p->answer.n > 0 ? p->answer.started_ms + p->answer.first_ms - p->born_ms : NAN;
}

static void print_stats(const promise *p, const el_cli_model *model, const run_values *v)
{
    const el_cli_answer *a = &p->answer;
    edgellm_memory_plan plan;
    size_t steps = el_cli_answer_steps(a);
    edgellm_session_plan(model->session, &plan);
    fprintf(stderr, "prefill %zu tokens", a->prompt_tokens);
    fprintf(stderr, " %.1f tok/s | ", el_cli_answer_prefill_speed(a));
    if (a->n > 0) fprintf(stderr, "first token %.1f ms | ", a->first_ms);
    if (steps > 0) {
        fprintf(stderr, "decode %zu tokens %.1f tok/s | per token ", steps,
                el_cli_answer_decode_speed(a));
        print_percentile(a, "P50", 0.5);
        print_percentile(a, "P99", 0.99);
        fprintf(stderr, "max %.2f ms | ", a->token_ms[a->n - 1]);
    }
    fprintf(stderr, "peak memory %.1f MB | file %.1f MB | ", (double)a->peak_rss / EL_CLI_MB,
            (double)model->info.file_bytes / EL_CLI_MB);
    fprintf(stderr, "%s, %u thread%s", model->info.kernel, plan.n_threads,
            plan.n_threads == 1 ? "" : "s");
    if (v->sampler.options.temperature > 0)
        fprintf(stderr, " | seed %llu", (unsigned long long)p->seed);
    if (a->shifts > 0) fprintf(stderr, " | shifted %zu times", a->shifts);
    el_cli_certified_print(&p->certified);
    el_cli_deadline_print(&p->deadline, a);
    el_cli_prompt_cache_print(&p->cache);
    if (p->cache.hit && a->n > 0)
        fprintf(stderr, ", first token %.1f ms after the start", boot_ms(p));
    el_cli_climate_print(&p->climate, stderr);
    fprintf(stderr, " | %s\n", el_cli_finish_names[a->finish]);
}

static edgellm_status print_json(const promise *p, const el_cli_model *model, const run_values *v,
                                 edgellm_error *err)
{
    const el_cli_answer *a = &p->answer;
    json_t *o;
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    EL_CLI_TRY(el_cli_answer_json(a, model, &v->answer, p->seed, &o, err));
    json_t *timings = el_cli_answer_timings(a);
    json_object_set_new(timings, "load_ms", json_real(p->load_ms));
    json_object_set_new(timings, "boot_ms", el_cli_json_real(boot_ms(p)));
    json_object_set_new(o, "timings", timings);
    json_object_set_new(o, "certificate", el_cli_certified_json(&p->certified));
    json_object_set_new(o, "deadline", el_cli_deadline_json(&p->deadline, a));
    json_object_set_new(o, "conditions", el_cli_climate_json(&p->climate));
    json_object_set_new(o, "prompt_cache", el_cli_prompt_cache_json(&p->cache));
    json_object_set_new(o, "kernel", json_string(model->info.kernel));
    json_object_set_new(o, "threads", json_integer(plan.n_threads));
    json_object_set_new(o, "context", json_integer(plan.context));
    json_object_set_new(o, "planned_bytes", json_integer((json_int_t)plan.total));
    json_object_set_new(o, "peak_rss", json_integer((json_int_t)a->peak_rss));
    json_object_set_new(o, "file_bytes", json_integer((json_int_t)model->info.file_bytes));
    el_cli_realtime_add(o, model->session);
    return el_cli_print_json(o, err);
}

static edgellm_status report(const promise *p, const el_cli_model *model, const run_values *v,
                             edgellm_error *err)
{
    if (v->json) {
        EL_CLI_TRY(print_json(p, model, v, err));
    } else if (v->answer.hash) {
        fprintf(stderr, "hash %016llx\n", (unsigned long long)p->answer.hash);
    }
    if (!v->json && !v->quiet) {
        print_stats(p, model, v);
        el_cli_realtime_print(model->session, stderr);
    }
    if (p->answer.finish != EL_CLI_FINISH_INTERRUPTED) return EDGELLM_OK;
    err->message[0] = '\0';
    return EDGELLM_ERR_INTERRUPTED;
}

/* ---- command ------------------------------------------------------------------------------ */

/* The context bounds the answer, unless it is shifted: the last token need not be computed, so one
 * more fits. */
static size_t longest_answer(const el_cli_model *model, const run_values *v, size_t prompt_tokens)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    size_t room = prompt_tokens <= plan.context ? plan.context - prompt_tokens + 1 : 1;
    if (v->answer.shift) return v->answer.max_tokens;
    return v->answer.max_tokens < room ? v->answer.max_tokens : room;
}

/* Takes from the cache what it has of the prompt: *ahead is what has to be computed. */
static edgellm_status begin_prompt(const el_cli_model *model, const run_values *v,
                                   const el_cli_tokens *prompt, promise *p, el_cli_tokens *ahead,
                                   edgellm_error *err)
{
    size_t n = 0;
    EL_CLI_TRY(common_beginning(model, v, prompt, &n, err));
    EL_CLI_TRY(el_cli_prompt_cache_load(&p->cache, model, prompt->ids, n, err));
    const size_t loaded = edgellm_session_position(model->session);
    *ahead = (el_cli_tokens){prompt->ids + loaded, prompt->count - loaded};
    return EDGELLM_OK;
}

/* The session, what is known of its time, and whether that is enough. */
static edgellm_status prepare(el_cli_model *model, const run_values *v, const el_cli_tokens *prompt,
                              promise *p, el_cli_tokens *ahead, edgellm_error *err)
{
    edgellm_session_options o = v->model.session;
    o.grammar = el_cli_grammar_option(&v->grammar) != NULL;
    EL_CLI_TRY(el_cli_climate_open(&p->climate, &v->climate, o.realtime, err));
    EL_CLI_TRY(el_cli_model_start(model, &o, err));
    EL_CLI_TRY(el_cli_answer_check_shift(&v->answer, el_cli_grammar_option(&v->grammar),
                                         model->session, err));
    EL_CLI_TRY(el_cli_sampler_set(&v->sampler, model->session, &p->seed, err));
    const size_t longest = longest_answer(model, v, prompt->count);
    EL_CLI_TRY(el_cli_grammar_read(model->engine, &v->grammar, &p->grammar, err));
    EL_CLI_TRY(edgellm_session_set_grammar(model->session, p->grammar, (uint32_t)longest, err));
    EL_CLI_TRY(el_cli_answer_reserve(&p->answer, longest, err));
    EL_CLI_TRY(el_cli_certified_find(&p->certified, v->certificate, model, &o, err));
    EL_CLI_TRY(begin_prompt(model, v, prompt, p, ahead, err));
    return el_cli_deadline_admit(&p->deadline, &v->deadline, model, p->certified.holds,
                                 ahead->count, longest, err);
}

/* What the answer needs is made first, then the answer, then what the next one may use. */
static edgellm_status answer_tokens(el_cli_model *model, const run_values *v,
                                    const el_cli_tokens *prompt, promise *p, double began_ms,
                                    edgellm_error *err)
{
    el_cli_tokens ahead;
    edgellm_error late = {EDGELLM_OK, ""};
    el_cli_answer_options o = v->answer;
    o.mute = v->json;
    o.deadline_ms = v->deadline.ms;
    o.certified = &p->certified;
    o.climate = &p->climate;
    EL_CLI_TRY(prepare(model, v, prompt, p, &ahead, err));
    EL_CLI_TRY(el_cli_answer_make(&p->answer, model, &ahead, &o, err));
    p->load_ms = p->answer.started_ms - began_ms;
    const edgellm_status kept = el_cli_prompt_cache_save(&p->cache, model, &late);
    EL_CLI_TRY(report(p, model, v, err));
    if (kept != EDGELLM_OK) *err = late;
    return kept;
}

static edgellm_status answer_prompt(el_cli_model *model, const run_values *v, promise *p,
                                    double began_ms, edgellm_error *err)
{
    el_cli_tokens prompt = {NULL, 0};
    edgellm_status status = read_prompt(model, v, &prompt, err);
    if (status == EDGELLM_OK) status = answer_tokens(model, v, &prompt, p, began_ms, err);
    free(prompt.ids);
    return status;
}

static edgellm_status run(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    const run_values *v = values;
    el_cli_model_values opened = v->model;
    promise p = {.born_ms = el_cli_birth_ms()};
    double began_ms = el_cli_now_ms();
    el_cli_model model;
    (void)n_operands;
    if ((v->prompt == NULL) == (v->prompt_file == NULL)) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "give the prompt with either -p TEXT or --prompt-file FILE");
    }
    EL_CLI_TRY(el_cli_deadline_check(&v->deadline, err));
    EL_CLI_TRY(el_cli_grammar_check(&v->grammar, v->answer.ignore_eos, err));
    if (v->answer.shift && v->deadline.ms > 0) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "--deadline-ms forecasts one context, --shift goes on past it: one or "
                           "the other");
    }
    opened.engine.grammars = el_cli_grammar_option(&v->grammar) != NULL;
    if (v->deadline.ms > 0 && (v->climate.target_rate > 0 || v->climate.max_temp > 0)) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "--deadline-ms asks for haste, --target-rate and --max-temp hold back: "
                           "one or the other");
    }
    el_cli_prompt_cache_open(&p.cache, v->prompt_cache, operands[0], &v->model.session);
    EL_CLI_TRY(el_cli_model_open_adapted(&model, operands[0], &opened, err));
    edgellm_status status = answer_prompt(&model, v, &p, began_ms, err);
    el_cli_model_close(&model);
    edgellm_grammar_destroy(p.grammar);
    el_cli_answer_release(&p.answer);
    el_cli_certified_release(&p.certified);
    el_cli_prompt_cache_release(&p.cache);
    el_cli_climate_release(&p.climate);
    return status;
}

#define FIELD(member) offsetof(run_values, member)

static const el_cli_option options[] = {
    {"prompt", 'p', EL_CLI_TEXT, FIELD(prompt), "TEXT", NULL, "what to answer", 0, 0, NULL},
    {"prompt-file", 0, EL_CLI_TEXT, FIELD(prompt_file), "FILE", NULL,
     "read the prompt from FILE; - is standard input", 0, 0, NULL},
    {"system", 0, EL_CLI_TEXT, FIELD(system), "TEXT", NULL,
     "system message; the chat template's own if not given", 0, 0, NULL},
    EL_CLI_PROMPT_CACHE_ROW(run_values),
    {"raw", 0, EL_CLI_ON, FIELD(raw), NULL, NULL, "continue the text: no chat template", 0, 0,
     NULL},
    {"special", 0, EL_CLI_ON, FIELD(special), NULL, NULL,
     "with --raw: names of special tokens become those tokens", 0, 0, NULL},
    {"tokens", 'n', EL_CLI_U32, FIELD(answer.max_tokens), "N", "128", "longest answer, in tokens",
     1, 16777216, NULL},
    {"ignore-eos", 0, EL_CLI_ON, FIELD(answer.ignore_eos), NULL, NULL, "go on past end tokens", 0,
     0, NULL},
    EL_CLI_SHIFT_ROWS(run_values),
    EL_CLI_GRAMMAR_ROWS(run_values),
    EL_CLI_SAMPLER_ROWS(run_values),
    EL_CLI_CONTEXT_ROW(run_values, NULL, "context in tokens; 512, or less if the model knows less"),
    EL_CLI_SESSION_ROWS(run_values),
    EL_CLI_REALTIME_ROWS(run_values),
    EL_CLI_TEMPLATE_ROW(run_values),
    EL_CLI_ENGINE_ROWS(run_values),
    EL_CLI_LORA_ROW(run_values),
    EL_CLI_CERTIFICATE_ROW(run_values),
    EL_CLI_DEADLINE_ROWS(run_values),
    EL_CLI_CLIMATE_ROWS(run_values),
    {"hash", 0, EL_CLI_ON, FIELD(answer.hash), NULL, NULL,
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
    .about =
        "Answers one prompt. The text goes to standard output as it is made, then one line\n"
        "of measurements to standard error. A percentile p is printed only with at least\n"
        "10/(1-p) samples.\n"
        "--prompt-cache keeps the computed system message (without --system: the prompt) in a\n"
        "file beside the model, or in the cache folder if that cannot be written; the next run\n"
        "that begins so loads it instead of computing it, with the same bits. A file of another\n"
        "model or version, or a damaged one, is named and not used. With --json: prompt_cache\n"
        "(file, hit, kept, tokens, load_ms); prompt_tokens are those that had to be computed.\n"
        "--shift: when the context is full its first --keep tokens stay, the older half of the\n"
        "others is dropped, and what stays is computed anew, so that an answer may be of any\n"
        "length in the same memory; what follows is what would follow these tokens alone.\n",
    .examples =
        "  edgellm run model.tm2.bin -p \"Why is the sky blue?\"\n"
        "  edgellm model.tm2.bin -n 20 -t 0.7 -p \"Say hello.\"\n"
        "  edgellm run model.tm2.bin --raw -t 0 -n 50 -p \"Once upon a time\"\n"
        "  edgellm run model.tm2.bin -s 1 -p \"A haiku\" --hash --json\n"
        "  edgellm run model.tm2.bin -p \"Left or right?\" -n 8 --deadline-ms 200\n"
        "  edgellm run model.tm2.bin --system \"Be brief.\" --prompt-cache -p \"Why?\"\n"
        "  edgellm run model.tm2.bin --raw -p \"Once\" -c 512 -n 4000 --ignore-eos --shift\n"
        "  edgellm run model.tm2.bin --prompt-file - < letter.txt\n",
    .options = options,
    .values_size = sizeof(run_values),
    .min_operands = 1,
    .max_operands = 1,
    .model = EL_CLI_RUNS_MODEL,
    .run = run,
};
