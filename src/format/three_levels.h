/*
 * three_levels.h: matrices of three levels as Hugging Face folders keep them, EL_GGML_LEVELS:
 * packed codes (planes.h) with one scale; floats with one scale; or the floats that training works
 * on, which the model rounds whenever it computes: with m the mean of their magnitudes (at least
 * 1e-5) to -m, 0 and m, whichever is nearest, m in the type that the floats have.
 */
#ifndef EL_FORMAT_THREE_LEVELS_H
#define EL_FORMAT_THREE_LEVELS_H

#include "format/gguf.h"

/*
 * *dense is the tensor as F32, with its data in `*data`, which is the caller's to free. Errors:
 * FORMAT (a code 3 or a weight that is not finite, naming row and column; a scale that is none),
 * MEMORY; *data is NULL then.
 */
edgellm_status el_three_levels_unpack(const el_gguf_tensor *tensor, el_gguf_tensor *dense,
                                      uint8_t **data, edgellm_error *err);

#endif
