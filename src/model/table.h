/*
 * table.h: the tables of (vocab, dim), a row for each token: the embedding and the head. A file has
 * a table as one matrix, or its first rows as one and the rest as another (docs/FORMAT.md, section
 * 7), so that frequent tokens, which have low ids, can have more bits.
 */
#ifndef EL_MODEL_TABLE_H
#define EL_MODEL_TABLE_H

#include "format/tm2.h"

typedef struct el_table {
    el_matrix part[2]; /* the second begins with row part[0].rows, a multiple of EL_TILE */
    uint32_t parts;    /* 1 or 2, of the same columns */
} el_table;

/* Finds tensor `name` of shape (rows, cols), or what it and `rest` make together.
 * Errors: FORMAT, naming the tensor. */
edgellm_status el_table_load(el_table *table, const el_tm2 *file, const char *name,
                             const char *rest, uint32_t rows, uint32_t cols, edgellm_error *err);

/* Rotations of its parts, a bit each. */
unsigned el_table_rotations(const el_table *table);

/* The weights that a row stands for, also of a rotated table. out: cols floats. */
void el_table_row(const el_table *table, uint32_t row, float *out);

#endif
