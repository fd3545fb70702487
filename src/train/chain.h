/*
 * chain.h: the best chained codes (kernel/matrix.h) of columns of a tile. The level of a weight
 * depends on the code before it, so codes are not chosen one by one but as a path through a
 * trellis of four states, by the algorithm of Viterbi (Marcellin & Fischer 1990, "Trellis coded
 * quantization"). Before a tile's first row comes its last: of the best paths that begin in each
 * state, those that end where they began are compared.
 */
#ifndef EL_TRAIN_CHAIN_H
#define EL_TRAIN_CHAIN_H

#include "kernel/matrix.h"

/* The part of a group's standard deviation that is a level 1: with it the levels suit normally
 * distributed weights. */
float el_chain_unit(el_codec codec);

#define EL_CHAIN_COLUMNS 16 /* that are searched at a time */

/*
 * codes[r][i] for weights x[r][i] in units of their scales, r = 0 .. rows-1, i = 0 .. columns-1:
 * such that in each column the sum of importance[r] * (x[r][i] - level)^2 is least. All 16 columns
 * of x are read. Rows that a tile lacks (rows < 16) have code 0.
 */
void el_chain_search(el_codec codec, uint32_t rows, uint32_t columns,
                     const float (*x)[EL_CHAIN_COLUMNS], const float importance[EL_TILE],
                     uint8_t (*codes)[EL_CHAIN_COLUMNS]);

/* The level of a row, 0 .. rows-1, for the codes of its column of a tile. */
static inline int el_chain_level(el_codec codec, uint32_t rows, const uint8_t *codes, uint32_t row)
{
    const el_codec_info *info = &el_codecs[codec];
    const uint32_t before = row ? row - 1 : EL_TILE - 1;
    return info
        ->levels[el_chained_index(info->bits, codes[row], before < rows ? codes[before] : 0)];
}

#endif
