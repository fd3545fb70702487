/*
 * plan.h: what fits into a given size, from a model's numbers alone: no weights are looked at, so
 * nothing is said about how good a file of that size would be.
 */
#ifndef EL_QUANT_PLAN_H
#define EL_QUANT_PLAN_H

#include "base/error.h"
#include "quant/round.h" /* EL_ROUND_TERNARY */
#include "quant/size.h"

typedef struct el_plan_model {
    const char *architecture; /* "llama", "qwen2" */
    uint32_t layers, dim, ffn_dim;
    uint32_t heads, kv_heads, head_dim, vocab;
    bool tied_embedding; /* the embedding is the head too */
    bool qkv_bias;
    uint64_t tokenizer_bytes; /* of the sections vocab and template; an estimate will do */
} el_plan_model;

/* The manifest is not written yet: this much is allowed for. */
#define EL_PLAN_MANIFEST_BYTES 1024

/* Numbers of bits that a uniform file mixes, as el_round_codec() takes them: 1, EL_ROUND_TERNARY
 * for 1.6, 2, 3, 4, 8. Calibration makes those from the index EL_PLAN_CALIBRATED on. */
enum { EL_PLAN_LEVELS = 6, EL_PLAN_CALIBRATED = 2 };
extern const unsigned el_plan_bits[EL_PLAN_LEVELS];

/* The form of a level: symmetric, byte scales, groups of 128. That of 1 bit is the smallest. */
el_size_form el_plan_form(unsigned bits);

/* What of the body fits when the embedding (and a head of its own) has so many bits. */
typedef struct el_plan_mix {
    unsigned embedding_bits;      /* 0: mixed like the body */
    uint64_t least_bytes;         /* of a file with 1 bit in the body */
    bool fits;                    /* 1 bit does; the shares below are 0 if not */
    double share[EL_PLAN_LEVELS]; /* of the weights mixed, at each level; at most two are not 0 */
} el_plan_mix;

enum { EL_PLAN_MIXES = EL_PLAN_LEVELS + 1 };

typedef struct el_plan {
    uint64_t size;         /* asked for */
    uint64_t vector_bytes; /* norms and biases, with their padding */
    uint64_t frame_bytes;  /* header, section table, directory, manifest, padding */
    uint64_t fixed_bytes;  /* these and the tokenizer: what no codec changes */
    uint64_t body_weights, embedding_weights; /* of matrices */
    double bits_left;                         /* a weight; 0 if not even the fixed bytes fit */
    uint64_t smallest_bytes;                  /* of a file with 1 bit throughout */
    uint64_t calibrated_bytes;                /* with 2, the least that is calibrated */
    bool fits;                                /* the smallest does */
    el_plan_mix mixes[EL_PLAN_MIXES];
} el_plan;

/* Bytes of the file of a model that el_plan_make() takes; the two forms are the body's and the
 * embedding's. 0: no file can hold it. */
uint64_t el_plan_bytes(const el_plan_model *model, const el_size_form *body,
                       const el_size_form *embedding);

/* Errors: FORMAT (numbers out of range), UNSUPPORTED (the architecture). */
edgellm_status el_plan_make(const el_plan_model *model, uint64_t size, el_plan *plan,
                            edgellm_error *err);

#endif
