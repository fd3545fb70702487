/*
 * folder_families.h: the classes of models that can be imported, one row each, and the names of
 * their tensors there and here.
 */
#ifndef EL_FOLDER_FOLDER_FAMILIES_H
#define EL_FOLDER_FOLDER_FAMILIES_H

#include <stdbool.h>
#include <stdint.h>

#include "edgellm.h"
#include "format/config.h"

typedef struct el_folder el_folder;

/* Sets of tensors that layers have, a bit each. */
typedef enum el_folder_set {
    EL_SET_LAYER = 1 << 0,
    EL_SET_TWO_NORMS = 1 << 1,  /* before attention and before feed-forward */
    EL_SET_FOUR_NORMS = 1 << 2, /* and after both */
    EL_SET_HEAD_NORMS = 1 << 3, /* of each head's queries and keys */
    EL_SET_BIASES = 1 << 4,     /* of queries, keys and values */
    EL_SET_APART = 1 << 5,      /* queries, keys, values, gate and up are tensors of their own */
    EL_SET_FUSED = 1 << 6,      /* they lie in two, which el_gguf_split() takes apart */
    EL_SET_SUB_NORMS = 1 << 7,  /* before the last matrix of attention, and of feed-forward */
    EL_SET_INNER_NORMS = 1 << 8 /* the same under the names that 1bitLLM gave them */
} el_folder_set;

typedef enum el_folder_kind {
    EL_PART_PLAIN,
    EL_PART_PAIRS, /* rows of heads that rotary positions turn */
    EL_PART_NORM
} el_folder_kind;

typedef struct el_folder_part {
    const char *theirs, *ours; /* behind "model.layers.N." and "blk.N." */
    el_side rows, cols;
    unsigned sets; /* those that it is in */
    el_folder_kind kind;
} el_folder_part;

struct el_folder_family {
    const char *name;         /* the class, as "architectures" in config.json says it */
    const char *architecture; /* GGUF's and ours */
    unsigned sets;            /* of el_folder_parts */
    bool halves; /* GGUF files have the pairs of rotary positions side by side, the folder apart */
    bool tied;   /* the head is the embedding, unless config.json says otherwise */
    bool one_more;         /* 1 is added to norms before they multiply */
    bool partial;          /* a part of each head may be turned, and longrope scale it */
    bool rounds;           /* matrices are rounded to three levels whenever it computes */
    double eps, rope_base; /* where config.json says none; 0: 1e-6, and what GGUF files mean */
    const char *activation;
    edgellm_status (*more)(el_folder *f); /* puts numbers that others don't have; or NULL */
};

typedef struct el_folder_family el_folder_family;

extern const el_folder_part el_folder_parts[];
extern const unsigned el_folder_n_parts;

/* NULL for a class that is not in the table. */
const el_folder_family *el_folder_family_of(const char *name);

/* "LlamaForCausalLM, ...", cut to `size`. */
void el_folder_family_names(char *list, unsigned size);

/* What families have of their own (folder_more.c). */
edgellm_status el_folder_more_mistral(el_folder *f);
edgellm_status el_folder_more_phi3(el_folder *f);
edgellm_status el_folder_more_smollm3(el_folder *f);
edgellm_status el_folder_more_gemma2(el_folder *f);
edgellm_status el_folder_more_gemma3(el_folder *f);
edgellm_status el_folder_more_bitnet(el_folder *f);

#endif
