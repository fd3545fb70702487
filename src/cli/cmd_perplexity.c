/*
 * cmd_perplexity.c: `edgellm perplexity`: how well a model predicts a text, by itself or beside the
 * model it was made from. What is scored: perplexity_chunks.h.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli_output.h"
#include "cli/cli_stats.h"
#include "cli/perplexity_against.h"
#include "cli/perplexity_numbers.h"
#include "cli/perplexity_source.h"

typedef struct perplexity_values {
    el_cli_model_values model;
    uint32_t chunks;
    const char *against, *cache;
    bool chat, json, quiet;
} perplexity_values;

typedef struct score {
    double nll;      /* sum over the scored tokens, natural logarithm */
    uint64_t tokens; /* scored */
    uint32_t vocab;
    double seconds;
} score;

static double mean(double sum, uint64_t n)
{
    return sum / (double)n;
}

/* ---- a model by itself ----------------------------------------------------------------------- */

static void take(void *context, uint32_t index, const float *logits, uint32_t next)
{
    score *s = context;
    (void)index;
    s->nll += el_cli_nll(logits, s->vocab, next);
    s->tokens++;
}

static edgellm_status score_all(const el_cli_model *model, const el_cli_chunks *chunks,
                                bool progress, score *s, edgellm_error *err)
{
    edgellm_status status = EDGELLM_OK;
    double start = el_cli_now_ms();
    float *logits = el_cli_chunk_logits(model, err);
    if (logits == NULL) return err->status;
    for (size_t i = 0; i < chunks->count && status == EDGELLM_OK; i++) {
        status = el_cli_chunk_score(chunks, i, model, logits, take, s, err);
        if (progress && status == EDGELLM_OK) {
            fprintf(stderr, "\r%s %zu/%zu, perplexity %.4f ", el_cli_chunks_unit(chunks), i + 1,
                    chunks->count, exp(mean(s->nll, s->tokens)));
        }
    }
    if (progress) fputs("\r\033[K", stderr);
    free(logits);
    s->seconds = (el_cli_now_ms() - start) / 1e3;
    return status;
}

static void print_score(const score *s, const perplexity_values *v, const el_cli_chunks *chunks)
{
    printf("perplexity %.4f over %llu tokens (%zu %ss", exp(mean(s->nll, s->tokens)),
           (unsigned long long)s->tokens, chunks->count, el_cli_chunks_unit(chunks));
    if (!chunks->chat) printf(" of %u", chunks->context);
    printf(", %.1f s%s)\n", s->seconds, v->model.session.exact ? ", exact mode" : "");
}

static json_t *score_json(const score *s, const perplexity_values *v, const el_cli_chunks *chunks)
{
    json_t *o = json_object();
    json_object_set_new(o, "ppl", el_cli_json_real(exp(mean(s->nll, s->tokens))));
    json_object_set_new(o, "nll", el_cli_json_real(mean(s->nll, s->tokens)));
    json_object_set_new(o, "tokens", json_integer((json_int_t)s->tokens));
    json_object_set_new(o, chunks->chat ? "answers" : "chunks",
                        json_integer((json_int_t)chunks->count));
    json_object_set_new(o, "context", json_integer(chunks->context));
    json_object_set_new(o, "exact", json_boolean(v->model.session.exact));
    if (!v->model.session.exact)
        json_object_set_new(o, "kv_bits", json_integer(v->model.session.kv_bits));
    json_object_set_new(o, "seconds", json_real(s->seconds));
    return o;
}

static edgellm_status alone(const el_cli_model *model, const perplexity_values *v,
                            const el_cli_chunks *chunks, bool progress, edgellm_error *err)
{
    score s = {.vocab = model->info.vocab};
    EL_CLI_TRY(score_all(model, chunks, progress, &s, err));
    if (v->json) return el_cli_print_json(score_json(&s, v, chunks), err);
    print_score(&s, v, chunks);
    return EDGELLM_OK;
}

/* ---- beside its source ----------------------------------------------------------------------- */

static double ratio_of(const el_cli_against *a)
{
    return exp(mean(a->nll - a->source_nll, a->scored));
}

static void print_against(const el_cli_against *a)
{
    printf("source     %.4f in exact mode (%.1f s)\n", exp(mean(a->source_nll, a->scored)),
           a->source_seconds);
    printf("ratio %.5f, KL %.6f nats a token, same best token %.2f %%\n", ratio_of(a),
           mean(a->divergence, a->scored), 100 * mean((double)a->agreed, a->scored));
    if (a->rounded > 0) {
        printf("(%u matrices of the source are of types that TM2 lacks: rounded to 8 bits)\n",
               a->rounded);
    }
}

static void set_hash(json_t *o, const char *key, uint64_t hash)
{
    char text[20];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    json_object_set_new(o, key, json_string(text));
}

static json_t *against_json(json_t *o, const el_cli_against *a, uint64_t model_hash)
{
    json_object_set_new(o, "source_ppl", el_cli_json_real(exp(mean(a->source_nll, a->scored))));
    json_object_set_new(o, "source_nll", el_cli_json_real(mean(a->source_nll, a->scored)));
    json_object_set_new(o, "ratio", el_cli_json_real(ratio_of(a)));
    json_object_set_new(o, "kl", el_cli_json_real(mean(a->divergence, a->scored)));
    json_object_set_new(o, "top1", el_cli_json_real(mean((double)a->agreed, a->scored)));
    json_object_set_new(o, "source_rounded", json_integer(a->rounded));
    json_object_set_new(o, "source_seconds", json_real(a->source_seconds));
    json_object_set_new(o, "cache", json_string(a->cache));
    set_hash(o, "model_hash", model_hash);
    set_hash(o, "source_hash", a->source_hash);
    set_hash(o, "tokens_hash", a->tokens_hash);
    return o;
}

