#include "cli/perplexity_chunks.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cli_prefill.h"
#include "cli/cli_signals.h"
#include "cli/perplexity_answers.h"

enum { SMALLEST_CHUNK = 3 }; /* tokens: below, the second half predicts nothing */

/* ---- a text -------------------------------------------------------------------------------- */

/* What is too little for a whole chunk is not scored. */
static edgellm_status count_chunks(el_cli_chunks *c, edgellm_error *err)
{
    if (c->context < SMALLEST_CHUNK) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "a chunk of %u tokens has none to score: at least %d (see -c)",
                           c->context, SMALLEST_CHUNK);
    }
    c->count = c->tokens.count / c->context;
    if (c->count == 0) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "%.200s has %zu tokens: too short for one chunk of %u (see -c)", c->path,
                           c->tokens.count, c->context);
    }
    if (c->most > 0 && c->most < c->count) c->count = c->most;
    c->tokens.count = c->count * c->context;
    return EDGELLM_OK;
}

static edgellm_status begin_chunks(el_cli_chunks *c, const edgellm_engine *engine,
                                   edgellm_error *err)
{
    uint32_t first = 0;
    size_t count = 0;
    EL_CLI_TRY(edgellm_tokenize(engine, "", 0, EDGELLM_TOKENIZE_BOS, &first, 1, &count, err));
    c->list = calloc(c->count, sizeof *c->list);
    if (c->list == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the chunks");
    for (size_t i = 0; i < c->count; i++) {
        c->list[i] = (el_cli_chunk){i * c->context, c->context, c->context / 2};
        if (count == 1) c->tokens.ids[i * c->context] = first;
    }
    return EDGELLM_OK;
}

static edgellm_status cut_text(el_cli_chunks *c, const edgellm_engine *engine, edgellm_error *err)
{
    EL_CLI_TRY(el_cli_tokenize(engine, c->text, c->len, EDGELLM_TOKENIZE_PLAIN, &c->tokens, err));
    EL_CLI_TRY(count_chunks(c, err));
    return begin_chunks(c, engine, err);
}

/* ---- either -------------------------------------------------------------------------------- */

static uint32_t positions_of(const el_cli_chunk *chunk)
{
    return chunk->count - 1 - chunk->first;
}

static edgellm_status cut(el_cli_chunks *c, const edgellm_engine *engine, edgellm_error *err)
{
    EL_CLI_TRY(c->chat ? el_cli_answers_cut(c, engine, err) : cut_text(c, engine, err));
    for (size_t i = 0; i < c->count; i++) {
        uint32_t positions = positions_of(&c->list[i]);
        if (positions > c->positions) c->positions = positions;
    }
    return EDGELLM_OK;
}

edgellm_status el_cli_chunks_read(el_cli_chunks *chunks, const el_cli_model *model,
                                  const char *path, bool chat, uint32_t most, edgellm_error *err)
{
    edgellm_memory_plan plan;
    el_cli_bytes text = {NULL, 0};
    edgellm_session_plan(model->session, &plan);
    EL_CLI_TRY(el_cli_read(path, &text, err));
    *chunks = (el_cli_chunks){.path = path,
                              .text = text.text,
                              .len = text.len,
                              .chat = chat,
                              .most = most,
                              .context = plan.context};
    edgellm_status status = cut(chunks, model->engine, err);
    if (status != EDGELLM_OK) el_cli_chunks_release(chunks);
    return status;
}

void el_cli_chunks_release(el_cli_chunks *chunks)
{
    free(chunks->text);
    free(chunks->tokens.ids);
    free(chunks->list);
    *chunks = (el_cli_chunks){0};
}

static bool are_same(const el_cli_chunks *a, const el_cli_chunks *b)
{
    if (a->count != b->count || a->tokens.count != b->tokens.count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->list[i].begin != b->list[i].begin || a->list[i].first != b->list[i].first)
            return false;
    return memcmp(a->tokens.ids, b->tokens.ids, a->tokens.count * sizeof *a->tokens.ids) == 0;
}

edgellm_status el_cli_chunks_compare(const el_cli_chunks *chunks, const edgellm_engine *engine,
                                     bool *same, edgellm_error *err)
{
    el_cli_chunks again = {.path = chunks->path,
                           .text = chunks->text,
                           .len = chunks->len,
                           .chat = chunks->chat,
                           .most = chunks->most,
                           .context = chunks->context};
    edgellm_status status = cut(&again, engine, err);
    *same = status == EDGELLM_OK && are_same(chunks, &again);
    again.text = NULL; /* it is the other's */
    el_cli_chunks_release(&again);
    return status;
}

const char *el_cli_chunks_unit(const el_cli_chunks *chunks)
{
    return chunks->chat ? "answer" : "chunk";
}

/* ---- computing ----------------------------------------------------------------------------- */

float *el_cli_chunk_logits(const el_cli_model *model, edgellm_error *err)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    float *logits = malloc((size_t)plan.batch * model->info.vocab * sizeof *logits);
    if (logits == NULL) el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the logits");
    return logits;
}

edgellm_status el_cli_chunk_score(const el_cli_chunks *chunks, size_t index,
                                  const el_cli_model *model, float *logits, el_cli_take take,
                                  void *context, edgellm_error *err)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    const el_cli_chunk *chunk = &chunks->list[index];
    const uint32_t *ids = chunks->tokens.ids + chunk->begin;
    uint32_t first = chunk->first, last = chunk->count - 1;
    EL_CLI_TRY(edgellm_session_truncate(model->session, 0, err));
    EL_CLI_TRY(el_cli_prefill(model->session, ids, first, NULL, err));
    for (uint32_t begin = first; begin < last; begin += plan.batch) {
        uint32_t n = last - begin < plan.batch ? last - begin : plan.batch;
        EL_CLI_TRY(edgellm_session_eval(model->session, ids + begin, n, logits, err));
        for (uint32_t i = 0; i < n; i++) {
            take(context, begin - first + i, logits + (size_t)i * model->info.vocab,
                 ids[begin + i + 1]);
        }
        if (el_cli_interrupted() != 0) {
            return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
        }
    }
    return EDGELLM_OK;
}
