/* The sampler against straightforward definitions of what each option means. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sample/sampler.h"

enum { VOCAB = 500, DRAWS = 20000, CONTEXT = 64 };

typedef struct fixture {
    el_arena arena;
    el_sampler sampler;
    float logits[VOCAB];
} fixture;

static uint32_t next(uint32_t *state)
{
    return *state = *state * 1664525u + 1013904223u;
}

static int setup(void **state)
{
    static fixture f;
    const el_token_texts texts = {0};
    el_arena measure = el_arena_measure();
    uint32_t seed = 7;
    el_sampler_layout(&f.sampler, VOCAB, CONTEXT, texts, &measure);
    assert_int_equal(el_arena_reserve(&f.arena, measure.used, NULL), EDGELLM_OK);
    el_sampler_layout(&f.sampler, VOCAB, CONTEXT, texts, &f.arena);
    for (int i = 0; i < VOCAB; i++) /* coarse steps, so that ties occur */
        f.logits[i] = (float)(next(&seed) >> 24) / 16.0f - 8.0f;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    el_arena_release(&((fixture *)*state)->arena);
    return 0;
}

static edgellm_sampler_options plain(void)
{
    edgellm_sampler_options o = {.temperature = 1.0f,
                                 .top_p = 1.0f,
                                 .typical_p = 1.0f,
                                 .repeat_penalty = 1.0f,
                                 .dry_base = 1.0f};
    return o;
}

static uint32_t sample(fixture *f, const edgellm_sampler_options *o)
{
    assert_int_equal(el_sampler_set(&f->sampler, o, NULL), EDGELLM_OK);
    return el_sampler_sample(&f->sampler, f->logits, NULL, 0);
}

/* Ids from the largest logit down, smaller ids first among equals: insertion by selection. */
static void rank(const float *logits, uint32_t *order)
{
    bool taken[VOCAB] = {false};
    for (int n = 0; n < VOCAB; n++) {
        int best = -1;
        for (int i = 0; i < VOCAB; i++)
            if (!taken[i] && (best < 0 || logits[i] > logits[best])) best = i;
        taken[best] = true;
        order[n] = (uint32_t)best;
    }
}

/* Probability of each token when only the n best count; sums to 1. */
static void probabilities(const float *logits, const uint32_t *order, int n, double t, double *p)
{
    double sum = 0;
    memset(p, 0, VOCAB * sizeof *p);
    for (int i = 0; i < n; i++)
        sum += p[order[i]] = exp((logits[order[i]] - logits[order[0]]) / t);
    for (int i = 0; i < n; i++)
        p[order[i]] /= sum;
}

/* Draws often and compares frequencies with p: five standard deviations, none outside. */
static void check_frequencies(fixture *f, const edgellm_sampler_options *o, const double *p)
{
    static int seen[VOCAB];
    memset(seen, 0, sizeof seen);
    assert_int_equal(el_sampler_set(&f->sampler, o, NULL), EDGELLM_OK);
    for (int i = 0; i < DRAWS; i++)
        seen[el_sampler_sample(&f->sampler, f->logits, NULL, 0)]++;
    for (int i = 0; i < VOCAB; i++) {
        double expected = p[i] * DRAWS, bound = 5.0 * sqrt(expected) + 2.0;
        if (p[i] == 0.0) assert_int_equal(seen[i], 0);
        assert_true(fabs(seen[i] - expected) <= bound);
    }
}

static void test_greedy_takes_the_smallest_id_among_equals(void **state)
{
    fixture *f = *state;
    edgellm_sampler_options o = plain();
    uint32_t order[VOCAB];
    o.temperature = 0.0f;
    rank(f->logits, order);
    assert_int_equal(sample(f, &o), order[0]);
    f->logits[order[0]] -= 100.0f; /* the next best is among several equals in coarse steps */
    rank(f->logits, order);
    assert_int_equal(sample(f, &o), order[0]);
    f->logits[3] = f->logits[4] = 50.0f;
    assert_int_equal(sample(f, &o), 3);
}

