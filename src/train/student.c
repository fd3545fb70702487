#include "train/student.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A piece of the embedding or the head. */
static el_extent table_extent(const el_source *s, uint32_t index)
{
    uint32_t pieces = el_source_pieces(s), piece = index % pieces;
    el_extent e = {.tensor = index < pieces ? s->embedding : s->head};
    e.first = piece ? s->cuts[piece - 1] : 0;
    e.rows = (piece + 1 < pieces ? s->cuts[piece] : e.tensor->rows) - e.first;
    const char *end = strstr(e.tensor->name, ".weight");
    int stem = end ? (int)(end - e.tensor->name) : (int)strlen(e.tensor->name);
    snprintf(e.name, sizeof e.name, "%.*s%s", stem, e.tensor->name, el_table_endings[piece]);
    return e;
}

el_extent el_student_extent(const el_source *source, uint32_t index)
{
    uint32_t tables = el_student_tables(source);
    if (index < tables) return table_extent(source, index);
    index -= tables;
    const el_gguf_tensor *t = el_source_part(source, index / EL_PARTS, (int)(index % EL_PARTS));
    el_extent e = {.tensor = t, .rows = t->rows};
    snprintf(e.name, sizeof e.name, "%s", t->name);
    return e;
}

static el_latent latent_layout(const el_student *s, uint32_t index, el_arena *arena)
{
    const el_extent e = el_student_extent(s->source, index);
    const el_form *form = &s->forms[index];
    el_latent l = el_latent_layout(arena, e.rows, e.tensor->cols, form->codec, form->group);
    l.rotated = form->rotated;
    l.kept = form->kept;
    return l;
}

static el_latent_table table_layout(const el_student *s, uint32_t index, el_arena *arena)
{
    el_latent_table t = {.pieces = el_source_pieces(s->source)};
    for (uint32_t i = 0; i < t.pieces; i++)
        t.piece[i] = latent_layout(s, index + i, arena);
    return t;
}

void el_student_layout(el_student *s, el_arena *arena)
{
    uint32_t layers = s->source->config.layers, tables = el_student_tables(s->source);
    s->tied = s->source->head == s->source->embedding;
    s->layers = el_arena_take(arena, layers, sizeof *s->layers);
    s->embedding = table_layout(s, 0, arena);
    if (!s->tied) s->head = table_layout(s, s->embedding.pieces, arena);
    for (uint32_t i = 0; i < layers * EL_PARTS; i++) {
        el_latent l = latent_layout(s, tables + i, arena);
        if (arena->base) s->layers[i / EL_PARTS][i % EL_PARTS] = l;
    }
    s->norms = el_arena_take(arena, 2 * (size_t)layers + 1, s->shape->dim * sizeof(float));
}

/* Latents begin with u, and what is laid out next begins where they end. */
static el_span span_between(const void *begin, const void *end)
{
    return (el_span){(void *)(uintptr_t)begin, (size_t)((const char *)end - (const char *)begin)};
}

el_span el_student_layer_span(const el_student *s, uint32_t layer)
{
    bool last = layer + 1 == s->source->config.layers;
    return span_between(s->layers[layer][0].u, last ? (void *)s->norms : s->layers[layer + 1][0].u);
}

el_span el_student_ends_span(const el_student *s)
{
    return span_between(s->embedding.piece[0].u, s->layers[0][0].u);
}

static edgellm_status put_matrix(const el_latent *l, const char *name, uint32_t group,
                                 el_tm2_writer *writer, edgellm_error *err)
{
    el_matrix_layout layout;
    if (el_matrix_measure(l->rows, l->cols, l->codec, EL_SCALE_BYTE, group, &layout)) {
        return el_fail(err, EDGELLM_ERR_INTERNAL, "tensor '%s' has no layout", name);
    }
    uint8_t *data = aligned_alloc(EL_ALIGN, (size_t)layout.bytes);
    if (!data) {
        return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory: tensor '%s' needs %llu bytes", name,
                       (unsigned long long)layout.bytes);
    }
    memset(data, 0, (size_t)layout.bytes);
    el_latent_pack(l, data);
    const el_tensor tensor = {.name = name,
                              .rows = l->rows,
                              .cols = l->cols,
                              .group = group,
                              .codec = (uint8_t)l->codec,
                              .scale_kind = EL_SCALE_BYTE,
                              .rotation = l->rotated ? EL_ROTATION_HADAMARD64 : EL_ROTATION_NONE,
                              .data = data,
                              .bytes = layout.bytes};
    edgellm_status status = el_tm2_put(writer, &tensor, err);
    free(data);
    return status;
}

static edgellm_status put_vector(const char *name, const float *vector, uint32_t cols,
                                 el_tm2_writer *writer, edgellm_error *err)
{
    const el_tensor tensor = {.name = name,
                              .rows = 1,
                              .cols = cols,
                              .codec = EL_CODEC_F32,
                              .data = (const uint8_t *)vector,
                              .bytes = cols * sizeof *vector};
    return el_tm2_put(writer, &tensor, err);
}

static edgellm_status put_norms(const el_student *s, uint32_t layer, el_tm2_writer *writer,
                                edgellm_error *err)
{
    for (int i = 0; i < EL_NORMS; i++) {
        const el_gguf_tensor *t = el_source_norm(s->source, layer, i);
        EL_TRY(put_vector(t->name, el_student_norm(s, layer, i), s->shape->dim, writer, err));
    }
    return EDGELLM_OK;
}

static edgellm_status put_fixed(const el_student *s, uint32_t layer, el_tm2_writer *writer,
                                edgellm_error *err)
{
    el_layer_weights w;
    el_source_fixed(s->source, layer, &w);
    for (int i = 0; i < EL_FIXED; i++) {
        char name[EL_TENSOR_NAME_BYTES];
        if (!w.fixed[i]) continue;
        snprintf(name, sizeof name, "blk.%u.%s", layer, el_fixed_names[i]);
        EL_TRY(put_vector(name, w.fixed[i], el_fixed_cols(s->shape, i), writer, err));
    }
    return EDGELLM_OK;
}

static edgellm_status put_factors(const el_source *s, el_tm2_writer *writer, edgellm_error *err)
{
    for (int i = 0; i < EL_FACTORS; i++) {
        if (!s->factors[i]) continue;
        EL_TRY(
            put_vector(el_factor_names[i], s->factors[i], s->config.rotary_dim / 2, writer, err));
    }
    return EDGELLM_OK;
}

static const el_latent *latent_of(const el_student *s, uint32_t index)
{
    uint32_t tables = el_student_tables(s->source), pieces = s->embedding.pieces;
    if (index < pieces) return &s->embedding.piece[index];
    if (index < tables) return &s->head.piece[index - pieces];
    return &s->layers[(index - tables) / EL_PARTS][(index - tables) % EL_PARTS];
}

edgellm_status el_student_write(const el_student *s, el_tm2_writer *writer, edgellm_error *err)
{
    uint32_t layers = s->source->config.layers;
    for (uint32_t i = 0; i < el_student_count(s->source); i++) {
        const el_extent e = el_student_extent(s->source, i);
        EL_TRY(put_matrix(latent_of(s, i), e.name, s->forms[i].group, writer, err));
    }
    for (uint32_t i = 0; i < layers; i++)
        EL_TRY(put_norms(s, i, writer, err));
    for (uint32_t i = 0; i < layers; i++)
        EL_TRY(put_fixed(s, i, writer, err));
    EL_TRY(put_factors(s->source, writer, err));
    return put_vector(s->source->output_norm->name, el_student_norm(s, layers, 0), s->shape->dim,
                      writer, err);
}
