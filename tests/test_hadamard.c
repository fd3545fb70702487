/*
 * test_hadamard.c: the rotation is the one that is defined, turning back undoes it, products of
 * rotated vectors stay as they were, and no number beyond the blocks is touched.
 */
#include "support/test_help.h"

#include <math.h>
#include <stdlib.h>

#include "support/naive.h"
#include "train/hadamard.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum { BLOCKS = 7, COUNT = BLOCKS * EL_ROTATION_WIDTH, MARGIN = 17 };

typedef void rotation(float *x, size_t blocks);
typedef void naive_rotation(double *x, size_t blocks);

static const struct {
    const char *name;
    rotation *turn;
    naive_rotation *naive;
} ways[] = {{"rotated", el_hadamard, naive_hadamard},
            {"turned back", el_hadamard_back, naive_hadamard_back}};

/* ---- the definition ---------------------------------------------------------------------- */

/* Small integers: all sums are exact. */
static void test_integers_are_exact(void **state)
{
    (void)state;
    for (size_t way = 0; way < LENGTH(ways); way++) {
        el_random r = {way};
        float *x = naive_zeroes(COUNT, sizeof *x);
        for (int i = 0; i < COUNT; i++)
            x[i] = (float)el_random_below(&r, 2001) - 1000;
        double *want = naive_double(x, COUNT);
        ways[way].naive(want, BLOCKS);
        ways[way].turn(x, BLOCKS);
        for (int i = 0; i < COUNT; i++)
            assert_true(x[i] == want[i]);
        free(x);
        free(want);
    }
}

static void test_fractions(void **state)
{
    (void)state;
    for (size_t way = 0; way < LENGTH(ways); way++) {
        el_random r = {way + 10};
        float *x = naive_noise(&r, COUNT, 0.3f);
        double *want = naive_double(x, COUNT);
        ways[way].naive(want, BLOCKS);
        ways[way].turn(x, BLOCKS);
        naive_compare(x, want, COUNT, 1e-6, ways[way].name);
        free(x);
        free(want);
    }
}

/* One number of a block becomes 64, each an eighth of it. */
static void test_an_outlier_is_spread(void **state)
{
    (void)state;
    for (int place = 0; place < EL_ROTATION_WIDTH; place++) {
        float x[EL_ROTATION_WIDTH] = {0};
        x[place] = 8;
        el_hadamard(x, 1);
        for (int i = 0; i < EL_ROTATION_WIDTH; i++)
            assert_true(fabsf(x[i]) == 1);
    }
}

/* ---- what follows from it ---------------------------------------------------------------- */

static void test_back_is_the_inverse(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        el_random r = {20};
        float *x = naive_noise(&r, COUNT, 1);
        double *want = naive_double(x, COUNT);
        ways[first].turn(x, BLOCKS);
        ways[1 - first].turn(x, BLOCKS);
        naive_compare(x, want, COUNT, 1e-6, "there and back");
        free(x);
        free(want);
    }
}

static double product(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < COUNT; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static void test_products_stay(void **state)
{
    (void)state;
    for (size_t way = 0; way < LENGTH(ways); way++) {
        el_random r = {30 + way};
        float *a = naive_noise(&r, COUNT, 1), *b = naive_noise(&r, COUNT, 1);
        double ab = product(a, b), aa = product(a, a);
        ways[way].turn(a, BLOCKS);
        assert_true(fabs(product(a, b) - ab) > 1); /* one alone is another vector */
        ways[way].turn(b, BLOCKS);
        assert_true(fabs(product(a, b) - ab) < 1e-5 * aa);
        assert_true(fabs(product(a, a) - aa) < 1e-5 * aa);
        free(a);
        free(b);
    }
}

/* ---- extent ------------------------------------------------------------------------------ */

/* Each block as if it were alone, wherever it lies; what is around stays. */
static void check_extent(rotation *turn, size_t blocks, size_t at)
{
    el_random r = {40 + blocks};
    size_t count = MARGIN + COUNT + MARGIN;
    float *x = naive_noise(&r, count, 1), *want = naive_zeroes(count, sizeof *want);
    memcpy(want, x, count * sizeof *want);
    for (size_t b = 0; b < blocks; b++)
        turn(want + at + b * EL_ROTATION_WIDTH, 1);
    turn(x + at, blocks);
    assert_memory_equal(x, want, count * sizeof *x);
    free(x);
    free(want);
}

static void test_nothing_beyond_is_touched(void **state)
{
    (void)state;
    for (size_t way = 0; way < LENGTH(ways); way++) {
        float alone[3 * EL_ROTATION_WIDTH], before[3 * EL_ROTATION_WIDTH];
        for (int i = 0; i < 3 * EL_ROTATION_WIDTH; i++)
            alone[i] = before[i] = (float)i + 1;
        ways[way].turn(alone + EL_ROTATION_WIDTH, 1);
        assert_memory_equal(alone, before, EL_ROTATION_WIDTH * sizeof *alone);
        assert_memory_not_equal(alone + 64, before + 64, EL_ROTATION_WIDTH * sizeof *alone);
        assert_memory_equal(alone + 128, before + 128, EL_ROTATION_WIDTH * sizeof *alone);
        for (size_t blocks = 0; blocks <= BLOCKS; blocks++) {
            for (size_t at = 0; at <= MARGIN; at++)
                check_extent(ways[way].turn, blocks, at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_are_exact),
        cmocka_unit_test(test_fractions),
        cmocka_unit_test(test_an_outlier_is_spread),
        cmocka_unit_test(test_back_is_the_inverse),
        cmocka_unit_test(test_products_stay),
        cmocka_unit_test(test_nothing_beyond_is_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
