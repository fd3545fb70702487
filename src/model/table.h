/*
 * table.h: the tables of (vocab, dim), a row for each token: the embedding and the head. A file has
 * a table as one matrix, or cut by rows into two or three (docs/FORMAT.md, section 7), so that
 * frequent tokens, which have low ids, can have more bits.
 */
#ifndef EL_MODEL_TABLE_H
#define EL_MODEL_TABLE_H

#include "format/tm2.h"

typedef struct el_table {
    el_matrix part[EL_TABLE_PARTS]; /* each begins where the one before ends: whole tiles */
    uint32_t parts;                 /* 1 or more, of the same columns */
} el_table;

/* Finds table `name`, such as "output", of shape (rows, cols). Errors: FORMAT, naming the tensor.
 */
edgellm_status el_table_load(el_table *table, const el_tm2 *file, const char *name, uint32_t rows,
                             uint32_t cols, edgellm_error *err);

/* Has the file anything of this table? */
bool el_table_exists(const el_tm2 *file, const char *name);

/* Is this a name of a part of this table? */
bool el_table_is_part(const char *table, const char *name);

/* Rotations of its parts, a bit each. */
unsigned el_table_rotations(const el_table *table);

/* The weights that a row stands for, also of a rotated table. out: cols floats. */
void el_table_row(const el_table *table, uint32_t row, float *out);

#endif
