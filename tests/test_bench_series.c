/* test_bench_series.c: figures of known times: jitter over equal requests only, percentiles only
 * with enough samples, medians over blocks, the line over positions, outliers and their causes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include "cli/bench_series.h"
#include "cli/doctor_tree.h"
#include "support/test_help.h"

static el_cli_bench_series reserved(uint32_t runs, uint32_t steps, uint32_t blocks, bool trace)
{
    edgellm_error err;
    el_cli_bench_series s;
    assert_ok(el_cli_bench_series_reserve(&s, runs, steps, blocks, trace, &err));
    return s;
}

/* A whole request: the first token after `first` ms, then one every `gap` ms. */
static el_cli_bench_request *add(el_cli_bench_series *s, uint32_t block, double first, double gap)
{
    double *times = el_cli_bench_times(s, s->n);
    el_cli_bench_request *r = &s->requests[s->n++];
    *r = (el_cli_bench_request){.block = block,
                                .count = s->steps + 1,
                                .tokens = s->steps + 1,
                                .prompt_tokens = 100,
                                .prefill_ms = NAN};
    for (uint32_t i = 0; i <= s->steps; i++)
        times[i] = first + i * gap;
    return r;
}

static void assert_near(double value, double wanted)
{
    if (!(fabs(value - wanted) <= 1e-9 * (1 + fabs(wanted))))
        fail_msg("%.12g where %.12g is right", value, wanted);
}

static void test_jitter_is_of_equal_requests(void **state)
{
    (void)state;
    el_cli_bench_series s = reserved(5, 10, 1, false);
    add(&s, 0, 5, 1);
    add(&s, 0, 7, 1);
    add(&s, 0, 9, 1);
    add(&s, 0, 1000, 1)->fewer = true;
    el_cli_bench_request *failed = add(&s, 0, 1000, 2);
    failed->failed = true;
    failed->count = 4;
    el_cli_bench_figures f = el_cli_bench_pooled(&s, EL_CLI_BENCH_REQUEST, EL_CLI_BENCH_ALL);
    assert_int_equal(f.samples, 3);
    assert_near(f.mean, 17);
    assert_near(f.deviation, 2);
    assert_near(f.max, 19);
    assert_true(isnan(f.p50) && isnan(f.spread)); /* needs 20 samples */
    f = el_cli_bench_pooled(&s, EL_CLI_BENCH_FIRST, EL_CLI_BENCH_ALL);
    assert_int_equal(f.samples, 4);
    f = el_cli_bench_pooled(&s, EL_CLI_BENCH_GAP, EL_CLI_BENCH_ALL);
    assert_int_equal(f.samples, 4 * 10 + 3); /* what came of the failed one counts too */
    assert_near(f.max, 2);
    assert_near(el_cli_bench_speed(&s, EL_CLI_BENCH_ALL), 1000);
    const el_cli_bench_faulty count = el_cli_bench_count_faulty(&s);
    assert_int_equal(count.failed, 1);
    assert_int_equal(count.fewer, 1);
    el_cli_bench_series_release(&s);
}

static void test_percentiles_need_samples(void **state)
{
    (void)state;
    for (uint32_t runs = 999; runs <= 1000; runs++) {
        el_cli_bench_series s = reserved(runs, 1, 1, false);
        for (uint32_t i = 0; i < runs; i++)
            add(&s, 0, 1, 1 + i);
        el_cli_bench_figures f = el_cli_bench_pooled(&s, EL_CLI_BENCH_GAP, EL_CLI_BENCH_ALL);
        assert_near(f.p50, 500);
        assert_near(f.p90, 900);
        assert_true(isnan(f.p999));
        assert_int_equal(isnan(f.p99), runs < 1000);
        if (runs == 1000) assert_near(f.p99, 990);
        if (runs == 1000) assert_near(f.spread, 490);
        el_cli_bench_series_release(&s);
    }
}

static void test_medians_over_blocks(void **state)
{
    (void)state;
    el_cli_bench_series s = reserved(9, 1, 3, false);
    static const double starts[] = {10, 1000, 20}; /* one block met something */
    for (uint32_t b = 0; b < 3; b++) {
        add(&s, b, starts[b], 0);
        add(&s, b, starts[b] + 1 + b, 0);
    }
    el_cli_bench_figures f = el_cli_bench_over_blocks(&s, EL_CLI_BENCH_REQUEST);
    assert_int_equal(f.samples, 2);
    assert_near(f.mean, 21.5);
    assert_near(f.max, 23);
    assert_near(f.deviation, sqrt(2)); /* 1, 2, 3 apart: sd 0.707, 1.414, 2.121 */
    assert_true(isnan(f.p50));
    add(&s, 2, 20, 0);
    assert_int_equal(el_cli_bench_over_blocks(&s, EL_CLI_BENCH_REQUEST).samples, 2);
    el_cli_bench_series_release(&s);
}

