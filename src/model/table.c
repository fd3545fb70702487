/* table.c: see table.h. */
#include "model/table.h"

#include "kernel/rotation.h"

/* How the rows of two parts fit together. */
static edgellm_status check_rows(const el_tensor *first, const el_tensor *rest, uint32_t rows,
                                 edgellm_error *err)
{
    if (first->rows < EL_TILE || first->rows % EL_TILE)
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s' has %u rows; where '%s' follows it must be a multiple of %d",
                       first->name, first->rows, rest->name, EL_TILE);
    if (rest->rows < EL_TILE)
        return el_fail(err, EDGELLM_ERR_FORMAT, "tensor '%s' has %u rows; it needs at least %d",
                       rest->name, rest->rows, EL_TILE);
    if (first->rows + rest->rows != rows)
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s' has %u rows and '%s' %u; the model needs %u together",
                       first->name, first->rows, rest->name, rest->rows, rows);
    return EDGELLM_OK;
}

edgellm_status el_table_load(el_table *table, const el_tm2 *file, const char *name,
                             const char *rest, uint32_t rows, uint32_t cols, edgellm_error *err)
{
    el_tensor first = {0}, second = {0};
    const bool cut = el_tm2_find(file, rest, &second);
    if (!cut || !el_tm2_find(file, name, &first)) { /* which is an error that is worded there */
        table->parts = 1;
        return el_tm2_matrix(file, name, rows, cols, &table->part[0], err);
    }
    table->parts = 2;
    EL_TRY(check_rows(&first, &second, rows, err));
    EL_TRY(el_tm2_matrix(file, name, first.rows, cols, &table->part[0], err));
    return el_tm2_matrix(file, rest, second.rows, cols, &table->part[1], err);
}

unsigned el_table_rotations(const el_table *table)
{
    unsigned set = 0;
    for (uint32_t i = 0; i < table->parts; i++)
        set |= EL_ROTATION_BIT(table->part[i].rotation);
    return set;
}

void el_table_row(const el_table *table, uint32_t row, float *out)
{
    const uint32_t first = table->part[0].rows;
    const el_matrix *m = &table->part[row < first ? 0 : 1];
    el_matrix_row(m, row < first ? row : row - first, out);
    if (m->rotation == EL_ROTATION_HADAMARD64) el_rotate_back(out, m->cols);
}
