/* planes.c: see planes.h. */
#include "format/planes.h"

#include <stddef.h>

uint32_t el_planes_rows(uint32_t rows)
{
    return rows / 4 + (rows % 4 != 0);
}

edgellm_status el_planes_row(const char *name, const uint8_t *packed, uint32_t rows, uint32_t cols,
                             uint32_t row, float scale, bool divides, float *out,
                             edgellm_error *err)
{
    const uint32_t height = el_planes_rows(rows);
    const uint8_t *from = packed + (size_t)(row % height) * cols;
    const unsigned shift = row / height * 2;
    if (!__builtin_isfinite(scale) || (divides && scale == 0))
        return el_fail(err, EDGELLM_ERR_FORMAT, "tensor '%s': its scale is %g", name,
                       (double)scale);
    const float one = divides ? 1.0f / scale : scale;
    for (uint32_t col = 0; col < cols; col++) {
        const int code = from[col] >> shift & 3;
        if (code == 3)
            return el_fail(err, EDGELLM_ERR_FORMAT,
                           "tensor '%s', row %u, column %u: holds the code 3, which is none of "
                           "three levels: the file is damaged, get it again",
                           name, row, col);
        out[col] = one * (float)(code - 1);
    }
    return EDGELLM_OK;
}
