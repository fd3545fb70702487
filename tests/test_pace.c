/* test_pace.c: the time that long work is said to take: nothing before it can be known, right for
 * even work, soon right when the work slows down or was partly done before. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include "cli/quantize_pace.h"
#include "support/test_help.h"

/* Notes `steps` times, evenly, up to a time and a share. */
static void go_on(el_cli_pace *p, double seconds, double done, int steps)
{
    const double from = p->seconds, begin = p->done;
    for (int i = 1; i <= steps; i++) {
        double part = (double)i / steps;
        el_cli_pace_note(p, from + part * (seconds - from), begin + part * (done - begin));
    }
}

static el_cli_pace started(double seconds)
{
    el_cli_pace p = {.begun = false};
    el_cli_pace_note(&p, seconds, 0);
    return p;
}

static bool is_near(double value, double wanted, double share)
{
    return fabs(value - wanted) <= share * wanted;
}

static void test_nothing_is_said_too_early(void **state)
{
    (void)state;
    el_cli_pace p = {.begun = false}, quick = started(0);
    assert_true(isnan(el_cli_pace_left(&p)));
    p = started(1e6);
    assert_true(isnan(el_cli_pace_left(&p)));
    go_on(&p, 1e6 + 290, 0.029, 290); /* long, but less than 3 % */
    assert_true(isnan(el_cli_pace_left(&p)));
    go_on(&p, 1e6 + 310, 0.031, 20);
    assert_false(isnan(el_cli_pace_left(&p)));
    go_on(&quick, 2, 0.5, 1000); /* much, but a moment only */
    assert_true(isnan(el_cli_pace_left(&quick)));
    go_on(&quick, 4, 1, 1000);
    assert_true(el_cli_pace_left(&quick) == 0);
}

static void test_even_work(void **state)
{
    (void)state;
    for (int steps = 3; steps < 100000; steps *= 10) { /* however often it is told */
        el_cli_pace p = started(77);
        go_on(&p, 77 + 500, 0.25, steps);
        assert_true(is_near(el_cli_pace_left(&p), 1500, 0.001));
    }
}

static void test_slower_work(void **state)
{
    (void)state;
    el_cli_pace p = started(0);
    go_on(&p, 100, 0.5, 100);
    assert_true(is_near(el_cli_pace_left(&p), 100, 0.01));
    go_on(&p, 700, 0.6, 100); /* twelve minutes more of the same kind would be 2400 s */
    assert_true(is_near(el_cli_pace_left(&p), 2400, 0.1));
}

/* What an earlier run has finished is skipped at once. */
static void test_leaps_are_no_speed(void **state)
{
    (void)state;
    el_cli_pace p = started(0);
    el_cli_pace_note(&p, 0.02, 0.4);
    assert_true(isnan(el_cli_pace_left(&p)));
    go_on(&p, 60, 0.406, 60);
    assert_true(is_near(el_cli_pace_left(&p), 5940, 0.01));
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } rows[] = {{0, "5 s"},
                {1, "5 s"},
                {34, "35 s"},
                {57.4, "55 s"},
                {59, "1 min"},
                {60, "1 min"},
                {64, "1 min"},
                {65.1, "1 min 10 s"},
                {250, "4 min 10 s"},
                {598, "10 min"},
                {830, "14 min"},
                {3569, "59 min"},
                {3570.1, "1 h 0 min"},
                {5100, "1 h 25 min"},
                {100000, "27 h 47 min"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[32];
        el_cli_pace_text(rows[i].seconds, text, sizeof text);
        assert_string_equal(text, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_said_too_early),
        cmocka_unit_test(test_even_work),
        cmocka_unit_test(test_slower_work),
        cmocka_unit_test(test_leaps_are_no_speed),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
