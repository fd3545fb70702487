/* test_perplexity.c: the sums behind `edgellm perplexity`, against formulas worked out by hand and
 * sums in long double; and what 16-bit codes cost. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "cli/perplexity_numbers.h"
#include "support/test_help.h"

enum { VOCAB = 5000 };

/* Whole numbers of 2^-12 in +-span/2, so that floats hold them. */
static void fill(float *logits, float span, uint64_t seed)
{
    for (int i = 0; i < VOCAB; i++) {
        double unit = (double)(next_random(&seed) >> 40) / (1 << 24) - 0.5;
        logits[i] = (float)(floor(unit * span * 4096) / 4096);
    }
}

static long double log_sum(const long double *logits, int n)
{
    long double top = logits[0], sum = 0;
    for (int i = 1; i < n; i++)
        if (logits[i] > top) top = logits[i];
    for (int i = 0; i < n; i++)
        sum += expl(logits[i] - top);
    // cppcheck-suppress invalidFunctionArg ; the sum holds exp(0)
    return top + logl(sum);
}

static double reference_divergence(const long double *p, const long double *q, int n)
{
    long double p_sum = log_sum(p, n), q_sum = log_sum(q, n), kl = 0;
    for (int i = 0; i < n; i++)
        kl += expl(p[i] - p_sum) * (p[i] - p_sum - q[i] + q_sum);
    return (double)kl;
}

static el_cli_comparison compare(const float *p, const float *q, uint32_t n, uint32_t token)
{
    static uint16_t codes[VOCAB];
    el_cli_coded head;
    el_cli_code(p, n, &head, codes);
    return el_cli_compare(&head, codes, q, n, token);
}

static void assert_near(double value, double expected, double most)
{
    if (!(fabs(value - expected) <= most)) fail_msg("%.17g, not %.17g", value, expected);
}

/* ---- likelihood ---- */

static void test_nll(void **state)
{
    (void)state;
    const float equal[4] = {3, 3, 3, 3}, two[2] = {0, logf(3)};
    assert_near(el_cli_nll(equal, 4, 2), log(4), 1e-15);
    assert_near(el_cli_nll(two, 2, 0), log(4), 1e-7); /* 1 to 3 */
    assert_near(el_cli_nll(two, 2, 1), log(4.0 / 3), 1e-7);
    const float far[3] = {-1e30f, 1e30f, 1e30f};
    assert_near(el_cli_nll(far, 3, 1), log(2), 1e-15);
}

static void test_both_ways_give_the_same_likelihood(void **state)
{
    (void)state;
    float p[VOCAB], q[VOCAB];
    fill(p, 30, 1);
    fill(q, 30, 2);
    for (uint32_t token = 0; token < VOCAB; token += 611)
        assert_true(compare(p, q, VOCAB, token).nll == el_cli_nll(q, VOCAB, token));
}

/* ---- divergence ---- */

/* Two tokens: the ends of the codes, so nothing is rounded. */
static void test_divergence_by_hand(void **state)
{
    (void)state;
    static const double odds[][2] = {{1, 1}, {1, 2}, {2, 1}, {9, 1}, {1, 99}, {1000, 1}};
    for (size_t i = 0; i < 6; i++) {
        for (size_t j = 0; j < 6; j++) {
            double p = odds[i][0] / (odds[i][0] + odds[i][1]);
            double q = odds[j][0] / (odds[j][0] + odds[j][1]);
            double kl = p * log(p / q) + (1 - p) * log((1 - p) / (1 - q));
            const float a[2] = {(float)log(p), (float)log(1 - p)};
            const float b[2] = {(float)(log(q) + 7), (float)(log(1 - q) + 7)}; /* a shift is none */
            el_cli_comparison c = compare(a, b, 2, 0);
            assert_near(c.divergence, kl, 3e-6); /* the logits are floats */
            assert_int_equal(c.agrees, (p >= 0.5) == (q >= 0.5));
        }
    }
}

