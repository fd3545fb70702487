/*
 * forward.h: the working memory of one session's computation, and the blocks that architectures
 * are built from. A block is run by every member of the crew at once; each computes its share of
 * the output and the blocks meet at barriers, so no result depends on the number of threads.
 *
 * A batch is n tokens, each at its place: a position of some sequence. Tokens of one sequence stand
 * in the order of their positions.
 */
#ifndef EL_MODEL_FORWARD_H
#define EL_MODEL_FORWARD_H

#include "base/threads.h"
#include "kernel/kernels.h"
#include "model/model.h"

/* Rotary angles are exact up to here (el_sincos() in base/detmath.h). */
#define EL_CONTEXT_MAX (1u << 20)

/* Of exact mode: (positions, head_dim) each. */
typedef struct el_exact_kv {
    float *keys, *values;
} el_exact_kv;

/*
 * The KV cache: planes of codes per (layer, kv head), or float32 in exact mode. Local layers keep a
 * ring of positions, if it is shorter than the context: position p lies at p mod ring. It holds the
 * window of every token of a batch, so that what is overwritten is never looked at again, unless a
 * text is cut: el_cache_reaches().
 */
typedef struct el_cache {
    el_kv *planes;      /* (layers, kv_heads); NULL in exact mode */
    el_exact_kv *exact; /* (layers, kv_heads); exact mode only */
    uint32_t kv_heads;
    uint32_t padded; /* positions that attention computes for every token; 0: those there are */
    uint32_t ring;   /* positions, a multiple of 64; 0: local layers keep the whole context too */
    uint32_t kept;   /* the first position that local layers still hold */
} el_cache;

/* Where a position lies in the planes of a layer. */
static inline uint32_t el_cache_at(const el_cache *cache, bool local, uint32_t position)
{
    return local && cache->ring != 0 ? position % cache->ring : position;
}

/* Where a token of a batch stands. */
typedef struct el_place {
    el_cache *cache; /* of its sequence */
    uint32_t position;
    const float *scales; /* (model->n_loras) of its adapters; 0: without it */
} el_place;

/* Of positions, for rotary embedding: (context, rotary_dim / 2) each. */
typedef struct el_angles {
    float *cosine, *sine;
} el_angles;

/* What matrices of one rotation meet. */
typedef struct el_input {
    float *exact; /* (batch, widest input of a matrix); exact mode only */
    el_acts acts; /* the same, quantised; not in exact mode */
} el_input;

struct el_forward {
    const el_model *model;
    const el_kernels *kernels;
    el_crew *crew;
    uint32_t context, batch, threads;
    uint32_t room; /* most tokens of a batch, of this or of another forward, that its cache takes */
    uint32_t kv_bits; /* of the cache: 16, 8 or 4; not in exact mode */
    bool exact;
    bool constant_time; /* not in exact mode */

    el_cache cache;
    el_angles angles;       /* of positions */
    el_angles local_angles; /* in local layers: the same, if the model has no others */
    float *x;               /* (batch, dim) the residual stream */
    float *h;               /* (batch, dim or heads * head_dim): becomes an input, and is used up */
    el_input input[EL_ROTATIONS]; /* those that the model has */
    float *q;                     /* (batch, heads * head_dim) */
    float *k, *v;                 /* (batch, kv_heads * head_dim) */
    float *gate, *up;             /* (batch, ffn_dim); where q, and k and v, were */
    float *y;                     /* (batch, dim) what a block adds to the stream */
    float *scores;                /* (threads, el_forward_scores()) */
    float *row;                   /* (threads, widest input): a dequantised row; exact mode only */
    float *logits;                /* (vocab) after the last token */
    /* of adapters, if the model has some: */
    float *scales; /* (n_loras) this sequence's */
    float *plain;  /* (batch, widest input): the input as it was, as floats and not rotated */
    float *low;    /* (batch, low_width): what their first matrices made of it */
    uint32_t low_width;

