/*
 * planes.h: matrices of three levels as transformers packs them for BitNet: a byte holds two bits
 * of four rows, code 0, 1 or 2 for -1, 0 or 1. The rows are cut into four pieces of equal height
 * (the last may be shorter), and piece k has the bits 2 k and 2 k + 1 of all bytes: rows 0, 1, 2,
 * ... of the packed matrix are rows 0, 1, 2, ... of every piece.
 */
#ifndef EL_FORMAT_PLANES_H
#define EL_FORMAT_PLANES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Rows of the packed matrix. */
uint32_t el_planes_rows(uint32_t rows);

/*
 * Row `row` of a matrix (rows, cols) out of packed (el_planes_rows(rows), cols), to `out` (cols):
 * levels times the scale, or over it (transformers' BitLinear keeps the inverse). Errors: FORMAT,
 * naming `name`: a code 3; a scale that is not finite, or 0 where it divides.
 */
edgellm_status el_planes_row(const char *name, const uint8_t *packed, uint32_t rows, uint32_t cols,
                             uint32_t row, float scale, bool divides, float *out,
                             edgellm_error *err);

#endif
