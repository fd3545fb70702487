/* ggml_types.h: the block types of GGUF: one row of the table each. */
#ifndef EL_FORMAT_GGML_TYPES_H
#define EL_FORMAT_GGML_TYPES_H

#include <stddef.h>
#include <stdint.h>

enum { /* ids as in GGUF files */
       EL_GGML_F32 = 0,
       EL_GGML_F16 = 1,
       EL_GGML_Q4_0 = 2,
       EL_GGML_Q4_1 = 3,
       EL_GGML_Q5_0 = 6,
       EL_GGML_Q5_1 = 7,
       EL_GGML_Q8_0 = 8,
       EL_GGML_BF16 = 30,
       EL_GGML_TQ1_0 = 34,
       EL_GGML_TQ2_0 = 35,
       EL_GGML_I2_S = 36, /* no block type: see i2s.h */
       EL_GGML_Q1_0 = 41,
       EL_GGML_Q2_0 = 42,
       EL_GGML_PQ2_0 = 142,
       EL_GGML_PTQ1_0 = 143,
       EL_GGML_LEVELS = 0x10000 /* of no GGUF file: see three_levels.h */
};

typedef struct el_ggml_type {
    uint32_t id;
    const char *name;
    uint32_t block_weights; /* weights in a block */
    uint32_t block_bytes;
    /* Dequantises `blocks` blocks to float, with the bits of the `gguf` Python package. */
    void (*dequantize)(const uint8_t *data, size_t blocks, float *out);
} el_ggml_type;

/* NULL for an unknown id. */
const el_ggml_type *el_ggml_type_of(uint32_t id);

/* A name for any id that upstream has used, "unknown" otherwise: for error messages. */
const char *el_ggml_type_name(uint32_t id);

#endif
