/*
 * ternary.h: tensors of any type whose weights are of three levels all the same: a model that was
 * trained for them, in a file that stores floats, or blocks that happen to hold such weights.
 */
#ifndef EL_QUANT_TERNARY_H
#define EL_QUANT_TERNARY_H

#include <stdbool.h>

#include "base/error.h"
#include "format/gguf.h"
#include "kernel/matrix.h"

typedef struct el_ternary {
    bool holds;     /* all weights are -s, 0 or s, with one s for each group */
    uint32_t group; /* the widest such: 0 (a row), 128, 64 or 32 weights */
    bool exact;     /* every s is an fp16 number; else it is near one */
} el_ternary;

/* What a matrix is; reads it up to where it is clear that it is none. What is not finite is no such
 * weight. Errors: MEMORY. */
edgellm_status el_ternary_look(const el_gguf_tensor *tensor, el_ternary *found, edgellm_error *err);

/* Packs such a matrix as t1 or t2 with fp16 scales into zeroed `data`. Errors: MEMORY, INTERNAL. */
edgellm_status el_ternary_take(const el_gguf_tensor *tensor, el_codec codec, uint32_t group,
                               uint8_t *data, edgellm_error *err);

#endif
