/*
 * latent_table.h: the embedding or the head while it is being made: one latent, or more if its rows
 * are cut (docs/FORMAT.md): low token ids are frequent ones and can have more bits than the rest.
 */
#ifndef EL_TRAIN_LATENT_TABLE_H
#define EL_TRAIN_LATENT_TABLE_H

#include "format/tm2.h"
#include "train/latent.h"

typedef struct el_latent_table {
    el_latent piece[EL_TABLE_PARTS]; /* each begins with the row where the one before ends */
    uint32_t pieces;                 /* 1: not cut */
} el_latent_table;

/* Rows first .. first + count - 1, (count, cols). */
void el_latent_table_weights(const el_latent_table *t, uint32_t first, uint32_t count, float *w);

/* Are those rotated that are not kept? */
static inline bool el_latent_table_rotated(const el_latent_table *t)
{
    bool any = false;
    for (uint32_t i = 0; i < t->pieces; i++)
        any |= t->piece[i].rotated;
    return any;
}

/* First row of a piece. */
static inline uint32_t el_latent_table_begin(const el_latent_table *t, uint32_t piece)
{
    uint32_t row = 0;
    for (uint32_t i = 0; i < piece; i++)
        row += t->piece[i].rows;
    return row;
}

#endif
