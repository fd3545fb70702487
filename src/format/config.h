/* config.h: the numbers that make a model, as the importers find them and the file keeps them. */
#ifndef EL_FORMAT_CONFIG_H
#define EL_FORMAT_CONFIG_H

#include <stdint.h>

#define EL_ARCHITECTURE_BYTES 24
#define EL_NAME_BYTES         96

typedef struct el_config {
    char architecture[EL_ARCHITECTURE_BYTES]; /* "llama", NUL-padded */
    char name[EL_NAME_BYTES];                 /* of the model, NUL-padded, may be "" */
    uint32_t layers, dim, ffn_dim;
    uint32_t heads, kv_heads, head_dim, rotary_dim;
    uint32_t vocab, context; /* context: the longest it was trained for */
    float rope_base, norm_eps;
    /* 0 where a model has no such thing */
    uint32_t window;  /* positions that a local layer attends to, its own included */
    uint32_t pattern; /* of so many layers the last attends to all, those before it are local */
    float local_rope_base; /* of local layers; 0: rope_base */
    float rope_factor; /* by which positions are divided, but not in layers of local_rope_base */
    float attention_scale;          /* of scores; 0: 1 / sqrt(head_dim) */
    float attention_cap, logit_cap; /* soft caps of scores and logits */
    uint32_t rope_context;          /* the longest that short rope factors are for */
    float rope_gain;                /* of sines and cosines; 0: 1 */
    float yarn_fast, yarn_slow; /* turns in rope_context: with more than yarn_fast positions are not
                                   divided, with less than yarn_slow they are wholly; 0: all are */
} el_config;

/* What a tensor's side is as wide as. */
typedef enum el_side {
    EL_SIDE_ONE, /* of rows: it is a vector */
    EL_SIDE_DIM,
    EL_SIDE_FFN,
    EL_SIDE_QUERIES, /* heads * head_dim */
    EL_SIDE_KEYS,    /* kv_heads * head_dim */
    EL_SIDE_FUSED,   /* queries, keys and values, one behind another */
    EL_SIDE_TWO_FFN, /* gate and up likewise */
    EL_SIDE_HEAD,    /* head_dim */
    EL_SIDE_VOCAB,
    EL_SIDES
} el_side;

uint32_t el_config_side(const el_config *config, el_side side);

#endif
