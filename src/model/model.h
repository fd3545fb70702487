/*
 * model.h: the weights of a model, found in a TM2 file and checked for shape, ready to compute.
 * Immutable; points into the mapping. An architecture is one file and one row of the table in
 * model.c.
 */
#ifndef EL_MODEL_MODEL_H
#define EL_MODEL_MODEL_H

#include "base/arena.h"
#include "format/tm2.h"
#include "format/tma.h"
#include "model/table.h"

typedef struct el_model el_model;
typedef struct el_forward el_forward;

/* The gate's function; GELU in its tanh form. */
typedef enum el_gate { EL_GATE_SILU, EL_GATE_GELU, EL_GATE_RELU2 } el_gate;

typedef struct el_architecture el_architecture;
struct el_architecture {
    const char *name; /* as in the file */
    /* Finds the layers' tensors. Errors: FORMAT, naming the tensor. */
    edgellm_status (*load)(el_model *model, const el_tm2 *file, edgellm_error *err);
    /* Is this tensor, without "blk.N." before it, one of those? */
    bool (*has)(const el_architecture *a, const char *part);
    /* Computes all layers for the batch in f->x; run by every member of the crew. */
    void (*layers)(el_forward *f, unsigned member, unsigned size);
    unsigned extra;    /* what its layers have more (decoder.h) */
    uint32_t unturned; /* of so many layers the last turns no positions; 0: all turn them */
    el_gate gate;
    bool scales_embedding; /* by sqrt(dim) */
};

typedef struct el_layer {
    const float *attn_norm;       /* (dim) */
    el_matrix wq;                 /* (heads * head_dim, dim) */
    el_matrix wk, wv;             /* (kv_heads * head_dim, dim) */
    const float *q_bias;          /* (heads * head_dim), of what wq gives; NULL: none */
    const float *k_bias, *v_bias; /* (kv_heads * head_dim), likewise */
    const float *q_norm, *k_norm; /* (head_dim), of each head; NULL: none */
    const float *attn_sub_norm;   /* (heads * head_dim), of what wo meets; NULL: none */
    el_matrix wo;                 /* (dim, heads * head_dim) */
    const float *attn_post_norm;  /* (dim), of what wo gives; NULL: none */
    const float *ffn_norm;        /* (dim) */
    el_matrix gate, up;           /* (ffn_dim, dim) */
    const float *ffn_sub_norm;    /* (ffn_dim), of what down meets; NULL: none */
    el_matrix down;               /* (dim, ffn_dim) */
    const float *ffn_post_norm;   /* (dim), of what down gives; NULL: none */
    bool local;                   /* attends to the last config.window positions alone */
    bool unturned;                /* keys and queries are not turned by their positions */
} el_layer;

struct el_model {
    const el_architecture *architecture;
    el_config config;
    el_table embedding;       /* (vocab, dim) */
    el_table head;            /* (vocab, dim); the embedding itself if the file has no other */
    const float *output_norm; /* (dim) */
    /* (rotary_dim / 2) by which wave lengths are longer; NULL: by none */
    const float *rope_factors;
    const float *rope_long; /* the same in contexts above config.rope_context; NULL: as in others */
    el_layer *layers;       /* (config.layers), in the arena */
    float embedding_scale, attention_scale; /* by which rows and scores are multiplied */
    unsigned rotations;                     /* those of the matrices that inputs meet, a bit each */
    const el_lora *loras;                   /* (n_loras) the adapters that sessions may have */
    uint32_t n_loras;
    uint64_t token_bytes; /* of weights that are read to compute one token */
};

enum { EL_ARCHITECTURE_NAMES = 256 };

/* The row of an architecture; NULL: there is none. */
const el_architecture *el_architecture_of(const char *name);

/* The names of all, commas between them, for messages. */
void el_architecture_names(char names[EL_ARCHITECTURE_NAMES]);

/* Are these numbers that can be computed with? Errors: FORMAT, UNSUPPORTED. */
edgellm_status el_model_check(const el_config *config, edgellm_error *err);

/* Does such a model have this tensor? What it has not would be left out, though it may change what
 * the model says. Errors: UNSUPPORTED. */
edgellm_status el_model_check_tensor(const el_config *config, const char *name, edgellm_error *err);

/* Fills in the model; on a measuring arena only counts. Errors: FORMAT, UNSUPPORTED. */
edgellm_status el_model_load(el_model *model, const el_tm2 *file, el_arena *arena,
                             edgellm_error *err);

#endif