static void test_temperature_alone_gives_the_softmax(void **state)
{
    fixture *f = *state;
    edgellm_sampler_options o = plain();
    uint32_t order[VOCAB];
    double p[VOCAB];
    rank(f->logits, order);
    o.temperature = 0.7f;
    probabilities(f->logits, order, VOCAB, 0.7, p);
    check_frequencies(f, &o, p);
}

static void test_top_k_keeps_exactly_the_best(void **state)
{
    fixture *f = *state;
    uint32_t order[VOCAB];
    double p[VOCAB];
    rank(f->logits, order);
    for (uint32_t k = 1; k <= 41; k += 8) {
        edgellm_sampler_options o = plain();
        o.top_k = k;
        probabilities(f->logits, order, (int)k, 1.0, p);
        check_frequencies(f, &o, p);
    }
}

static void test_top_p_and_min_p_cut_where_defined(void **state)
{
    fixture *f = *state;
    uint32_t order[VOCAB];
    double all[VOCAB], p[VOCAB], head = 0;
    int n = 0;
    rank(f->logits, order);
    probabilities(f->logits, order, VOCAB, 1.0, all);
    edgellm_sampler_options o = plain();
    o.top_p = 0.6f;
    while (head < 0.6)
        head += all[order[n++]];
    probabilities(f->logits, order, n, 1.0, p);
    check_frequencies(f, &o, p);

    o = plain();
    o.min_p = 0.3f;
    for (n = 0; n < VOCAB && all[order[n]] >= 0.3 * all[order[0]];)
        n++;
    probabilities(f->logits, order, n, 1.0, p);
    check_frequencies(f, &o, p);
}

static void test_repeat_penalty_counts_a_token_once_within_its_window(void **state)
{
    fixture *f = *state;
    edgellm_sampler_options o = plain();
    const uint32_t seen[] = {9, 5, 5, 6};
    o.temperature = 0.0f;
    o.repeat_penalty = 2.0f;
    o.repeat_last = 3; /* 9 is too long ago */
    f->logits[9] = 40.0f, f->logits[5] = 60.0f, f->logits[6] = 30.0f, f->logits[7] = 31.0f;
    assert_int_equal(el_sampler_set(&f->sampler, &o, NULL), EDGELLM_OK);
    assert_int_equal(el_sampler_sample(&f->sampler, f->logits, seen, 4), 9);
    f->logits[9] = 29.0f; /* 5 counts 60 / 2 = 30, not 15: the best is 7, then 5 */
    assert_int_equal(el_sampler_sample(&f->sampler, f->logits, seen, 4), 7);
    f->logits[7] = 29.5f;
    assert_int_equal(el_sampler_sample(&f->sampler, f->logits, seen, 4), 5);
}

static void test_negative_logits_are_pushed_down(void **state)
{
    fixture *f = *state;
    edgellm_sampler_options o = plain();
    const uint32_t seen[] = {1};
    for (int i = 0; i < VOCAB; i++)
        f->logits[i] = -10.0f;
    f->logits[1] = -6.0f;
    f->logits[2] = -9.0f;
    o.temperature = 0.0f;
    o.repeat_penalty = 1.6f;
    o.repeat_last = 64;
    assert_int_equal(el_sampler_set(&f->sampler, &o, NULL), EDGELLM_OK);
    assert_int_equal(el_sampler_sample(&f->sampler, f->logits, seen, 1), 2);
}

static void test_a_seed_fixes_the_draws_on_every_machine(void **state)
{
    fixture *f = *state;
    edgellm_sampler_options o = plain();
    uint64_t hash = EDGELLM_HASH_START;
    o.seed = 42;
    for (int run = 0; run < 2; run++) {
        uint64_t h = EDGELLM_HASH_START;
        assert_int_equal(el_sampler_set(&f->sampler, &o, NULL), EDGELLM_OK);
        for (int i = 0; i < 1000; i++)
            h = (h ^ el_sampler_sample(&f->sampler, f->logits, NULL, 0)) * 1099511628211u;
        if (run > 0) assert_true(h == hash);
        hash = h;
    }
    assert_true(hash == UINT64_C(0x8186f934670eb0de));
}

