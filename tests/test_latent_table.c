/*
 * test_latent_table.c: rows of a table are those of its pieces, one after the other: within a
 * piece, and across cuts.
 */
#include "support/test_help.h"

#include <stdlib.h>

#include "support/naive.h"
#include "train/latent_table.h"

enum { COLS = 64, ROWS = 23 };

static const uint32_t begins[EL_TABLE_PARTS + 1][EL_TABLE_PARTS + 1] = {
    {0}, {0, ROWS}, {0, 9, ROWS}, {0, 9, 14, ROWS}}; /* of tables in so many pieces; their ends */

typedef struct fixture {
    el_arena arena;
    el_latent_table table;
    float *want; /* (ROWS, COLS) */
} fixture;

static void layout(fixture *f, uint32_t pieces)
{
    static const el_codec codecs[] = {EL_CODEC_S4, EL_CODEC_O2, EL_CODEC_I8};
    el_latent_table *t = &f->table;
    t->pieces = pieces;
    for (uint32_t i = 0; i < pieces; i++)
        t->piece[i] = el_latent_layout(&f->arena, begins[pieces][i + 1] - begins[pieces][i], COLS,
                                       codecs[i], i == 0 ? 32 : 0);
    t->piece[0].rotated = true;
}

static void fill(const el_latent *l, el_random *r)
{
    for (uint32_t i = 0; i < l->rows * l->cols; i++)
        l->u[i] = (uint16_t)el_random_below(r, 65536);
    for (uint32_t i = 0; i < l->rows; i++) {
        l->ref[i] = (float)(1 + el_random_below(r, 9));
        if (l->oref) l->oref[i] = 0.5f;
    }
    for (uint32_t i = 0; i < l->rows * l->groups; i++) {
        l->steps[i] = (float)el_random_below(r, 64);
        if (l->shifts) l->shifts[i] = (float)el_random_below(r, 20) - 10;
    }
}

static fixture make(uint32_t pieces)
{
    edgellm_error err;
    fixture f = {.arena = el_arena_measure(), .want = naive_zeroes(ROWS * COLS, sizeof(float))};
    el_random r = {pieces};
    layout(&f, pieces);
    assert_ok(el_arena_reserve(&f.arena, f.arena.used, &err));
    layout(&f, pieces);
    for (uint32_t i = 0; i < pieces; i++) {
        const el_latent *l = &f.table.piece[i];
        fill(l, &r);
        el_latent_weights(l, 0, l->rows, f.want + (size_t)begins[pieces][i] * COLS);
    }
    return f;
}

static void end(fixture *f)
{
    el_arena_release(&f->arena);
    free(f->want);
}

static void check_rows(const fixture *f, uint32_t first, uint32_t count)
{
    float got[(ROWS + 1) * COLS];
    for (int i = 0; i < (ROWS + 1) * COLS; i++)
        got[i] = -7777;
    el_latent_table_weights(&f->table, first, count, got);
    assert_memory_equal(got, f->want + first * COLS, count * COLS * sizeof *got);
    for (uint32_t i = count * COLS; i < (ROWS + 1) * COLS; i++)
        assert_true(got[i] == -7777);
}

/* Every range of rows, those of none and of all included. */
static void test_rows(void **state)
{
    (void)state;
    for (uint32_t pieces = 1; pieces <= EL_TABLE_PARTS; pieces++) {
        fixture f = make(pieces);
        for (uint32_t first = 0; first <= ROWS; first++) {
            for (uint32_t count = 0; count <= ROWS - first; count++)
                check_rows(&f, first, count);
        }
        end(&f);
    }
}

static void test_where_pieces_begin(void **state)
{
    (void)state;
    fixture f = make(EL_TABLE_PARTS);
    for (uint32_t i = 0; i < EL_TABLE_PARTS; i++)
        assert_int_equal(el_latent_table_begin(&f.table, i), begins[EL_TABLE_PARTS][i]);
    for (int r = 1; r < ROWS; r++) /* or ranges would not tell one row from another */
        assert_memory_not_equal(f.want + r * COLS, f.want + (r - 1) * COLS, COLS * sizeof(float));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_where_pieces_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