    /* the batch being computed */
    const uint32_t *tokens; /* (n) */
    el_place *places;       /* (batch), n of them set */
    uint32_t n;
    uint32_t head_first; /* logits are wanted for tokens head_first .. n-1; n: none */
    float *head_out;     /* where those go, (n - head_first, vocab) */
    uint64_t deadline;   /* nanoseconds of CLOCK_MONOTONIC; 0: none */
    bool adapted;        /* a token of it has an adapter */
    bool stopped;        /* it passed meanwhile: there is no result */
};

/* What the memory is used for, in bytes. */
typedef struct el_forward_bytes {
    size_t kv_cache, scratch;
} el_forward_bytes;

/* Lays the working memory out in `arena` (measuring or real) and fills in the tables. The fields
 * model, kernels, context, batch, threads, room, kv_bits, exact and constant_time are set before;
 * crew at any time. */
el_forward_bytes el_forward_layout(el_forward *f, el_arena *arena);

/* Of the cache: one for each (layer, kv head). */
uint32_t el_forward_planes(const el_forward *f);

/* Floats that attention needs for the scores of each member. */
size_t el_forward_scores(const el_forward *f);

/* Computes one batch: embedding, the architecture's layers, head. A layer leaves what its last
 * block adds in y; the next norm adds it to x. (tokens, places, n, head_first, head_out and
 * deadline are set.) If it stopped, the cache holds what nobody asked for at the places of the
 * batch, and head_out is as it was. */
void el_forward_run(el_forward *f);

/* ---- blocks: called by every member ------------------------------------------------------- */

/* Where a block makes an input, `rotations` are those of the matrices that meet it, a bit each. */

typedef struct el_norm {
    const float *weight; /* (dim) */
    bool add;            /* x += y first */
    const float *post;   /* (dim): and before that, y = rms_norm(y) * post; NULL: not */
} el_norm;

/* The input rms_norm(x) * weight for each token. Ends with a barrier. */
void el_block_norm(el_forward *f, const el_norm *norm, unsigned rotations, unsigned member,
                   unsigned size);

/* out (n, rows) = the input times one matrix; no barrier: several may follow one another. */
void el_block_project(el_forward *f, const el_matrix *m, float *out, unsigned member,
                      unsigned size);

/* Of adapters of `count` parts of a layer, from `first` on, that meet the input that was just made:
 * their first matrices. Ends with a barrier; does nothing if no token has one. */
void el_block_lower(el_forward *f, uint32_t layer, el_lora_part first, uint32_t count,
                    unsigned member, unsigned size);

/* And of one of them, the `index`-th there, the second: added to the rows of out that this member
 * has just projected. */
void el_block_raise(el_forward *f, uint32_t layer, el_lora_part part, uint32_t index, float *out,
                    unsigned member, unsigned size);

/* The logits: the same for the head, out (n, vocab), each part at its columns; capped where the
 * model caps them. */
void el_block_project_head(el_forward *f, const el_table *head, float *out, unsigned member,
                           unsigned size);

/* Biases and norms of q, k and v where the layer has such, rotary embedding of q and k, cache, and
 * grouped-query attention of one layer: from q, k, v to an input of width heads * head_dim, normed
 * where the layer has a norm of it. Starts and ends with a barrier. */
void el_block_attention(el_forward *f, uint32_t layer, unsigned rotations, unsigned member,
                        unsigned size);

/* Ends a layer, with a barrier: has the deadline passed? Then no member goes on. */
bool el_block_layer_ends(el_forward *f, unsigned member);

/* SwiGLU, GEGLU (Shazeer 2020) or the same with ReLU squared, of gate and up: an input of width
 * ffn_dim, normed by `norm` (ffn_dim) if that is not NULL. Starts and ends with a barrier. */
void el_block_gate(el_forward *f, const float *norm, unsigned rotations, unsigned member,
                   unsigned size);

#endif
