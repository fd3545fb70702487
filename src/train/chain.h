/*
 * chain.h: the best chained codes (kernel/matrix.h) of a column of a tile. The level of a weight
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

#define EL_CHAIN_STATES 4
typedef float el_chain_costs
    __attribute__((vector_size(EL_CHAIN_STATES * EL_CHAIN_STATES * sizeof(float))));

/* levels[way][from]: of the ways from a state, by the state that they lead to (chain.c). */
typedef struct el_chain {
    el_chain_costs levels[2][EL_CHAIN_STATES];
    int ways;
} el_chain;

void el_chain_prepare(el_codec codec, el_chain *chain);

/*
 * codes[r] for weights x[r] in units of their scales, r = 0 .. rows-1: such that the sum of
 * importance[r] * (x[r] - level)^2 is least. Rows that a tile lacks (rows < 16) have code 0.
 */
void el_chain_search(const el_chain *chain, uint32_t rows, const float x[EL_TILE],
                     const float importance[EL_TILE], uint8_t codes[EL_TILE]);

/* The level of a row, 0 .. rows-1, for the codes of its column of a tile. */
static inline int el_chain_level(el_codec codec, uint32_t rows, const uint8_t *codes, uint32_t row)
{
    const el_codec_info *info = &el_codecs[codec];
    const uint32_t before = row ? row - 1 : EL_TILE - 1;
    return info
        ->levels[el_chained_index(info->bits, codes[row], before < rows ? codes[before] : 0)];
}

#endif
