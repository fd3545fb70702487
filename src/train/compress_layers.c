/* compress_layers.c: layer by layer. */
#include <stdio.h>
#include <string.h>

#include "train/compress_run.h"
#include "train/layerwise.h"

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
