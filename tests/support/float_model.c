#include "support/float_model.h"

#include <math.h>
#include <stdlib.h>

#include "train/layer_shape.h"

enum { SLICE = 1024 }; /* rows of the head at a time */

static void layout(float_model *m, el_arena *arena)
{
    m->shape = el_layer_shape_of(m->source, m->length, arena);
    m->layer = el_layer_floats_layout(arena, &m->shape);
    m->trace = el_layer_trace_layout(arena, &m->shape, m->length, false);
    m->rows = el_arena_take(arena, SLICE, m->shape.dim * sizeof(float));
}

edgellm_status float_model_open(float_model *m, const el_source *source, uint32_t length,
                                edgellm_error *err)
{
    *m = (float_model){.source = source, .length = length, .arena = el_arena_measure()};
    layout(m, &m->arena);
    EL_TRY(el_arena_reserve(&m->arena, m->arena.used, err));
    layout(m, &m->arena);
    return EDGELLM_OK;
}

void float_model_close(float_model *m)
{
    el_arena_release(&m->arena);
}

void float_model_embed(const float_model *m, const uint32_t *tokens, float *x)
{
    for (uint32_t i = 0; i < m->length; i++)
        el_source_embed(m->source, tokens[i], x + (size_t)i * m->shape.dim);
}

edgellm_status float_model_hidden(const float_model *m, const uint32_t *tokens, float *hidden,
                                  edgellm_error *err)
{
    el_layer_weights w = {0};
    el_layer_trace t = m->trace;
    float *x = hidden;
    for (int p = 0; p < EL_PARTS; p++)
        w.part[p] = m->layer.part[p];
    for (int i = 0; i < EL_NORMS; i++)
        w.norm[i] = m->layer.norm[i];
    float_model_embed(m, tokens, x);
    for (uint32_t layer = 0; layer < m->source->config.layers; layer++) {
        EL_TRY(el_source_load_layer(m->source, layer, &m->layer, err));
        el_source_fixed(m->source, layer, &w);
        el_layer_forward(&m->shape, &w, x, m->length, &t, x);
    }
    EL_TRY(el_source_load(m->source->output_norm, m->layer.norm[0], err));
    el_rms_norm(x, m->layer.norm[0], m->length, m->shape.dim, m->shape.eps, hidden);
    return EDGELLM_OK;
}

void float_model_logits(const float_model *m, const float *hidden, float *logits)
{
    uint32_t vocab = m->source->config.vocab, dim = m->shape.dim;
    for (uint32_t first = 0; first < vocab; first += SLICE) {
        uint32_t n = vocab - first < SLICE ? vocab - first : SLICE;
        el_source_rows(m->source->head, first, n, m->rows);
        for (uint32_t i = 0; i < m->length; i++)
            el_linear(hidden + (size_t)i * dim, m->rows, 1, n, dim, false,
                      logits + (size_t)i * vocab + first);
    }
    el_source_cap(m->source, logits, m->length * vocab);
}

/* ---- distance ---------------------------------------------------------------------------- */

static double log_total(const float *x, uint32_t n)
{
    double top = x[0], sum = 0;
    for (uint32_t i = 0; i < n; i++)
        top = fmax(top, x[i]);
    for (uint32_t i = 0; i < n; i++)
        sum += exp(x[i] - top);
    // cppcheck-suppress invalidFunctionArg ; the sum holds exp(0)
    return top + log(sum);
}

static double divergence(const float *theirs, const float *ours, uint32_t n)
{
    double theirs_total = log_total(theirs, n), ours_total = log_total(ours, n), sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        double log_p = theirs[i] - theirs_total;
        sum += exp(log_p) * (log_p - (ours[i] - ours_total));
    }
    return sum;
}

static edgellm_status evaluate(const edgellm_engine *engine, const uint32_t *tokens, uint32_t n,
                               float *logits, edgellm_error *err)
{
    edgellm_session *session;
    const edgellm_session_options options = {.context = n, .threads = 1, .exact = true};
    EL_TRY(edgellm_session_open(engine, &options, &session, err));
    edgellm_status status = edgellm_session_eval(session, tokens, n, logits, err);
    edgellm_session_close(session);
    return status;
}

static edgellm_status compare(const float_model *m, const edgellm_engine *engine,
                              const uint32_t *tokens, float *memory, float_distance *d,
                              edgellm_error *err)
{
    uint32_t vocab = m->source->config.vocab;
    float *theirs = memory, *ours = theirs + (size_t)m->length * vocab;
    float *hidden = ours + (size_t)m->length * vocab;
    EL_TRY(evaluate(engine, tokens, m->length, theirs, err));
    EL_TRY(float_model_hidden(m, tokens, hidden, err));
    float_model_logits(m, hidden, ours);
    for (uint32_t i = 0; i < m->length; i++) {
        double kl = divergence(theirs + (size_t)i * vocab, ours + (size_t)i * vocab, vocab);
        d->sum += kl;
        d->largest = fmax(d->largest, kl);
        d->positions++;
    }
    return EDGELLM_OK;
}

edgellm_status float_model_compare(const float_model *m, const edgellm_engine *engine,
                                   const uint32_t *tokens, float_distance *distance,
                                   edgellm_error *err)
{
    size_t row = 2 * (size_t)m->source->config.vocab + m->shape.dim;
    float *memory = calloc(m->length, row * sizeof *memory);
    if (!memory) {
        return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory: %zu bytes of logits",
                       m->length * row * sizeof *memory);
    }
    edgellm_status status = compare(m, engine, tokens, memory, distance, err);
    free(memory);
    return status;
}
