/*
 * latent_table.h: the embedding or the head while it is being made: one latent, or two if its rows
 * are cut (docs/FORMAT.md): low token ids are frequent ones and can have more bits than the rest.
 */
#ifndef EL_TRAIN_LATENT_TABLE_H
#define EL_TRAIN_LATENT_TABLE_H

#include "train/latent.h"

enum { EL_TABLE_PIECES = 2 };

typedef struct el_latent_table {
    el_latent piece[EL_TABLE_PIECES]; /* rows 0 .. cut-1, and those after */
    uint32_t pieces;                  /* 1: not cut */
} el_latent_table;

/* Rows first .. first + count - 1, (count, cols). */
void el_latent_table_weights(const el_latent_table *t, uint32_t first, uint32_t count, float *w);

/* Are those rotated that are not kept? */
static inline bool el_latent_table_rotated(const el_latent_table *t)
{
    return t->piece[0].rotated || (t->pieces > 1 && t->piece[1].rotated);
}

/* First row of a piece. */
static inline uint32_t el_latent_table_begin(const el_latent_table *t, uint32_t piece)
{
    return piece ? t->piece[0].rows : 0;
}

#endif
