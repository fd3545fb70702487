/*
 * test_latent_table.c: rows of a table are those of its pieces, one after the other: of one piece,
 * of the other, and across the cut.
 */
#include "support/test_help.h"

#include <stdlib.h>

#include "support/naive.h"
#include "train/latent_table.h"

enum { COLS = 64, ROWS = 23, CUT = 9 };

typedef struct fixture {
    el_arena arena;
    el_latent_table table;
    float *want; /* (ROWS, COLS) */
} fixture;

static void layout(fixture *f, bool cut)
{
    el_latent_table *t = &f->table;
    t->pieces = cut ? 2 : 1;
    t->piece[0] = el_latent_layout(&f->arena, cut ? CUT : ROWS, COLS, EL_CODEC_S4, 32);
    if (cut) t->piece[1] = el_latent_layout(&f->arena, ROWS - CUT, COLS, EL_CODEC_O2, 0);
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

static fixture make(bool cut)
{
    edgellm_error err;
    fixture f = {.arena = el_arena_measure(), .want = naive_zeroes(ROWS * COLS, sizeof(float))};
    el_random r = {cut};
    layout(&f, cut);
    assert_ok(el_arena_reserve(&f.arena, f.arena.used, &err));
    layout(&f, cut);
    for (uint32_t i = 0; i < f.table.pieces; i++)
        fill(&f.table.piece[i], &r);
    uint32_t first = cut ? CUT : ROWS;
    el_latent_weights(&f.table.piece[0], 0, first, f.want);
    if (cut) el_latent_weights(&f.table.piece[1], 0, ROWS - CUT, f.want + CUT * COLS);
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
    for (int cut = 0; cut < 2; cut++) {
        fixture f = make(cut);
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
    fixture f = make(true);
    assert_int_equal(el_latent_table_begin(&f.table, 0), 0);
    assert_int_equal(el_latent_table_begin(&f.table, 1), CUT);
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
