/* dense.c: see dense.h. */
#include "format/dense.h"

#include <stdlib.h>

float *el_dense_room(const el_gguf_tensor *tensor, edgellm_error *err)
{
    const uint64_t weights = (uint64_t)tensor->rows * tensor->cols;
    float *w = weights <= SIZE_MAX / sizeof *w ? malloc((size_t)weights * sizeof *w) : NULL;
    if (!w)
        el_fail(err, EDGELLM_ERR_MEMORY, "out of memory: tensor '%s' needs %llu bytes",
                tensor->name, (unsigned long long)(weights * sizeof *w));
    return w;
}

el_gguf_tensor el_dense(const el_gguf_tensor *tensor, const float *w)
{
    el_gguf_tensor dense = *tensor;
    dense.type = EL_GGML_F32;
    dense.data = (const uint8_t *)w;
    dense.bytes = (uint64_t)tensor->rows * tensor->cols * sizeof *w;
    return dense;
}
