/* source.h: the model to be compressed: floats of its tensors, on demand from the mapped file. */
#ifndef EL_TRAIN_SOURCE_H
#define EL_TRAIN_SOURCE_H

#include "format/gguf.h"
#include "format/tm2.h"
#include "train/float_layer.h"

/* Vectors by which rotary positions turn slower: of all contexts, or of short and of long ones. */
enum { EL_FACTORS_ALL, EL_FACTORS_SHORT, EL_FACTORS_LONG, EL_FACTORS };
extern const char *const el_factor_names[EL_FACTORS]; /* "rope_freqs.weight" ... */

typedef struct el_source {
    el_gguf gguf;
    el_config config;
    el_vocab vocab;                                       /* points into gguf */
    const el_gguf_tensor *embedding, *head, *output_norm; /* head: the embedding if tied */
    /* rows that the second and the third piece of both tables begin with in the file; 0: none */
    uint32_t cuts[EL_TABLE_PARTS - 1];
    float *fixed;                            /* owned: of all layers, what fixed_at says of each */
    size_t fixed_at[EL_FIXED], fixed_floats; /* in a layer's; fixed_at SIZE_MAX: is not there */
    float *factors[EL_FACTORS];              /* owned: (rotary_dim / 2) each; NULL: is not there */
    el_gate gate;
    uint32_t unturned;     /* of so many layers the last turns no positions; 0: all turn them */
    float embedding_scale; /* of rows of the embedding as the first layer meets them */
} el_source;

/* Of each table. */
static inline uint32_t el_source_pieces(const el_source *s)
{
    uint32_t pieces = 1;
    while (pieces < EL_TABLE_PARTS && s->cuts[pieces - 1])
        pieces++;
    return pieces;
}

/* Errors: as el_gguf_open(); UNSUPPORTED (an architecture that the engine does not run, a tensor
 * that its architecture has not); FORMAT (a tensor is missing or has another shape). */
edgellm_status el_source_open(el_source *source, const char *path, edgellm_error *err);
/* The same of whatever `open` opens. */
edgellm_status el_source_open_by(el_source *source, const char *path, el_gguf_opener *open,
                                 edgellm_error *err);
void el_source_close(el_source *source);

/* Rows first .. first + count - 1 of a tensor as floats, (count, cols). */
void el_source_rows(const el_gguf_tensor *tensor, uint32_t first, uint32_t count, float *out);

/* What the first layer meets of a token (dim); the same of a row of a changed embedding, in place.
 */
void el_source_embed(const el_source *source, uint32_t token, float *x);
void el_source_scale(const el_source *source, float *row);

/* Logits as the model gives them, capped where it caps them. */
void el_source_cap(const el_source *source, float *logits, uint32_t n);

/* All floats of one layer. Errors: FORMAT (NaN or infinity, naming tensor and row). */
edgellm_status el_source_load_layer(const el_source *source, uint32_t layer,
                                    const el_layer_floats *into, edgellm_error *err);

/* Reads a whole tensor and checks that it is finite. */
edgellm_status el_source_load(const el_gguf_tensor *tensor, float *out, edgellm_error *err);

/* Reads one row and checks it. */
edgellm_status el_source_load_row(const el_gguf_tensor *tensor, uint32_t row, float *out,
                                  edgellm_error *err);

/* The tensor of a part of a layer, of one of its norms. */
const el_gguf_tensor *el_source_part(const el_source *source, uint32_t layer, int part);
const el_gguf_tensor *el_source_norm(const el_source *source, uint32_t layer, int which);

/* Sets what is fixed in a layer, which lies in the source (NULL: is not there), and its kind. */
void el_source_fixed(const el_source *source, uint32_t layer, el_layer_weights *w);
static inline bool el_source_has_fixed(const el_source *source, int fixed)
{
    return source->fixed && source->fixed_at[fixed] != SIZE_MAX;
}
uint32_t el_source_fixed_cols(const el_source *source, int fixed);

/* How many vectors there are that stay as they are, those of all layers and factors. */
uint32_t el_source_fixed_count(const el_source *source);

#endif