static void test_options_out_of_range_are_refused(void **state)
{
    fixture *f = *state;
    edgellm_error err;
    edgellm_sampler_options bad[7];
    for (int i = 0; i < 7; i++)
        bad[i] = edgellm_sampler_defaults();
    bad[0].temperature = -1.0f;
    bad[1].temperature = NAN;
    bad[2].top_p = 0.0f;
    bad[3].top_p = 1.5f;
    bad[4].min_p = -0.1f;
    bad[5].repeat_penalty = 0.0f;
    bad[6].repeat_last = EL_LOOK_BACK_MAX + 1;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(el_sampler_set(&f->sampler, &bad[i], &err), EDGELLM_ERR_USAGE);
        assert_true(strlen(err.message) > 10);
    }
}

static void test_a_saved_sampler_goes_on_with_the_same_draws(void **state)
{
    fixture *f = *state;
    uint8_t bytes[256];
    uint32_t drawn[20];
    edgellm_sampler_options o = plain();
    o.seed = UINT64_C(0x123456789abcdef0);
    sample(f, &o);
    size_t size = el_sampler_save(&f->sampler, NULL);
    assert_true(size <= sizeof bytes);
    assert_int_equal(el_sampler_save(&f->sampler, bytes), size);
    for (int i = 0; i < 20; i++)
        drawn[i] = el_sampler_sample(&f->sampler, f->logits, NULL, 0);
    o.temperature = 0.0f;
    sample(f, &o);
    assert_int_equal(el_sampler_restore(&f->sampler, bytes, size, NULL), EDGELLM_OK);
    assert_true(f->sampler.options.seed == UINT64_C(0x123456789abcdef0));
    for (int i = 0; i < 20; i++)
        assert_int_equal(el_sampler_sample(&f->sampler, f->logits, NULL, 0), drawn[i]);
}

static void test_damaged_bytes_are_refused_and_change_nothing(void **state)
{
    fixture *f = *state;
    uint8_t bytes[256], before[256], after[256];
    edgellm_error err;
    edgellm_sampler_options o = plain();
    sample(f, &o);
    size_t size = el_sampler_save(&f->sampler, bytes);
    memcpy(before, bytes, size);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(el_sampler_restore(&f->sampler, bytes, cut, &err), EDGELLM_ERR_FORMAT);
    for (int at = 0; at < 8; at++) {
        bytes[at] ^= 0xff; /* the version; a temperature of -7 or NaN */
        edgellm_status status = el_sampler_restore(&f->sampler, bytes, size, &err);
        if (at < 4 || at == 7) {
            assert_int_equal(status, EDGELLM_ERR_FORMAT);
            assert_true(strlen(err.message) > 10);
        }
        if (status == EDGELLM_ERR_FORMAT) {
            el_sampler_save(&f->sampler, after);
            assert_memory_equal(before, after, size);
        }
        bytes[at] ^= 0xff;
        assert_int_equal(el_sampler_restore(&f->sampler, bytes, size, &err), EDGELLM_OK);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_greedy_takes_the_smallest_id_among_equals),
        TEST(test_temperature_alone_gives_the_softmax),
        TEST(test_top_k_keeps_exactly_the_best),
        TEST(test_top_p_and_min_p_cut_where_defined),
        TEST(test_repeat_penalty_counts_a_token_once_within_its_window),
        TEST(test_negative_logits_are_pushed_down),
        TEST(test_a_seed_fixes_the_draws_on_every_machine),
        TEST(test_options_out_of_range_are_refused),
        TEST(test_a_saved_sampler_goes_on_with_the_same_draws),
        TEST(test_damaged_bytes_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