static void test_divergence_of_many(void **state)
{
    (void)state;
    static long double coded[VOCAB], whole[VOCAB], model[VOCAB];
    static float p[VOCAB], q[VOCAB];
    static uint16_t codes[VOCAB];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        el_cli_coded head;
        fill(p, 30, seed);
        fill(q, seed % 2 ? 1 : 20, seed + 100);
        for (int i = 0; i < VOCAB; i++)
            q[i] = seed % 2 ? p[i] + q[i] : q[i]; /* near it, far from it */
        el_cli_code(p, VOCAB, &head, codes);
        for (uint32_t i = 0; i < VOCAB; i++) {
            coded[i] = el_cli_decode(&head, codes[i]);
            whole[i] = p[i];
            model[i] = q[i];
        }
        double got = el_cli_compare(&head, codes, q, VOCAB, 0).divergence;
        double rounded = reference_divergence(coded, model, VOCAB);
        assert_near(got, rounded, 1e-12 * (1 + rounded));
        assert_near(got, reference_divergence(whole, model, VOCAB), 1e-3);
    }
}

/* What the header says of codes: some 1e-8 nats between a distribution and its own codes. */
static void test_codes_cost_little(void **state)
{
    (void)state;
    static float p[VOCAB];
    double sum = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        fill(p, 30, seed);
        el_cli_comparison c = compare(p, p, VOCAB, 0);
        assert_true(c.agrees);
        assert_true(c.divergence > -1e-12 && c.divergence < 3e-8);
        sum += c.divergence;
    }
    assert_true(sum / 50 > 1e-9 && sum / 50 < 2e-8);
}

/* ---- codes ---- */

static void test_codes(void **state)
{
    (void)state;
    static float p[VOCAB];
    static uint16_t codes[VOCAB];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        el_cli_coded head;
        fill(p, (float)(seed * seed), seed);
        el_cli_code(p, VOCAB, &head, codes);
        double most = ((double)head.high - head.low) / (2 * EL_CLI_CODE_MAX);
        double bias = 0;
        for (uint32_t i = 0; i < VOCAB; i++) {
            double off = el_cli_decode(&head, codes[i]) - p[i];
            assert_true(p[i] >= head.low && p[i] <= head.high && p[i] <= p[head.best]);
            assert_true(fabs(off) <= most * 1.0001 + 1e-12);
            bias += off / VOCAB;
        }
        assert_true(fabs(bias) < most / 20);
        assert_int_equal(codes[head.best], EL_CLI_CODE_MAX);
    }
}

static void test_codes_of_odd_logits(void **state)
{
    (void)state;
    uint16_t codes[4];
    el_cli_coded head;
    const float equal[4] = {-2, -2, -2, -2}, pairs[4] = {1, 5, 5, 1},
                huge[4] = {-3e38f, 0, 3e38f, 1};
    el_cli_code(equal, 4, &head, codes);
    assert_int_equal(head.best, 0);
    for (int i = 0; i < 4; i++)
        assert_true(el_cli_decode(&head, codes[i]) == -2);
    assert_near(compare(equal, pairs, 4, 0).divergence, log((1 + exp(4)) / 2) - 2, 1e-14);
    el_cli_code(pairs, 4, &head, codes);
    assert_int_equal(head.best, 1); /* the first of equals */
    el_cli_code(huge, 4, &head, codes);
    assert_int_equal(codes[0], 0);
    assert_int_equal(codes[2], EL_CLI_CODE_MAX);
    assert_near(compare(huge, huge, 4, 2).divergence, 0, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nll),
        cmocka_unit_test(test_both_ways_give_the_same_likelihood),
        cmocka_unit_test(test_divergence_by_hand),
        cmocka_unit_test(test_divergence_of_many),
        cmocka_unit_test(test_codes_cost_little),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_codes_of_odd_logits),
    };
    return cmocka_run_group_tests_name("perplexity", tests, NULL, NULL);
}
