/* compress_layers.c: layer by layer, then as a whole. */
#include <stdio.h>
#include <string.h>

#include "train/compress_run.h"
#include "train/layerwise.h"
#include "train/tune.h"

static const el_recipe recipe = {.correction = 0.5f,
                                 .residual = 0.5f,
                                 .correction_damping = 0.1f,
                                 .damping = 0.01f,
                                 .batch = EL_STEP_SEQUENCES,
                                 .rate_u = 0.005f,
                                 .rate_scale = 0.003f};

/* The two streams as they enter the first layer. */
static void begin_streams(const el_run *r, el_layerwise *w)
{
    uint32_t dim = r->shape.dim;
    for (size_t t = 0; t < (size_t)w->sequences * w->length; t++) {
        uint32_t token = r->text.tokens[t];
        el_source_embed(&r->source, token, w->source_in + t * dim);
        el_latent_table_weights(&r->student.embedding, token, 1, w->ours_in + t * dim);
        el_source_scale(&r->source, w->ours_in + t * dim);
    }
}

static edgellm_status do_layer(el_run *r, el_layerwise *w, uint32_t layer, edgellm_error *err)
{
    el_span span = el_student_layer_span(&r->student, layer);
    el_layer_report report = {0};
    EL_TRY(el_source_load_layer(&r->source, layer, &w->source, err));
    el_source_fixed(&r->source, layer, &w->source_weights);
    el_source_fixed(&r->source, layer, &w->weights);
    for (int i = 0; i < EL_NORMS; i++) {
        memcpy(el_student_norm(&r->student, layer, i), w->source.norm[i],
               r->shape.dim * sizeof(float));
    }
    w->latents = r->student.layers[layer];
    if (el_journal_take(&r->journal, EL_RECORD_LAYER + layer, span.data, span.bytes)) {
        el_layerwise_pass(w);
        return EDGELLM_OK;
    }
    EL_TRY(el_layerwise_run(w, &report, err));
    r->result.error_rounded += report.rounded / r->source.config.layers;
    if (w->recipe->epochs) r->result.error_trained += report.trained / r->source.config.layers;
    return el_journal_add(&r->journal, EL_RECORD_LAYER + layer, span.data, span.bytes, err);
}

edgellm_status el_run_layers(el_run *r, edgellm_error *err)
{
    el_recipe how = recipe;
    how.epochs = r->options->epochs;
    uint32_t layers = r->source.config.layers;
    el_layerwise w = {.recipe = &how,
                      .shape = &r->shape,
                      .crew = r->crew,
                      .members = r->members,
                      .sequences =
                          r->sequences < EL_LAYER_SEQUENCES ? r->sequences : EL_LAYER_SEQUENCES,
                      .length = r->text.length};
    if (how.batch > w.sequences) how.batch = w.sequences;
    double cost = (double)w.sequences * w.length * (EL_COST_LAYERS + EL_COST_EPOCH * how.epochs);
    el_arena arena = el_arena_measure();
    el_layerwise_layout(&w, &arena);
    EL_TRY(el_arena_reserve(&arena, arena.used, err));
    el_layerwise_layout(&w, &arena);
    begin_streams(r, &w);
    edgellm_status status = EDGELLM_OK;
    for (uint32_t i = 0; i < layers && status == EDGELLM_OK; i++) {
        char stage[48];
        snprintf(stage, sizeof stage, "layer %u of %u", i + 1, layers);
        status = el_run_tell(r, stage, cost * i / layers, err);
        if (status == EDGELLM_OK) status = do_layer(r, &w, i, err);
    }
    el_arena_release(&arena);
    r->done += cost;
    return status;
}

static edgellm_status run_steps(el_run *r, el_tune *t, uint32_t *order, edgellm_error *err)
{
    uint32_t per_epoch = t->sequences / t->batch;
    double cost = (double)t->batch * t->length * EL_COST_TUNE;
    uint32_t eighth = t->steps / 8 + 1;
    for (uint32_t step = 0; step < t->steps; step++) {
        char stage[64];
        snprintf(stage, sizeof stage, "step %u of %u", step + 1, t->steps);
        EL_TRY(el_run_tell(r, stage, cost * step, err));
        if (step % per_epoch == 0) el_shuffle(order, t->sequences, step + 1);
        double kl = el_tune_step(t, step, order + (size_t)(step % per_epoch) * t->batch);
        if (step < eighth) r->result.kl_first += kl / eighth;
        if (step + eighth >= t->steps) r->result.kl_last += kl / eighth;
    }
    r->done += cost * t->steps;
    return EDGELLM_OK;
}

edgellm_status el_run_tune(el_run *r, edgellm_error *err)
{
    el_tune t = {.source = &r->source,
                 .shape = &r->shape,
                 .student = &r->student,
                 .crew = r->crew,
                 .members = r->members,
                 .sequences = r->sequences,
                 .length = r->text.length,
                 .batch = r->sequences < EL_STEP_SEQUENCES ? r->sequences : EL_STEP_SEQUENCES,
                 .tokens = r->text.tokens,
                 .teacher = r->hidden,
                 .steps = r->options->steps,
                 .rate_u = 0.0004f,
                 .rate_scale = 0.001f,
                 .rate_norm = 0.001f};
    if (t.steps == 0) return EDGELLM_OK;
    el_arena arena = el_arena_measure();
    el_tune_layout(&t, &arena);
    size_t order = (size_t)t.sequences * sizeof(uint32_t);
    EL_TRY(el_arena_reserve(&arena, arena.used + order + EL_ALIGN, err));
    el_tune_layout(&t, &arena);
    edgellm_status status = run_steps(r, &t, el_arena_take(&arena, 1, order), err);
    el_arena_release(&arena);
    return status;
}
