/*
 * cmd_embed.c: `edgellm embed`: texts as vectors, by the same requests as /v1/embeddings: one slot
 * of a scheduler, without an answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_model.h"
#include "cli/cli_output.h"
#include "cli/cli_signals.h"

typedef struct embed_values {
    el_cli_model_values model;
    const char *file;
    bool json;
} embed_values;

typedef struct embedding {
    const embed_values *v;
    el_cli_model model;
    edgellm_scheduler *scheduler;
    uint32_t context;
    json_t *list; /* with --json: of what was embedded */
    uint64_t tokens;
} embedding;

/* ---- one text ------------------------------------------------------------------------------ */

static edgellm_status add_json(embedding *e, const float *vector, size_t tokens)
{
    json_t *one = json_object(), *numbers = json_array();
    for (uint32_t i = 0; i < e->model.info.dim; i++)
        json_array_append_new(numbers, json_real((double)vector[i]));
    json_object_set_new(one, "index", json_integer((json_int_t)json_array_size(e->list)));
    json_object_set_new(one, "embedding", numbers);
    json_object_set_new(one, "tokens", json_integer((json_int_t)tokens));
    json_array_append_new(e->list, one);
    return EDGELLM_OK;
}

/* Numbers that are read back as the same float32, on a line. */
static edgellm_status print_line(const embedding *e, const float *vector, edgellm_error *err)
{
    for (uint32_t i = 0; i < e->model.info.dim; i++)
        printf(i > 0 ? " %.9g" : "%.9g", (double)vector[i]);
    putchar('\n');
    return el_cli_flush(err);
}

static edgellm_status interrupted(edgellm_error *err)
{
    err->message[0] = '\0';
    return EDGELLM_ERR_INTERRUPTED;
}

/* Computes until the embedding is there. */
static edgellm_status compute(embedding *e, const el_cli_tokens *tokens, edgellm_error *err)
{
    const edgellm_request request = {.tokens = tokens->ids,
                                     .count = (uint32_t)tokens->count,
                                     .max_tokens = 1,
                                     .embedding = true};
    edgellm_turn turn = {.n_events = 0};
    uint64_t id;
    EL_CLI_TRY(edgellm_scheduler_submit(e->scheduler, &request, &id, NULL, err));
    while (turn.n_events == 0) {
        if (el_cli_interrupted() != 0) return interrupted(err);
        EL_CLI_TRY(edgellm_scheduler_turn(e->scheduler, &turn, err));
    }
    e->tokens += tokens->count;
    const float *vector = turn.events[0].embedding;
    return e->v->json ? add_json(e, vector, tokens->count) : print_line(e, vector, err);
}

/* number: of its line; 0: it is the operand. */
static edgellm_status embed_text(embedding *e, const char *text, size_t len, size_t number,
                                 edgellm_error *err)
{
    el_cli_tokens tokens = {NULL, 0};
    char where[40] = "the text";
    edgellm_status status = EDGELLM_OK;
    if (number > 0) snprintf(where, sizeof where, "line %zu", number);
    EL_CLI_TRY(el_cli_tokenize(e->model.engine, text, len, EDGELLM_TOKENIZE_BOS, &tokens, err));
    if (len == 0 || tokens.count == 0)
        status = el_cli_fail(err, EDGELLM_ERR_USAGE, "%s is empty: it has no embedding", where);
    else if (tokens.count > e->context)
        status = el_cli_fail(err, EDGELLM_ERR_CONTEXT,
                             "%s has %zu tokens, the context %u: shorten it, or -c %zu", where,
                             tokens.count, e->context, tokens.count);
    else
        status = compute(e, &tokens, err);
    free(tokens.ids);
    return status;
}

/* ---- all ----------------------------------------------------------------------------------- */

/* A text a line; a line end at the end of all begins no other. */
static edgellm_status embed_lines(embedding *e, const el_cli_bytes *bytes, edgellm_error *err)
{
    const char *at = bytes->text, *end = at + bytes->len;
    for (size_t number = 1; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const size_t len = (size_t)((stop != NULL ? stop : end) - at);
        EL_CLI_TRY(embed_text(e, at, len, number, err));
        at += len + 1;
    }
    return EDGELLM_OK;
}

static edgellm_status embed_all(embedding *e, const char *text, edgellm_error *err)
{
    el_cli_bytes bytes;
    if (text != NULL) return embed_text(e, text, strlen(text), 0, err);
    EL_CLI_TRY(el_cli_read(e->v->file != NULL ? e->v->file : "-", &bytes, err));
    const edgellm_status status = embed_lines(e, &bytes, err);
    free(bytes.text);
    return status;
}

static edgellm_status print_all(embedding *e, edgellm_error *err)
{
    json_t *o = json_object();
    json_object_set_new(o, "dim", json_integer(e->model.info.dim));
    json_object_set_new(o, "tokens", json_integer((json_int_t)e->tokens));
    json_object_set(o, "embeddings", e->list);
    return el_cli_print_json(o, err);
}

static edgellm_status open_and_embed(embedding *e, const char *text, edgellm_error *err)
{
    const edgellm_scheduler_options o = {.session = e->v->model.session, .slots = 1};
    edgellm_memory_plan plan;
    EL_CLI_TRY(edgellm_scheduler_open(e->model.engine, &o, &e->scheduler, err));
    edgellm_scheduler_memory(e->scheduler, &plan);
    e->context = plan.context;
    e->list = json_array();
    EL_CLI_TRY(embed_all(e, text, err));
    return e->v->json ? print_all(e, err) : EDGELLM_OK;
}

static edgellm_status embed(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    embedding e = {.v = values};
    const char *text = n_operands > 1 ? operands[1] : NULL;
    if (text != NULL && e.v->file != NULL)
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "give either TEXT or --file, not both");
    EL_CLI_TRY(el_cli_model_open(&e.model, operands[0], &e.v->model.engine, err));
    const edgellm_status status = open_and_embed(&e, text, err);
    json_decref(e.list);
    edgellm_scheduler_close(e.scheduler);
    el_cli_model_close(&e.model);
    return status;
}

#define FIELD(member) offsetof(embed_values, member)

static const el_cli_option options[] = {
    {"file", 0, EL_CLI_TEXT, FIELD(file), "FILE", NULL,
     "a text a line; without FILE and TEXT: standard input", 0, 0, NULL},
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL,
     "one JSON object: dim, tokens, embeddings (index, embedding, tokens)", 0, 0, NULL},
    EL_CLI_CONTEXT_ROW(embed_values, NULL,
                       "longest text in tokens; 512, or less if the model knows less"),
    EL_CLI_SESSION_ROWS(embed_values),
    EL_CLI_ENGINE_ROWS(embed_values),
    {0},
};

const el_cli_command el_cli_cmd_embed = {
    .name = "embed",
    .summary = "turn texts into vectors",
    .synopsis = "embed MODEL [TEXT] [options]",
    .about =
        "Prints a line of numbers for each text: the hidden state of its last token behind the\n"
        "output norm, divided by its length, as /v1/embeddings of edgellm serve has it\n"
        "(docs/SERVER.md, \"Embeddings\"). Without TEXT each line of --file, or of standard\n"
        "input, is a text; names of special tokens in it are text. An empty line is an error.\n",
    .examples = "  edgellm embed model.tm2.bin \"a red fox\"\n"
                "  edgellm embed model.tm2.bin --json --file titles.txt\n",
    .options = options,
    .values_size = sizeof(embed_values),
    .min_operands = 1,
    .max_operands = 2,
    .model = EL_CLI_RUNS_MODEL,
    .run = embed,
};
