/* table.c: see table.h. */
#include "model/table.h"

#include <stdio.h>
#include <string.h>

#include "kernel/rotation.h"

typedef char name_text[EL_TENSOR_NAME_BYTES];

static void part_name(const char *table, uint32_t part, name_text out)
{
    snprintf(out, sizeof(name_text), "%s%s", table, el_table_endings[part]);
}

/* A file lists the parts that it has from the first: how many there are, at least 1. */
static edgellm_status count_parts(const el_tm2 *file, const char *name, uint32_t *parts,
                                  edgellm_error *err)
{
    *parts = 1; /* if that is missing it is an error that is worded where it is looked up */
    for (uint32_t i = 1; i < EL_TABLE_PARTS; i++) {
        el_tensor t;
        name_text part, before;
        part_name(name, i, part);
        part_name(name, i - 1, before);
        if (!el_tm2_find(file, part, &t)) continue;
        if (!el_tm2_find(file, before, &t))
            return el_fail(err, EDGELLM_ERR_FORMAT, "tensor '%s' continues '%s', which is missing",
                           part, before);
        *parts = i + 1;
    }
    return EDGELLM_OK;
}

/* next: the name of the part after it, or NULL */
static edgellm_status check_rows(const el_tensor *t, const char *next, edgellm_error *err)
{
    if (next && (t->rows < EL_TILE || t->rows % EL_TILE))
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s' has %u rows; where '%s' follows it must be a multiple of %d",
                       t->name, t->rows, next, EL_TILE);
    if (t->rows < EL_TILE)
        return el_fail(err, EDGELLM_ERR_FORMAT, "tensor '%s' has %u rows; it needs at least %d",
                       t->name, t->rows, EL_TILE);
    return EDGELLM_OK;
}

static edgellm_status load_parts(el_table *table, const el_tm2 *file, const char *name,
                                 uint32_t rows, uint32_t cols, edgellm_error *err)
{
    uint64_t together = 0;
    for (uint32_t i = 0; i < table->parts; i++) {
        el_tensor t = {0};
        name_text part, next = "";
        part_name(name, i, part);
        if (i + 1 < table->parts) part_name(name, i + 1, next);
        el_tm2_find(file, part, &t); /* count_parts() has found it */
        EL_TRY(check_rows(&t, *next ? next : NULL, err));
        EL_TRY(el_tm2_matrix(file, part, t.rows, cols, &table->part[i], err));
        together += t.rows;
    }
    if (together == rows) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "the %u parts of '%s.weight' have %llu rows together; the model needs %u",
                   table->parts, name, (unsigned long long)together, rows);
}

edgellm_status el_table_load(el_table *table, const el_tm2 *file, const char *name, uint32_t rows,
                             uint32_t cols, edgellm_error *err)
{
    name_text whole;
    part_name(name, 0, whole);
    EL_TRY(count_parts(file, name, &table->parts, err));
    if (table->parts > 1) return load_parts(table, file, name, rows, cols, err);
    return el_tm2_matrix(file, whole, rows, cols, &table->part[0], err);
}

bool el_table_exists(const el_tm2 *file, const char *name)
{
    bool any = false;
    for (uint32_t i = 0; i < EL_TABLE_PARTS; i++) {
        el_tensor t;
        name_text part;
        part_name(name, i, part);
        any |= el_tm2_find(file, part, &t);
    }
    return any;
}

bool el_table_is_part(const char *table, const char *name)
{
    const size_t stem = strlen(table);
    if (strncmp(name, table, stem) != 0) return false;
    for (uint32_t i = 0; i < EL_TABLE_PARTS; i++)
        if (strcmp(name + stem, el_table_endings[i]) == 0) return true;
    return false;
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
    const el_matrix *m = table->part;
    while (row >= m->rows)
        row -= m++->rows;
    el_matrix_row(m, row, out);
    if (m->rotation == EL_ROTATION_HADAMARD64) el_rotate_back(out, m->cols);
}
