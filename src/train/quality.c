#include "train/quality.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32, ROWS = 1024 }; /* positions, rows of the head at a time */

typedef struct measuring {
    const el_source *source;
    const el_quality_text *text;
    edgellm_session *session;
    float *ours, *theirs; /* (BATCH, vocab) */
    float *rows;          /* (ROWS, dim), and a row of vocab floats */
    el_quality sums;      /* perplexities: of -log of probabilities, so far */
} measuring;

static void source_logits(const measuring *m, size_t position, uint32_t n)
{
    const el_config *c = &m->source->config;
    for (uint32_t first = 0; first < c->vocab; first += ROWS) {
        uint32_t rows = c->vocab - first < ROWS ? c->vocab - first : ROWS;
        el_source_rows(m->source->head, first, rows, m->rows);
        for (uint32_t i = 0; i < n; i++) {
            el_linear(m->text->hidden + (position + i) * c->dim, m->rows, 1, rows, c->dim, false,
                      m->theirs + (size_t)i * c->vocab + first);
        }
    }
    el_source_cap(m->source, m->theirs, n * c->vocab);
}

static uint32_t best_of(const float *logits, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

/* -log of the probability of a token. */
static double surprise(const float *logits, uint32_t n, uint32_t token, float *scratch)
{
    memcpy(scratch, logits, n * sizeof *scratch);
    return el_softmax_row(scratch, n) - logits[token];
}

/* One position: both predict `next`. */
static void compare(measuring *m, uint32_t i, uint32_t next)
{
    uint32_t vocab = m->source->config.vocab;
    float *ours = m->ours + (size_t)i * vocab, *theirs = m->theirs + (size_t)i * vocab;
    m->sums.same_best += best_of(ours, vocab) == best_of(theirs, vocab);
    m->sums.source_perplexity += surprise(theirs, vocab, next, m->rows);
    m->sums.perplexity += surprise(ours, vocab, next, m->rows);
    m->sums.kl += el_divergence_row(ours, theirs, vocab, 1.0f, m->rows);
    m->sums.tokens++;
}

static edgellm_status measure_sequence(measuring *m, uint32_t sequence, edgellm_error *err)
{
    const uint32_t length = m->text->length, half = length / 2;
    const uint32_t *tokens = m->text->tokens + (size_t)sequence * length;
    EL_TRY(edgellm_session_truncate(m->session, 0, err));
    EL_TRY(edgellm_session_eval(m->session, tokens, half, NULL, err));
    for (uint32_t at = half; at + 1 < length; at += BATCH) {
        uint32_t n = length - 1 - at < BATCH ? length - 1 - at : BATCH;
        EL_TRY(edgellm_session_eval(m->session, tokens + at, n, m->ours, err));
        source_logits(m, (size_t)sequence * length + at, n);
        for (uint32_t i = 0; i < n; i++)
            compare(m, i, tokens[at + i + 1]);
    }
    return EDGELLM_OK;
}

static edgellm_status measure_all(measuring *m, el_quality *quality, edgellm_error *err)
{
    for (uint32_t i = 0; i < m->text->sequences; i++)
        EL_TRY(measure_sequence(m, i, err));
    double n = m->sums.tokens;
    *quality = m->sums;
    quality->kl /= n;
    quality->same_best /= n;
    quality->source_perplexity = exp(quality->source_perplexity / n);
    quality->perplexity = exp(quality->perplexity / n);
    return EDGELLM_OK;
}

static edgellm_status open_memory(measuring *m, edgellm_error *err)
{
    const el_config *c = &m->source->config;
    size_t logits = (size_t)BATCH * c->vocab, rows = (size_t)ROWS * c->dim;
    if (rows < c->vocab) rows = c->vocab;
    m->ours = malloc((2 * logits + rows) * sizeof(float));
    if (!m->ours) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory to measure the file");
    m->theirs = m->ours + logits;
    m->rows = m->theirs + logits;
    return EDGELLM_OK;
}

edgellm_status el_quality_measure(const char *path, const el_source *source,
                                  const el_quality_text *text, el_quality *quality,
                                  edgellm_error *err)
{
    measuring m = {.source = source, .text = text};
    edgellm_engine *engine = NULL;
    const edgellm_session_options options = {.context = text->length};
    EL_TRY(edgellm_engine_open(path, NULL, &engine, err));
    edgellm_status status = edgellm_session_open(engine, &options, &m.session, err);
    if (status == EDGELLM_OK) status = open_memory(&m, err);
    if (status == EDGELLM_OK) status = measure_all(&m, quality, err);
    free(m.ours);
    edgellm_session_close(m.session);
    edgellm_engine_close(engine);
    return status;
}
