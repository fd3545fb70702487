/*
 * student.h: the compressed model while it is being made: a latent for every matrix, floats for
 * the norms, in one range of memory; and its way into a TM2 file.
 */
#ifndef EL_TRAIN_STUDENT_H
#define EL_TRAIN_STUDENT_H

#include "train/latent_table.h"
#include "train/source.h"
#include "train/span.h"

typedef struct el_form {
    el_codec codec;
    uint32_t group; /* 32, 64, 128; 0: the row */
    bool rotated;   /* hadamard.h: cols is a multiple of 64. The same for all that are not kept */
                    /* where inputs are shared */
    bool kept;      /* weights stay where the source has them, each is rounded by itself */
} el_form;

/*
 * Matrices are numbered: the pieces of the embedding, those of the head if it is not the embedding,
 * the parts of layer 0, of layer 1 ...
 */
typedef struct el_student {
    const el_source *source;
    const el_layer_shape *shape;
    const el_form *forms; /* (el_student_count()) */
    bool tied;
    el_latent_table embedding, head; /* head: not used if tied */
    el_latent (*layers)[EL_PARTS];   /* (layers) */
    float *norms;                    /* (2 * layers + 1, dim): two of each layer, the output's */
} el_student;

/* How many are pieces of tables, which come first; how many there are. */
static inline uint32_t el_student_tables(const el_source *source)
{
    return el_source_pieces(source) * (source->head != source->embedding ? 2 : 1);
}

static inline uint32_t el_student_count(const el_source *source)
{
    return el_student_tables(source) + source->config.layers * EL_PARTS;
}

/* What a matrix is made from: some rows of a tensor. */
typedef struct el_extent {
    const el_gguf_tensor *tensor;
    uint32_t first, rows;
    char name[EL_TENSOR_NAME_BYTES]; /* in the file */
} el_extent;
el_extent el_student_extent(const el_source *source, uint32_t index);

/* Takes the memory; source, shape and forms are set. */
void el_student_layout(el_student *student, el_arena *arena);

/* The table that gives logits. */
static inline el_latent_table *el_student_head(el_student *s)
{
    return s->tied ? &s->embedding : &s->head;
}

/* Memory of one layer's latents. */
el_span el_student_layer_span(const el_student *student, uint32_t layer);
el_span el_student_ends_span(const el_student *student); /* of the embedding and the head */

/* The two norms of a layer, (dim) each; of layer `layers` the first is the output's. */
static inline float *el_student_norm(const el_student *s, uint32_t layer, int which)
{
    return s->norms + ((size_t)layer * 2 + (uint32_t)which) * s->shape->dim;
}

/* Puts all tensors. */
edgellm_status el_student_write(const el_student *student, el_tm2_writer *writer,
                                edgellm_error *err);

#endif
