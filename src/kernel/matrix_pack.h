/* matrix_pack.h: writes single codes into the layout of matrix.h: for the packers and tests. */
#ifndef EL_KERNEL_MATRIX_PACK_H
#define EL_KERNEL_MATRIX_PACK_H

#include "kernel/matrix.h"

/*
 * Stores the code of one weight (0 .. 2^bits-1, or -127..127 for 8 bits, of which only the low bits
 * are used; fives: 0..2) in a codes plane of `blocks` blocks a tile. Other weights keep their
 * codes.
 */
void el_matrix_set_code(uint8_t *codes, el_codec codec, uint32_t blocks, uint32_t row, uint32_t col,
                        int code);

/* The same for `count` neighbouring columns of one row, from `col` on. */
void el_matrix_set_codes(uint8_t *codes, el_codec codec, uint32_t blocks, uint32_t row,
                         uint32_t col, uint32_t count, const int8_t *values);

#endif
