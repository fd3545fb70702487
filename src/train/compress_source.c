/* compress_source.c: the calibration text read by the source. */
#include <stdlib.h>

#include "train/compress_run.h"

typedef struct reading {
    el_run *r;
    el_layer_weights weights;
    el_layer_trace *traces; /* (members) */
} reading;

static void embed_piece(void *context, uint32_t sequence, unsigned member)
{
    const reading *p = context;
    uint32_t dim = p->r->shape.dim, length = p->r->text.length;
    size_t first = (size_t)sequence * length;
    (void)member;
    for (size_t t = first; t < first + length; t++)
        el_source_embed(&p->r->source, p->r->text.tokens[t], p->r->hidden + t * dim);
}

static void layer_piece(void *context, uint32_t sequence, unsigned member)
{
    const reading *p = context;
    uint32_t length = p->r->text.length;
    float *x = p->r->hidden + (size_t)sequence * length * p->r->shape.dim;
    el_layer_forward(&p->r->shape, &p->weights, x, length, &p->traces[member], x);
}

static edgellm_status run_layers(reading *p, const el_layer_floats *layer, edgellm_error *err)
{
    el_run *r = p->r;
    uint32_t layers = r->source.config.layers;
    double cost = (double)r->options->sequences * r->options->length * EL_COST_FORWARD;
    el_pieces_run(r->crew, r->text.sequences, embed_piece, p);
    for (uint32_t i = 0; i < layers; i++) {
        EL_TRY(el_run_tell(r, "reading it with the source", cost * i / layers, err));
        EL_TRY(el_source_load_layer(&r->source, i, layer, err));
        for (int k = 0; k < EL_PARTS; k++)
            p->weights.part[k] = layer->part[k];
        for (int k = 0; k < EL_NORMS; k++)
            p->weights.norm[k] = layer->norm[k];
        el_source_fixed(&r->source, i, &p->weights);
        el_pieces_run(r->crew, r->text.sequences, layer_piece, p);
    }
    r->done += cost;
    return EDGELLM_OK;
}

/* Leaves the hidden states that the source's head sees in r->hidden. */
edgellm_status el_run_source(el_run *r, edgellm_error *err)
{
    el_arena arena = el_arena_measure();
    reading p = {.r = r};
    el_layer_floats layer = {0};
    float *norm = NULL;
    edgellm_status status = EDGELLM_OK;
    size_t tokens = (size_t)r->text.sequences * r->text.length;
    r->hidden = malloc(tokens * r->shape.dim * sizeof *r->hidden);
    if (!r->hidden) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for hidden states");
    for (int real = 0; real < 2 && status == EDGELLM_OK; real++) {
        p.traces = el_arena_take(&arena, r->members, sizeof *p.traces);
        for (unsigned m = 0; m < r->members; m++) {
            el_layer_trace t = el_layer_trace_layout(&arena, &r->shape, r->text.length, false);
            if (real) p.traces[m] = t;
        }
        layer = el_layer_floats_layout(&arena, &r->shape);
        norm = el_arena_take(&arena, r->shape.dim, sizeof *norm);
        if (!real) status = el_arena_reserve(&arena, arena.used, err);
    }
    if (status == EDGELLM_OK) status = run_layers(&p, &layer, err);
    if (status == EDGELLM_OK) status = el_source_load(r->source.output_norm, norm, err);
    if (status == EDGELLM_OK) {
        el_rms_norm(r->hidden, norm, (uint32_t)tokens, r->shape.dim, r->shape.eps, r->hidden);
    }
    el_arena_release(&arena);
    return status;
}
