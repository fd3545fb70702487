/* three_levels.c: see three_levels.h. */
#include "format/three_levels.h"

#include <stdlib.h>

#include "base/half.h"
#include "format/dense.h"
#include "format/planes.h"

#define LEAST_MEAN 1e-5f

/* ---- packed codes ------------------------------------------------------------------------- */

static edgellm_status unpack_planes(const el_gguf_tensor *t, float *w, edgellm_error *err)
{
    for (uint32_t row = 0; row < t->rows; row++)
        EL_TRY(el_planes_row(t->name, t->data, t->rows, t->cols, row, t->levels.scale,
                             t->levels.divides, w + (size_t)row * t->cols, err));
    return EDGELLM_OK;
}

/* ---- floats ------------------------------------------------------------------------------- */

static edgellm_status not_finite(const el_gguf_tensor *t, size_t i, edgellm_error *err)
{
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "tensor '%s', row %u, column %u: the weight is not a finite number", t->name,
                   (uint32_t)(i / t->cols), (uint32_t)(i % t->cols));
}

/* A number as one of a type of floats, rounded to the nearest, to even between two. */
static float in_type(uint32_t type, float x)
{
    const uint32_t bits = el_bits_of_float(x);
    if (type == EL_GGML_F16) return el_float_of_half(el_half_of_float(x));
    if (type != EL_GGML_BF16) return x;
    return el_float_of_bf16((uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16));
}

static void round_levels(const el_gguf_tensor *t, size_t n, float *w)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += w[i] < 0 ? -w[i] : w[i];
    const float mean = (float)(sum / (double)n);
    const float inverse = 1.0f / (mean > LEAST_MEAN ? mean : LEAST_MEAN);
    const float level = in_type(t->levels.floats, 1.0f / inverse);
    for (size_t i = 0; i < n; i++) {
        const float share = w[i] * inverse; /* a half is nearer to 0, which is even */
        w[i] = level * (float)((share > 0.5f) - (share < -0.5f));
    }
}

static edgellm_status read_floats(const el_gguf_tensor *t, float *w, edgellm_error *err)
{
    const size_t n = (size_t)t->rows * t->cols;
    el_ggml_type_of(t->levels.floats)->dequantize(t->data, n, w);
    for (size_t i = 0; i < n; i++)
        if (!__builtin_isfinite(w[i])) return not_finite(t, i, err);
    if (t->levels.rounded) {
        round_levels(t, n, w);
        return EDGELLM_OK;
    }
    for (size_t i = 0; i < n; i++)
        w[i] *= t->levels.scale;
    return EDGELLM_OK;
}

edgellm_status el_three_levels_unpack(const el_gguf_tensor *tensor, el_gguf_tensor *dense,
                                      uint8_t **data, edgellm_error *err)
{
    float *w = el_dense_room(tensor, err);
    *data = NULL;
    if (!w) return EDGELLM_ERR_MEMORY;
    edgellm_status status = tensor->levels.floats == EL_GGML_LEVELS ? unpack_planes(tensor, w, err)
                                                                    : read_floats(tensor, w, err);
    if (status != EDGELLM_OK) {
        free(w);
        return status;
    }
    *data = (uint8_t *)w;
    *dense = el_dense(tensor, w);
    return EDGELLM_OK;
}