/* A block that a backend did not live to see leaves no figure. */
static void test_a_block_without_samples(void **state)
{
    (void)state;
    el_cli_bench_series s = reserved(4, 2, 2, false);
    add(&s, 0, 1, 1);
    add(&s, 0, 1, 1);
    el_cli_bench_figures f = el_cli_bench_over_blocks(&s, EL_CLI_BENCH_GAP);
    assert_int_equal(f.samples, 0);
    assert_true(isnan(f.mean) && isnan(f.max));
    assert_true(isnan(el_cli_bench_speed_over_blocks(&s)));
    assert_near(el_cli_bench_speed(&s, 0), 1000);
    el_cli_bench_series_release(&s);
    s = reserved(1, 1, 1, false);
    assert_true(isnan(el_cli_bench_pooled(&s, EL_CLI_BENCH_GAP, EL_CLI_BENCH_ALL).max));
    assert_true(isnan(el_cli_bench_fit_of(&s).b));
    assert_int_equal(el_cli_bench_outliers(&s, NULL, 0), 0);
    assert_true(el_cli_bench_prompt_length(&s) == EL_CLI_UNKNOWN);
    el_cli_bench_series_release(&s);
}

static void test_line_over_positions(void **state)
{
    (void)state;
    el_cli_bench_series s = reserved(5, 64, 1, false);
    el_cli_bench_range ranges[EL_CLI_BENCH_RANGES];
    for (uint32_t i = 0; i < 5; i++) {
        add(&s, 0, 3, 0);
        double *times = el_cli_bench_times(&s, i);
        for (uint32_t n = 1; n <= 64; n++) /* behind 100 tokens of prompt */
            times[n] = times[n - 1] + 2 + 0.01 * (100 + n) + (i == 4 && n % 7 == 0 ? 50 : 0);
    }
    const el_cli_bench_fit fit = el_cli_bench_fit_of(&s); /* single outliers do not tilt it */
    assert_true(fabs(fit.a - 2) < 1e-6 && fabs(fit.b - 0.01) < 1e-8);
    assert_int_equal(el_cli_bench_ranges_of(&s, ranges), EL_CLI_BENCH_RANGES);
    assert_int_equal(ranges[0].first, 101);
    assert_int_equal(ranges[0].last, 108);
    assert_int_equal(ranges[7].last, 164);
    assert_true(ranges[7].median > ranges[0].median + 0.5);
    el_cli_bench_series_release(&s);
    s = reserved(1, 3, 1, false); /* fewer steps than ranges */
    add(&s, 0, 1, 1);
    assert_int_equal(el_cli_bench_ranges_of(&s, ranges), 3);
    el_cli_bench_series_release(&s);
}

static void test_outliers(void **state)
{
    (void)state;
    el_cli_bench_outlier found[2];
    el_cli_bench_series s = reserved(3, 20, 1, false);
    for (uint32_t i = 0; i < 3; i++)
        add(&s, 0, 1, 2);
    for (uint32_t t = 5; t <= 20; t++)
        el_cli_bench_times(&s, 1)[t] += 1.3; /* a gap of 3.3 is beyond 2 x 1.5 + 0.2 */
    for (uint32_t t = 9; t <= 20; t++)
        el_cli_bench_times(&s, 2)[t] += 1.1; /* 3.1 is not */
    for (uint32_t t = 20; t <= 20; t++)
        el_cli_bench_times(&s, 2)[t] += 30;
    s.requests[1].after.wait_ns = 400000;
    s.requests[2].after.major = 1;
    assert_near(el_cli_bench_bound(&s), 3.2);
    assert_int_equal(el_cli_bench_outliers(&s, NULL, 0), 2);
    assert_int_equal(el_cli_bench_outliers(&s, found, 2), 2);
    assert_int_equal(found[0].request, 1);
    assert_int_equal(found[0].step, 5);
    assert_near(found[0].excess, 1.3);
    assert_string_equal(el_cli_bench_causes[__builtin_ctz(found[0].causes)].key, "run_queue_wait");
    assert_string_equal(el_cli_bench_causes[__builtin_ctz(found[1].causes)].key, "major_fault");
    assert_int_equal(el_cli_bench_outliers(&s, found, 1), 2); /* counted beyond the room */
    el_cli_bench_series_release(&s);
}

/* With a trace the counters are those around the gap, not around the request. */
static void test_traced_outliers(void **state)
{
    (void)state;
    el_cli_bench_outlier found[2];
    el_cli_bench_series s = reserved(1, 20, 1, true);
    add(&s, 0, 1, 2)->after.major = 3;
    for (uint32_t t = 4; t <= 20; t++)
        el_cli_bench_times(&s, 0)[t] += 20;
    for (uint32_t t = 9; t <= 20; t++) {
        el_cli_bench_times(&s, 0)[t] += 10;
        s.trace[t].major = 1;
    }
    assert_int_equal(el_cli_bench_outliers(&s, found, 2), 2);
    assert_int_equal(found[0].causes, 0);
    assert_string_equal(el_cli_bench_causes[__builtin_ctz(found[1].causes)].key, "major_fault");
    el_cli_bench_series_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jitter_is_of_equal_requests),
        cmocka_unit_test(test_percentiles_need_samples),
        cmocka_unit_test(test_medians_over_blocks),
        cmocka_unit_test(test_a_block_without_samples),
        cmocka_unit_test(test_line_over_positions),
        cmocka_unit_test(test_outliers),
        cmocka_unit_test(test_traced_outliers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