static edgellm_status against(const el_cli_model *model, const perplexity_values *v,
                              const char *path, const el_cli_chunks *chunks, bool progress,
                              edgellm_error *err)
{
    el_cli_against a;
    uint64_t model_hash = 0;
    char first[4];
    const el_cli_against_options options = {v->against, v->cache, &v->model, progress};
    if (v->json) EL_CLI_TRY(el_cli_hash_file(path, &model_hash, first, err));
    EL_CLI_TRY(el_cli_against_measure(&a, model, chunks, &options, err));
    const score s = {.nll = a.nll, .tokens = a.scored, .seconds = a.seconds};
    if (v->json) {
        return el_cli_print_json(against_json(score_json(&s, v, chunks), &a, model_hash), err);
    }
    print_score(&s, v, chunks);
    print_against(&a);
    return EDGELLM_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

static edgellm_status measure(const el_cli_model *model, const perplexity_values *v,
                              char **operands, edgellm_error *err)
{
    el_cli_chunks chunks;
    bool progress = !v->quiet && !v->json && isatty(STDERR_FILENO);
    EL_CLI_TRY(el_cli_chunks_read(&chunks, model, operands[1], v->chat, v->chunks, err));
    edgellm_status status = v->against != NULL
                                ? against(model, v, operands[0], &chunks, progress, err)
                                : alone(model, v, &chunks, progress, err);
    el_cli_chunks_release(&chunks);
    return status;
}

static edgellm_status perplexity(const void *values, char **operands, int n_operands,
                                 edgellm_error *err)
{
    const perplexity_values *v = values;
    el_cli_model model;
    (void)n_operands;
    if (v->cache != NULL && v->against == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "--cache is only of use with --against");
    }
    if (v->cache != NULL && v->chat) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "--cache keeps logits of texts; those of answers (--chat) are not kept");
    }
    EL_CLI_TRY(el_cli_model_open_adapted(&model, operands[0], &v->model, err));
    edgellm_status status = el_cli_model_start(&model, &v->model.session, err);
    if (status == EDGELLM_OK) status = measure(&model, v, operands, err);
    el_cli_model_close(&model);
    return status;
}

#define FIELD(member) offsetof(perplexity_values, member)

static const el_cli_option options[] = {
    {"chat", 0, EL_CLI_ON, FIELD(chat), NULL, NULL,
     "FILE is conversations, of which the answers are scored", 0, 0, NULL},
    {"chunks", 0, EL_CLI_U32, FIELD(chunks), "N", "0",
     "only the first N chunks or conversations; 0: all", 0, 4294967295.0, NULL},
    {"against", 0, EL_CLI_TEXT, FIELD(against), "SOURCE", NULL,
     "TM2 or GGUF file, or folder, that the model was made from", 0, 0, NULL},
    {"cache", 0, EL_CLI_TEXT, FIELD(cache), "DIR", NULL,
     "where the source's logits are kept; none: nowhere", 0, 0, NULL},
    EL_CLI_CONTEXT_ROW(perplexity_values, NULL,
                       "tokens of a chunk; 512, or less if the model knows less"),
    EL_CLI_SESSION_ROWS(perplexity_values),
    EL_CLI_TEMPLATE_ROW(perplexity_values),
    EL_CLI_ENGINE_ROWS(perplexity_values),
    EL_CLI_LORA_ROW(perplexity_values),
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL, "one JSON object", 0, 0, NULL},
    {"quiet", 'q', EL_CLI_ON, FIELD(quiet), NULL, NULL, "no progress", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_perplexity = {
    .name = "perplexity",
    .summary = "measure how well a model predicts a text",
    .synopsis = "perplexity MODEL FILE [options]",
    .about =
        "Cuts the text into chunks of -c tokens and scores the second half of each, as\n"
        "llama.cpp does. FILE - is standard input.\n"
        "With --chat a line of FILE is a conversation, {\"messages\": [{\"role\", \"content\"}, "
        "...],\n"
        "\"answer\"}, laid out by the chat template. Only the answer's tokens are scored, and the "
        "one\n"
        "that ends it, unless the line has \"ended\": false. -c holds the longest.\n"
        "With --against, also what MODEL lost: SOURCE is scored in exact mode on the same tokens, "
        "and\n"
        "compared over the whole vocabulary: the ratio of the perplexities, the mean divergence\n"
        "KL(SOURCE || MODEL) in nats, how often both hold the same token for the most likely. A\n"
        "GGUF file or a Hugging Face folder is converted first, as it is, in $TMPDIR. The\n"
        "source's logits (25 MB for each chunk of 512 tokens and 49152 words) are kept for the\n"
        "next model: in --cache, $EDGELLM_CACHE,\n"
        "$XDG_CACHE_HOME/edgellm or ~/.cache/edgellm. Such files may be deleted at any time.\n"
        "With --chat they are not kept: they would take gigabytes.\n",
    .examples = "  edgellm perplexity model.tm2.bin wikitext2-valid.txt --chunks 40 --json\n"
                "  edgellm perplexity model.tm2.bin text.txt --exact\n"
                "  edgellm perplexity small.tm2.bin text.txt --chunks 40 --against model.gguf\n"
                "  edgellm perplexity small.tm2.bin answers.jsonl --chat --against model.gguf\n",
    .options = options,
    .values_size = sizeof(perplexity_values),
    .min_operands = 2,
    .max_operands = 2,
    .model = EL_CLI_RUNS_MODEL,
    .run = perplexity,
};
