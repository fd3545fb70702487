/*
 * cmd_perplexity.c: `edgellm perplexity`: how well a model predicts a text, measured as llama.cpp
 * does: the whole file as tokens without a first special one, cut in chunks of the context; in
 * each, with an empty cache, the second half is scored: position j, from c/2 to c-2, predicts
 * token j+1.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli_model.h"
#include "cli/cli_output.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

enum { SMALLEST_CHUNK = 3 }; /* tokens: below, the second half predicts nothing */

typedef struct perplexity_values {
    el_cli_model_values model;
    uint32_t chunks;
    bool json, quiet;
} perplexity_values;

typedef struct score {
    double nll;      /* sum over the scored tokens, natural logarithm */
    uint64_t tokens; /* scored */
    uint64_t chunks;
    double seconds;
} score;

/* -log of the probability that the logits (vocab) give to `token`, in double. */
static double negative_log_likelihood(const float *logits, uint32_t vocab, uint32_t token)
{
    double largest = logits[0], sum = 0;
    for (uint32_t i = 1; i < vocab; i++) {
        if (logits[i] > largest) largest = logits[i];
    }
    for (uint32_t i = 0; i < vocab; i++)
        sum += exp(logits[i] - largest);
    // cppcheck-suppress invalidFunctionArg ; the sum holds exp(0)
    return log(sum) - (logits[token] - largest);
}

/* One chunk of c tokens. logits: (batch, vocab). */
static edgellm_status score_chunk(const el_cli_model *model, const edgellm_memory_plan *plan,
                                  const uint32_t *ids, float *logits, score *total,
                                  edgellm_error *err)
{
    uint32_t first = plan->context / 2, last = plan->context - 1, vocab = model->info.vocab;
    EL_CLI_TRY(edgellm_session_truncate(model->session, 0, err));
    EL_CLI_TRY(el_cli_prefill(model->session, ids, first, err));
    for (uint32_t begin = first; begin < last; begin += plan->batch) {
        uint32_t n = last - begin < plan->batch ? last - begin : plan->batch;
        EL_CLI_TRY(edgellm_session_eval(model->session, ids + begin, n, logits, err));
        for (uint32_t i = 0; i < n; i++) {
            total->nll +=
                negative_log_likelihood(logits + (size_t)i * vocab, vocab, ids[begin + i + 1]);
        }
        if (el_cli_interrupted() != 0) {
            return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
        }
    }
    total->tokens += last - first;
    total->chunks++;
    return EDGELLM_OK;
}

static double perplexity_of(const score *s)
{
    return exp(s->nll / (double)s->tokens);
}

