/*
 * i2s.h: I2_S, bitnet.cpp's type of three levels: a code of two bits for each weight, 0, 1 and 2
 * for -1, 0 and 1, four in a byte, the first in the highest bits; after all of them one float, the
 * scale of the whole tensor, in 32 bytes. The program writes what suits the machine that it runs
 * on, and nothing in a file says which of three layouts that is.
 */
#ifndef EL_FORMAT_I2S_H
#define EL_FORMAT_I2S_H

#include "format/gguf.h"

typedef enum el_i2s {
    EL_I2S_UNKNOWN,
    EL_I2S_AVX,  /* 128 weights in 32 bytes: weight i + 32 k is code k of byte i */
    EL_I2S_NEON, /* 64 weights in 16 bytes: weight i + 16 k is code k of byte i */
    EL_I2S_ROWS, /* 4 rows in as many bytes as there are columns: row k is code k */
    EL_I2S_LAYOUTS
} el_i2s;

extern const char *const el_i2s_names[EL_I2S_LAYOUTS]; /* "unknown", "avx", "neon", "rows" */

/* Bytes of a tensor of this shape. */
uint64_t el_i2s_bytes(uint32_t rows, uint32_t cols);

/* Can a tensor of this shape lie so? (No for unknown.) */
bool el_i2s_fits(uint32_t rows, uint32_t cols, el_i2s layout);

/*
 * *dense is the tensor as F32, with its data in `*data`, which is the caller's to free. Errors:
 * FORMAT (a shape that does not fit, a scale that is not finite, a code 3, naming row and column),
 * MEMORY; *data is NULL then.
 */
edgellm_status el_i2s_unpack(const el_gguf_tensor *tensor, el_i2s layout, el_gguf_tensor *dense,
                             uint8_t **data, edgellm_error *err);

#endif
