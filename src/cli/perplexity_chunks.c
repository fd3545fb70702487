#include "cli/perplexity_chunks.h"

#include <stdlib.h>

#include "cli/cli_prefill.h"
#include "cli/cli_signals.h"

enum { SMALLEST_CHUNK = 3 }; /* tokens: below, the second half predicts nothing */

static edgellm_status count_chunks(el_cli_chunks *c, const char *path, uint32_t most,
                                   edgellm_error *err)
{
    if (c->context < SMALLEST_CHUNK) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "a chunk of %u tokens has none to score: at least %d (see -c)",
                           c->context, SMALLEST_CHUNK);
    }
    c->count = c->tokens.count / c->context;
    if (c->count == 0) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "%.200s has %zu tokens: too short for one chunk of %u (see -c)", path,
                           c->tokens.count, c->context);
    }
    if (most > 0 && most < c->count) c->count = most;
    return EDGELLM_OK;
}

static edgellm_status begin_chunks(el_cli_chunks *c, const el_cli_model *model, edgellm_error *err)
{
    uint32_t first = 0;
    size_t count = 0;
    EL_CLI_TRY(
        edgellm_tokenize(model->engine, "", 0, EDGELLM_TOKENIZE_BOS, &first, 1, &count, err));
    for (size_t i = 0; count == 1 && i < c->count; i++)
        c->tokens.ids[i * c->context] = first;
    return EDGELLM_OK;
}

edgellm_status el_cli_chunks_read(el_cli_chunks *chunks, const el_cli_model *model,
                                  const char *path, uint32_t most, edgellm_error *err)
{
    edgellm_memory_plan plan;
    el_cli_bytes text = {NULL, 0};
    edgellm_session_plan(model->session, &plan);
    EL_CLI_TRY(el_cli_read(path, &text, err));
    el_cli_chunks c = {.text = text.text, .len = text.len, .context = plan.context};
    edgellm_status status =
        el_cli_tokenize(model->engine, c.text, c.len, EDGELLM_TOKENIZE_PLAIN, &c.tokens, err);
    if (status == EDGELLM_OK) status = count_chunks(&c, path, most, err);
    if (status == EDGELLM_OK) status = begin_chunks(&c, model, err);
    if (status == EDGELLM_OK) {
        *chunks = c;
    } else {
        el_cli_chunks_release(&c);
    }
    return status;
}

void el_cli_chunks_release(el_cli_chunks *chunks)
{
    free(chunks->text);
    free(chunks->tokens.ids);
    *chunks = (el_cli_chunks){0};
}

uint32_t el_cli_chunk_positions(uint32_t context)
{
    return context - 1 - context / 2;
}

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
    const uint32_t *ids = chunks->tokens.ids + index * chunks->context;
    uint32_t first = chunks->context / 2, last = chunks->context - 1;
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