static edgellm_status score_all(const el_cli_model *model, const edgellm_memory_plan *plan,
                                const el_cli_tokens *tokens, size_t chunks, bool progress,
                                score *total, edgellm_error *err)
{
    size_t floats = (size_t)plan->batch * model->info.vocab;
    float *logits = malloc(floats * sizeof *logits);
    edgellm_status status = EDGELLM_OK;
    double start = el_cli_now_ms();
    if (logits == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the logits");
    for (size_t i = 0; i < chunks && status == EDGELLM_OK; i++) {
        status = score_chunk(model, plan, tokens->ids + i * plan->context, logits, total, err);
        if (progress && status == EDGELLM_OK) {
            fprintf(stderr, "\rchunk %zu/%zu, perplexity %.4f ", i + 1, chunks,
                    perplexity_of(total));
        }
    }
    if (progress) fputs("\r\033[K", stderr);
    free(logits);
    total->seconds = (el_cli_now_ms() - start) / 1e3;
    return status;
}

static edgellm_status report(const score *s, const perplexity_values *v,
                             const edgellm_memory_plan *plan, edgellm_error *err)
{
    if (!v->json) {
        printf("perplexity %.4f over %llu tokens (%llu chunks of %u, %.1f s%s)\n", perplexity_of(s),
               (unsigned long long)s->tokens, (unsigned long long)s->chunks, plan->context,
               s->seconds, v->model.session.exact ? ", exact mode" : "");
        return EDGELLM_OK;
    }
    json_t *o = json_object();
    json_object_set_new(o, "ppl", el_cli_json_real(perplexity_of(s)));
    json_object_set_new(o, "nll", el_cli_json_real(s->nll / (double)s->tokens));
    json_object_set_new(o, "tokens", json_integer((json_int_t)s->tokens));
    json_object_set_new(o, "chunks", json_integer((json_int_t)s->chunks));
    json_object_set_new(o, "context", json_integer(plan->context));
    json_object_set_new(o, "exact", json_boolean(v->model.session.exact));
    json_object_set_new(o, "seconds", json_real(s->seconds));
    return el_cli_print_json(o, err);
}

static edgellm_status measure(el_cli_model *model, const perplexity_values *v, const char *file,
                              edgellm_error *err)
{
    el_cli_bytes text;
    el_cli_tokens tokens = {NULL, 0};
    edgellm_memory_plan plan;
    score total = {0, 0, 0, 0};
    EL_CLI_TRY(el_cli_read(file, &text, err));
    edgellm_status status =
        el_cli_tokenize(model->engine, text.text, text.len, EDGELLM_TOKENIZE_PLAIN, &tokens, err);
    free(text.text);
    if (status != EDGELLM_OK) return status;
    edgellm_session_plan(model->session, &plan);
    size_t chunks = tokens.count / plan.context;
    if (v->chunks > 0 && v->chunks < chunks) chunks = v->chunks;
    if (plan.context < SMALLEST_CHUNK) {
        status = el_cli_fail(err, EDGELLM_ERR_USAGE,
                             "a chunk of %u tokens has none to score: at least %d (see -c)",
                             plan.context, SMALLEST_CHUNK);
    } else if (chunks == 0) {
        status = el_cli_fail(err, EDGELLM_ERR_USAGE,
                             "%.200s has %zu tokens: too short for one chunk of %u (see -c)", file,
                             tokens.count, plan.context);
    } else {
        bool progress = !v->quiet && !v->json && isatty(STDERR_FILENO);
        status = score_all(model, &plan, &tokens, chunks, progress, &total, err);
    }
    free(tokens.ids);
    return status == EDGELLM_OK ? report(&total, v, &plan, err) : status;
}

static edgellm_status perplexity(const void *values, char **operands, int n_operands,
                                 edgellm_error *err)
{
    const perplexity_values *v = values;
    el_cli_model model;
    (void)n_operands;
    EL_CLI_TRY(el_cli_model_open(&model, operands[0], &v->model.engine, err));
    edgellm_status status = el_cli_model_start(&model, &v->model.session, err);
    if (status == EDGELLM_OK) status = measure(&model, v, operands[1], err);
    el_cli_model_close(&model);
    return status;
}

#define FIELD(member) offsetof(perplexity_values, member)

static const el_cli_option options[] = {
    {"chunks", 0, EL_CLI_U32, FIELD(chunks), "N", "0", "only the first N chunks; 0: all", 0,
     4294967295.0, NULL},
    EL_CLI_CONTEXT_ROW(perplexity_values, NULL,
                       "tokens of a chunk; 512, or less if the model knows less"),
    EL_CLI_SESSION_ROWS(perplexity_values),
    EL_CLI_ENGINE_ROWS(perplexity_values),
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL, "one JSON object", 0, 0, NULL},
    {"quiet", 'q', EL_CLI_ON, FIELD(quiet), NULL, NULL, "no progress", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_perplexity = {
    .name = "perplexity",
    .summary = "measure how well a model predicts a text",
    .synopsis = "perplexity MODEL FILE [options]",
    .about = "Cuts the text into chunks of -c tokens and scores the second half of each, as\n"
             "llama.cpp does. FILE - is standard input.\n",
    .examples = "  edgellm perplexity model.tm2.bin wikitext2-valid.txt --chunks 40 --json\n"
                "  edgellm perplexity model.tm2.bin text.txt --exact\n",
    .options = options,
    .values_size = sizeof(perplexity_values),
    .min_operands = 2,
    .max_operands = 2,
    .run = perplexity,
};
