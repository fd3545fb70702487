/*
 * test_certify_fit.c: costs fitted to made-up times are those that the times were made of, also
 * with stalls among them; margins are the percentile they should be; what does not fit is thinned
 * out.
 */
#include "support/test_help.h"

#include <math.h>

#include "cli/certify_fit.h"

enum { SIZES = 4, ROOM = 4096 };
static const uint32_t sizes[SIZES] = {1, 2, 16, 64};

static double unit(uint64_t *state)
{
    return (double)(next_random(state) >> 11) * 0x1p-53;
}

typedef struct truth {
    double step, step_position, chunk[SIZES], pair;
} truth;

static const truth made = {2e6, 900, {0, 3e6, 12e6, 40e6}, 150};

static double exact(const truth *t, uint32_t i, uint32_t position)
{
    if (i == 0) return t->step + t->step_position * position;
    return t->chunk[i] + t->pair * sizes[i] * position;
}

/* n samples of each size; noise: nanoseconds at most, both ways; stalls: one in so many, 0: none.
 */
static void make(el_cli_series *s, size_t n, double noise, unsigned stalls)
{
    uint64_t state = 7;
    for (uint32_t i = 0; i < SIZES; i++) {
        assert_true(el_cli_series_open(&s[i], sizes[i], ROOM));
        for (size_t k = 0; k < n; k++) {
            const uint32_t position = (uint32_t)(unit(&state) * 2000);
            double ns = exact(&made, i, position) + noise * (2 * unit(&state) - 1);
            if (stalls > 0 && k % stalls == 3) ns += 1e9;
            el_cli_series_add(&s[i], position, ns);
        }
    }
}

static void drop(el_cli_series *s)
{
    for (int i = 0; i < SIZES; i++)
        el_cli_series_release(&s[i]);
}

static bool near_to(double x, double y, double share)
{
    return fabs(x - y) <= share * fabs(y);
}

static void check(const edgellm_costs *c, double share)
{
    assert_true(near_to(c->step, made.step, share));
    assert_true(near_to(c->step_position, made.step_position, 5 * share));
    assert_int_equal(c->n_chunks, SIZES - 1);
    for (int i = 1; i < SIZES; i++) {
        assert_int_equal(c->chunk_tokens[i - 1], sizes[i]);
        assert_true(near_to(c->chunk[i - 1], made.chunk[i], 3 * share));
    }
    assert_true(near_to(c->chunk_pair, made.pair, 5 * share));
}

static void test_recovers(void **state)
{
    (void)state;
    static double scratch[ROOM];
    el_cli_series s[SIZES];
    edgellm_costs c;
    make(s, 3000, 0, 0);
    el_cli_fit(s, SIZES, scratch, &c);
    check(&c, 0.02);
    assert_true(near_to(el_cli_fit_share(&s[0], &c, scratch), 1, 0.01));
    assert_true(near_to(el_cli_fit_share(&s[3], &c, scratch), 1, 0.01));
    drop(s);
    make(s, 3000, 1e5, 0);
    el_cli_fit(s, SIZES, scratch, &c);
    check(&c, 0.05);
    assert_true(c.step_margin > 0.9e5 && c.step_margin < 1.1e5);
    drop(s);
}

/* Seconds that nobody was there for: in the largest, in no other figure. */
static void test_stalls(void **state)
{
    (void)state;
    static double scratch[ROOM];
    el_cli_series s[SIZES];
    edgellm_costs c;
    make(s, 3000, 1e5, 150);
    el_cli_fit(s, SIZES, scratch, &c);
    check(&c, 0.05);
    assert_true(c.step_margin < 1.1e5);
    assert_true(near_to(el_cli_fit_most_over(&s[0], &c), 1e9, 0.01));
    drop(s);
    make(s, 3000, 1e5, 50); /* 2 in 100: above the 99th percentile no more */
    el_cli_fit(s, SIZES, scratch, &c);
    check(&c, 0.05);
    assert_true(c.step_margin > 9e8);
    drop(s);
}

static void test_few_samples(void **state)
{
    (void)state;
    static double scratch[ROOM];
    el_cli_series s[SIZES];
    edgellm_costs c;
    make(s, 1, 0, 0);
    el_cli_fit(s, SIZES, scratch, &c);
    assert_true(c.step == s[0].ns[0] && c.step_position == 0 && c.step_margin == 0);
    drop(s);
    make(s, 500, 1e5, 9); /* the 90th percentile is below 2 of 9 */
    el_cli_fit(s, SIZES, scratch, &c);
    assert_true(c.step_margin > 9e8);
    el_cli_fit(s, 1, scratch, &c); /* a batch of 1 */
    assert_int_equal(c.n_chunks, 0);
    assert_true(c.chunk_margin == c.step_margin);
    drop(s);
}

/* Passes lie on the slope of steps, over the sum of their sessions' positions. */
static void test_passes(void **state)
{
    (void)state;
    static double scratch[ROOM];
    static const uint32_t sessions[] = {2, 3, 16};
    static const double pass[] = {3e6, 3.7e6, 13e6};
    edgellm_costs c = {.step = made.step, .step_position = made.step_position};
    el_cli_series s[3];
    for (int i = 0; i < 3; i++) {
        assert_true(el_cli_series_open(&s[i], sessions[i], ROOM));
        for (uint32_t k = 0; k < 500; k++) {
            const double stall = k % 100 == 7 ? 1e9 : 0; /* in one of a hundred: in no mean */
            el_cli_series_add(&s[i], k % 8,
                              pass[i] + made.step_position * sessions[i] * (k % 8) + stall);
        }
    }
    el_cli_fit_passes(s, 3, scratch, &c);
    assert_int_equal(c.n_passes, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(c.pass_sessions[i], sessions[i]);
        assert_true(near_to(c.pass[i], pass[i], 1e-6));
        el_cli_series_release(&s[i]);
    }
    el_cli_fit_passes(s, 0, scratch, &c);
    assert_int_equal(c.n_passes, 0);
}

static void test_no_negative_slope(void **state)
{
    (void)state;
    static double scratch[ROOM];
    el_cli_series s;
    edgellm_costs c;
    assert_true(el_cli_series_open(&s, 1, ROOM));
    for (uint32_t i = 0; i < 100; i++)
        el_cli_series_add(&s, i, 1e6 - 1000.0 * i);
    el_cli_fit(&s, 1, scratch, &c);
    assert_true(c.step_position == 0 && c.step > 9e5 && c.step < 1e6);
    el_cli_series_release(&s);
}

/* More samples than room: an even part of them is kept, and the longest in any case. */
static void test_thinning(void **state)
{
    (void)state;
    el_cli_series s;
    assert_true(el_cli_series_open(&s, 1, 64));
    for (uint32_t i = 0; i < 10000; i++)
        el_cli_series_add(&s, i, i == 5001 ? 1e9 : 5);
    assert_int_equal(s.seen, 10000);
    assert_true(s.n > 30 && s.n <= 64);
    for (size_t i = 1; i < s.n; i++)
        assert_int_equal(s.position[i] - s.position[i - 1], s.every);
    assert_true(s.worst_ns == 1e9 && s.worst_position == 5001);
    const edgellm_costs c = {.step = 4};
    assert_true(el_cli_fit_most_over(&s, &c) == 1e9 - 4);
    el_cli_series_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recovers),    cmocka_unit_test(test_stalls),
        cmocka_unit_test(test_few_samples), cmocka_unit_test(test_no_negative_slope),
        cmocka_unit_test(test_thinning),    cmocka_unit_test(test_passes),
    };
    return cmocka_run_group_tests_name("certify_fit", tests, NULL, NULL);
}
