/*
 * test_allocate.c: the choice of forms under a budget, against all choices there are. The sum of
 * damages may lie above the least one, but by less than one step's gain; it is the least one where
 * all steps have the same size; and no change that fits is left undone.
 */
#include "support/test_help.h"

#include <float.h>

#include "train/allocate.h"

enum { MATRICES = 5, FORMS = 4, CASES = 4000 };

typedef struct problem {
    el_candidate candidates[MATRICES][FORMS];
    el_allocation matrices[MATRICES];
    uint64_t base, budget;
} problem;

static uint32_t below(uint64_t *seed, uint32_t n)
{
    return (uint32_t)(next_random(seed) % n);
}

static uint64_t smallest(const problem *p)
{
    uint64_t sum = p->base;
    for (int i = 0; i < MATRICES; i++) {
        const el_allocation *m = &p->matrices[i];
        uint64_t least = UINT64_MAX;
        for (uint32_t k = 0; k < m->count; k++) {
            if (m->fixed >= 0 && k != (uint32_t)m->fixed) continue;
            least = m->candidates[k].bytes < least ? m->candidates[k].bytes : least;
        }
        sum += least;
    }
    return sum;
}

/* Sizes and damages without any order, as when forms are rounded with luck; ties are frequent. */
static problem random_problem(uint64_t *seed)
{
    problem p = {.base = below(seed, 50)};
    for (int i = 0; i < MATRICES; i++) {
        uint32_t scale = below(seed, 4) ? 1 : 12; /* some are much larger */
        for (uint32_t k = 0; k < FORMS; k++)
            p.candidates[i][k] = (el_candidate){1 + scale * below(seed, 20), below(seed, 100)};
        p.matrices[i].count = 1 + below(seed, FORMS);
        p.matrices[i].fixed =
            below(seed, 6) ? EL_NOT_FIXED : (int32_t)below(seed, p.matrices[i].count);
    }
    for (int i = 0; i < MATRICES; i++)
        p.matrices[i].candidates = p.candidates[i];
    p.budget = smallest(&p) + below(seed, 300);
    return p;
}

static void point_at_own(problem *p)
{
    for (int i = 0; i < MATRICES; i++)
        p->matrices[i].candidates = p->candidates[i];
}

static uint64_t bytes_of(const problem *p)
{
    uint64_t sum = p->base;
    for (int i = 0; i < MATRICES; i++)
        sum += p->candidates[i][p->matrices[i].choice].bytes;
    return sum;
}

static double damage_of(const problem *p)
{
    double sum = 0;
    for (int i = 0; i < MATRICES; i++)
        sum += p->candidates[i][p->matrices[i].choice].damage;
    return sum;
}

/* The least damage of all choices that fit. */
static double least_damage(const problem *p)
{
    problem q = *p;
    double best = DBL_MAX;
    uint32_t choices = 1;
    for (int i = 0; i < MATRICES; i++)
        choices *= FORMS;
    for (uint32_t n = 0; n < choices; n++) {
        bool allowed = true;
        for (uint32_t i = 0, rest = n; i < MATRICES; i++, rest /= FORMS) {
            const el_allocation *m = &p->matrices[i];
            q.matrices[i].choice = rest % FORMS;
            allowed &= rest % FORMS < m->count;
            allowed &= m->fixed < 0 || (uint32_t)m->fixed == rest % FORMS;
        }
        if (allowed && bytes_of(&q) <= p->budget && damage_of(&q) < best) best = damage_of(&q);
    }
    return best;
}

/* The most that one matrix can gain at all: no step gains more. */
static double largest_gain(const problem *p)
{
    double most = 0;
    for (int i = 0; i < MATRICES; i++) {
        const el_allocation *m = &p->matrices[i];
        for (uint32_t a = 0; a < m->count && m->fixed < 0; a++) {
            for (uint32_t b = 0; b < m->count; b++) {
                double gain = m->candidates[a].damage - m->candidates[b].damage;
                most = gain > most ? gain : most;
            }
        }
    }
    return most;
}

static void allocate(problem *p)
{
    edgellm_error err = {0};
    assert_ok(el_allocate(p->matrices, MATRICES, p->base, p->budget, &err));
    for (int i = 0; i < MATRICES; i++) {
        assert_true(p->matrices[i].choice < p->matrices[i].count);
        if (p->matrices[i].fixed >= 0)
            assert_int_equal(p->matrices[i].choice, p->matrices[i].fixed);
    }
    assert_true(bytes_of(p) <= p->budget);
}

static void near_the_best_of_all_choices(void **state)
{
    uint64_t seed = 1;
    int exact = 0;
    (void)state;
    for (int i = 0; i < CASES; i++) {
        problem p = random_problem(&seed);
        point_at_own(&p);
        allocate(&p);
        double best = least_damage(&p), ours = damage_of(&p);
        assert_true(ours >= best);
        assert_true(ours == best || ours - best < largest_gain(&p));
        exact += ours == best;
    }
    assert_in_range(exact, CASES * 3 / 4, CASES); /* it is seldom not the best */
}

static void nothing_that_fits_is_left_undone(void **state)
{
    uint64_t seed = 2;
    (void)state;
    for (int i = 0; i < CASES; i++) {
        problem p = random_problem(&seed);
        point_at_own(&p);
        allocate(&p);
        uint64_t room = p.budget - bytes_of(&p);
        for (int m = 0; m < MATRICES; m++) {
            const el_allocation *a = &p.matrices[m];
            const el_candidate *now = &a->candidates[a->choice];
            for (uint32_t k = 0; k < a->count && a->fixed < 0; k++) {
                const el_candidate *c = &a->candidates[k];
                assert_true(c->damage >= now->damage || c->bytes > now->bytes + room);
            }
        }
    }
}

