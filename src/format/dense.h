/* dense.h: a tensor of codes that no block type has, as the floats that it stands for. */
#ifndef EL_FORMAT_DENSE_H
#define EL_FORMAT_DENSE_H

#include "format/gguf.h"

/* Room for all weights of a tensor; NULL: none. Errors: MEMORY. */
float *el_dense_room(const el_gguf_tensor *tensor, edgellm_error *err);

/* The tensor with weights `w` in the place of its codes, as F32. */
el_gguf_tensor el_dense(const el_gguf_tensor *tensor, const float *w);

#endif
