/*
 * quantize.h: a GGUF file to a TM2 file. Matrices whose type TM2 can hold are taken over as they
 * are, weight for weight; others, or all if a number of bits is asked for, are rounded.
 */
#ifndef EL_QUANT_QUANTIZE_H
#define EL_QUANT_QUANTIZE_H

#include "format/gguf.h"
#include "format/i2s.h"
#include "format/tm2.h"
#include "quant/round.h" /* EL_ROUND_TERNARY */

typedef struct el_quantize_options {
    unsigned bits;           /* 0: keep what can be kept, else 8; 1, EL_ROUND_TERNARY, 2, 3, 4, 8 */
    unsigned embedding_bits; /* the token embedding and the head; 0: as `bits` */
    uint32_t group;          /* 32, 64, 128, or 0: the whole row */
    uint32_t embedding_group; /* likewise */
    bool offset;              /* levels with an offset per group */
    el_scale_kind scales;
    el_gguf_opener *open; /* of the source; NULL: el_gguf_open() */
    bool two_bits;        /* kept matrices of three levels as t2, not t1 */
    el_i2s i2s;           /* how tensors of I2_S lie; a source without any does not ask */
    /* Called after each tensor; may be NULL. Return false to stop (INTERRUPTED). */
    bool (*progress)(void *context, uint32_t done, uint32_t total, const char *tensor);
    void *progress_context;
    const el_tm2_judge *judge; /* may be NULL; see el_tm2_finish() */
} el_quantize_options;

typedef struct el_quantize_result {
    uint64_t source_bytes, file_bytes, parameters;
    uint32_t tensors, kept, rounded; /* matrices taken over, matrices rounded */
} el_quantize_result;

edgellm_status el_quantize(const char *source, const char *target,
                           const el_quantize_options *options, el_quantize_result *result,
                           edgellm_error *err);

/* Refuses a target that is the source itself, or a source that is not there. */
edgellm_status el_quantize_paths(const char *source, const char *target, edgellm_error *err);

#endif