/* Forms of 2, 3 and 4 bits, each gaining less than the one before. */
static problem even_problem(uint64_t *seed)
{
    problem p = {.base = 7};
    for (int i = 0; i < MATRICES; i++) {
        double damage = 300, gain = 50 + below(seed, 50);
        for (uint32_t k = 0; k < FORMS; k++) {
            p.candidates[i][k] = (el_candidate){64 * (k + 1), damage};
            damage -= gain;
            gain *= 0.25 + below(seed, 4) * 0.25;
        }
        p.matrices[i].count = FORMS;
        p.matrices[i].fixed = EL_NOT_FIXED;
    }
    p.budget = 7 + 64 * MATRICES + below(seed, 64 * MATRICES * (FORMS - 1) + 64);
    return p;
}

static void steps_of_one_size_give_the_best(void **state)
{
    uint64_t seed = 3;
    (void)state;
    for (int i = 0; i < CASES; i++) {
        problem p = even_problem(&seed);
        point_at_own(&p);
        allocate(&p);
        assert_float_equal(damage_of(&p), least_damage(&p), 1e-9);
    }
}

/* The steepest step is the large one's; when it is taken, others that together gain more do not
 * fit any more. */
static void a_large_matrix_does_not_crowd_out_the_others(void **state)
{
    problem p = {.base = 0, .budget = 1000 + 4 * 100 + 1000};
    (void)state;
    p.candidates[0][0] = (el_candidate){1000, 110};
    p.candidates[0][1] = (el_candidate){2000, 0};
    for (int i = 1; i < MATRICES; i++) {
        p.candidates[i][0] = (el_candidate){100, 30};
        p.candidates[i][1] = (el_candidate){350, 3};
    }
    for (int i = 0; i < MATRICES; i++)
        p.matrices[i] = (el_allocation){p.candidates[i], 2, EL_NOT_FIXED, 9};
    allocate(&p);
    assert_int_equal(p.matrices[0].choice, 1);
    p.candidates[1][1].damage = p.candidates[2][1].damage = 0;
    p.candidates[3][1].damage = p.candidates[4][1].damage = 0;
    p.candidates[0][0].damage = 125;
    allocate(&p); /* 125 for 1000 is more per byte than 30 for 250, but 4 * 30 < 125 */
    assert_int_equal(p.matrices[0].choice, 1);
    p.candidates[0][0].damage = 119;
    allocate(&p);
    assert_int_equal(p.matrices[0].choice, 0);
    for (int i = 1; i < MATRICES; i++)
        assert_int_equal(p.matrices[i].choice, 1);
}

static void ties_go_to_the_first(void **state)
{
    problem p = {.budget = 5 * 10 + 2 * 10};
    (void)state;
    for (int i = 0; i < MATRICES; i++) {
        p.candidates[i][0] = (el_candidate){20, 1};
        p.candidates[i][1] = p.candidates[i][0];
        p.candidates[i][2] = (el_candidate){10, 2};
        p.matrices[i] = (el_allocation){p.candidates[i], 3, EL_NOT_FIXED, 9};
    }
    allocate(&p);
    for (int i = 0; i < MATRICES; i++)
        assert_int_equal(p.matrices[i].choice, i < 2 ? 0 : 2);
}

static void the_smallest_file_is_named(void **state)
{
    const el_candidate candidates[] = {{30000000, 1}, {20000001, 2}, {90000000, 0}};
    el_allocation m = {candidates, 3, EL_NOT_FIXED, 0};
    edgellm_error err = {0};
    (void)state;
    assert_int_equal(el_allocate(&m, 1, 1000000, 20999999, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "20.9 MB are too few");
    assert_contains(err.message, "has 22 MB");
    assert_ok(el_allocate(&m, 1, 1000000, 21000001, &err));
    assert_int_equal(m.choice, 1);
    assert_int_equal(el_allocate(&m, 1, 9000000, 5000000, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "has 30 MB");
    m.fixed = 2;
    assert_int_equal(el_allocate(&m, 1, 1000000, 22000000, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "has 91 MB");
}

static void everything_is_at_its_best_where_there_is_room(void **state)
{
    uint64_t seed = 4;
    (void)state;
    for (int i = 0; i < 100; i++) {
        problem p = random_problem(&seed);
        point_at_own(&p);
        p.budget = UINT64_MAX;
        allocate(&p);
        assert_float_equal(damage_of(&p), least_damage(&p), 0);
    }
}

static void no_matrices_are_allocated(void **state)
{
    edgellm_error err = {0};
    (void)state;
    assert_ok(el_allocate(NULL, 0, 10, 10, &err));
    assert_int_equal(el_allocate(NULL, 0, 10, 9, &err), EDGELLM_ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_the_best_of_all_choices),
        cmocka_unit_test(nothing_that_fits_is_left_undone),
        cmocka_unit_test(steps_of_one_size_give_the_best),
        cmocka_unit_test(a_large_matrix_does_not_crowd_out_the_others),
        cmocka_unit_test(ties_go_to_the_first),
        cmocka_unit_test(the_smallest_file_is_named),
        cmocka_unit_test(everything_is_at_its_best_where_there_is_room),
        cmocka_unit_test(no_matrices_are_allocated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
