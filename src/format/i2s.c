/* i2s.c: see i2s.h. */
#include "format/i2s.h"

#include <stdlib.h>

#include "base/half.h"
#include "format/dense.h"
#include "format/gguf_value.h"

#define TAIL 32 /* bytes, of which the scale takes the first */

const char *const el_i2s_names[EL_I2S_LAYOUTS] = {
    [EL_I2S_UNKNOWN] = "unknown",
    [EL_I2S_AVX] = "avx",
    [EL_I2S_NEON] = "neon",
    [EL_I2S_ROWS] = "rows",
};

uint64_t el_i2s_bytes(uint32_t rows, uint32_t cols)
{
    return (uint64_t)rows * cols / 4 + TAIL;
}

bool el_i2s_fits(uint32_t rows, uint32_t cols, el_i2s layout)
{
    switch (layout) {
    case EL_I2S_AVX:
        return cols % 128 == 0;
    case EL_I2S_NEON:
        return cols % 64 == 0;
    case EL_I2S_ROWS:
        return rows % 4 == 0;
    default:
        return false;
    }
}

/* The byte of a weight, and which of its four codes that is. */
static unsigned code_at(const el_gguf_tensor *t, el_i2s layout, uint32_t row, uint32_t col)
{
    const uint32_t width = layout == EL_I2S_AVX ? 32 : 16; /* bytes of a block */
    const uint32_t in_row = col / (4 * width) * width + col % width;
    uint64_t byte = (uint64_t)row * t->cols / 4 + in_row;
    unsigned which = col / width % 4;
    if (layout == EL_I2S_ROWS) {
        byte = (uint64_t)(row / 4) * t->cols + col;
        which = row % 4;
    }
    return t->data[byte] >> (6 - 2 * which) & 3;
}

static edgellm_status unpack_row(const el_gguf_tensor *t, el_i2s layout, float scale, uint32_t row,
                                 float *out, edgellm_error *err)
{
    for (uint32_t col = 0; col < t->cols; col++) {
        const unsigned code = code_at(t, layout, row, col);
        if (code == 3)
            return el_fail(err, EDGELLM_ERR_FORMAT,
                           "tensor '%s', row %u, column %u: holds the code 3, which is none of "
                           "three levels: the file is damaged, get it again",
                           t->name, row, col);
        out[col] = scale * (float)((int)code - 1);
    }
    return EDGELLM_OK;
}

static edgellm_status check(const el_gguf_tensor *t, el_i2s layout, float scale, edgellm_error *err)
{
    if (!el_i2s_fits(t->rows, t->cols, layout))
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s': a matrix of (%u, %u) cannot lie in I2_S's layout '%s'",
                       t->name, t->rows, t->cols, el_i2s_names[layout]);
    if (!__builtin_isfinite(scale))
        return el_fail(err, EDGELLM_ERR_FORMAT, "tensor '%s': its scale is not a finite number",
                       t->name);
    return EDGELLM_OK;
}

edgellm_status el_i2s_unpack(const el_gguf_tensor *tensor, el_i2s layout, el_gguf_tensor *dense,
                             uint8_t **data, edgellm_error *err)
{
    const uint64_t weights = (uint64_t)tensor->rows * tensor->cols;
    const uint8_t *tail = tensor->data + weights / 4;
    const float scale = el_float_of_bits((uint32_t)el_gguf_load(tail, 4));
    *data = NULL;
    EL_TRY(check(tensor, layout, scale, err));
    float *w = el_dense_room(tensor, err);
    if (!w) return EDGELLM_ERR_MEMORY;
    edgellm_status status = EDGELLM_OK;
    for (uint32_t row = 0; row < tensor->rows && status == EDGELLM_OK; row++)
        status = unpack_row(tensor, layout, scale, row, w + (size_t)row * tensor->cols, err);
    if (status != EDGELLM_OK) {
        free(w);
        return status;
    }
    *data = (uint8_t *)w;
    *dense = el_dense(tensor, w);
    return EDGELLM_OK;
}
