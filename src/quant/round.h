/* round.h: floats to the codes of one tensor, in the layout of kernel/matrix.h. */
#ifndef EL_QUANT_ROUND_H
#define EL_QUANT_ROUND_H

#include "base/error.h"
#include "kernel/matrix.h"

#define EL_ROUND_TERNARY 16 /* stands for 1.6 bits: three levels, five codes in a byte */

/* The codec for a number of bits (1, EL_ROUND_TERNARY, 2, 3, 4, 8), with or without offset; F32:
 * there is none. */
el_codec el_round_codec(unsigned bits, bool offset);

/*
 * Rounds rows [0, rows) of w (rows, cols) into `data` (el_matrix_measure(...).bytes bytes, zeroed).
 * Per group the scale (and offset) of least squared error among a few shrunken ranges is taken.
 * The weights must be finite; the shape must be one that el_matrix_measure() accepts.
 */
void el_round_matrix(const float *w, uint32_t rows, uint32_t cols, el_codec codec,
                     el_scale_kind kind, uint32_t group, uint8_t *data);

/*
 * The same in pieces: rounds w (count, cols) into rows [first, first + count) of `m`, a view of
 * the zeroed `data`. Rows do not depend on each other.
 */
void el_round_rows(const float *w, uint32_t first, uint32_t count, const el_matrix *m,
                   uint8_t *data);

#endif
