/* The sampler against straightforward definitions of what each option means. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sample/candidates.h"
#include "sample/logprob.h"
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

/* Logits of which the first few count and the others are banned. */
static void set_logits(fixture *f, const float *logits, int n)
{
    for (int i = 0; i < VOCAB; i++)
        f->logits[i] = i < n ? logits[i] : -INFINITY;
}

/* Which ids are left to draw from, as bits. */
static unsigned left(fixture *f, const edgellm_sampler_options *o)
{
    unsigned bits = 0;
    assert_int_equal(el_sampler_set(&f->sampler, o, NULL), EDGELLM_OK);
    el_sampler_prepare(&f->sampler, f->logits, NULL, 0);
    for (uint32_t i = 0; i < f->sampler.candidates.n; i++)
        bits |= 1u << f->sampler.candidates.id[i];
    return bits;
}

static void test_equals_are_cut_from_the_largest_id(void **state)
{
    fixture *f = *state;
    edgellm_sampler_options o = plain();
    const float equal[] = {2, 2, 2, 2}, zeros[] = {-0.0f, 0.0f, -0.0f, 0.0f};
    set_logits(f, equal, 4);
    o.top_k = 3;
    assert_int_equal(left(f, &o), 7);
    set_logits(f, zeros, 4);
    assert_int_equal(left(f, &o), 7);
    o = plain();
    o.top_p = 0.5f; /* reached by two */
    assert_int_equal(left(f, &o), 3);
    o = plain();
    o.typical_p = 0.5f; /* exceeded by three */
    assert_int_equal(left(f, &o), 7);
    o = plain();
    o.xtc_probability = 1.0f;
    o.xtc_threshold = 0.25f; /* reached by all: the last stays */
    assert_int_equal(left(f, &o), 8);
    o.xtc_threshold = 0.26f; /* by none */
    assert_int_equal(left(f, &o), 15);
}

static void test_every_cut_leaves_one(void **state)
{
    fixture *f = *state;
    const float one[] = {-3};
    set_logits(f, one, 1);
    edgellm_sampler_options o = plain();
    o.top_p = o.typical_p = 1e-6f, o.min_p = 1, o.xtc_probability = 1, o.xtc_threshold = 0;
    assert_int_equal(left(f, &o), 1);
    for (o.mirostat = 1; o.mirostat <= 2; o.mirostat++) {
        o.mirostat_tau = 0;
        assert_int_equal(left(f, &o), 1);
        assert_int_equal(sample(f, &o), 0);
    }
}

static void test_a_banned_token_is_never_drawn(void **state)
{
    fixture *f = *state;
    edgellm_logit_bias ban[VOCAB];
    edgellm_error err;
    edgellm_sampler_options o = plain();
    for (uint32_t i = 0; i < VOCAB; i++)
        ban[i] = (edgellm_logit_bias){i, -INFINITY};
    ban[77].bias = -1e30f; /* alone, and next to impossible */
    o.logit_bias = ban;
    o.n_logit_bias = VOCAB;
    for (uint32_t k = 0; k < 3; k++)
        for (o.mirostat = 0; o.mirostat <= 2; o.mirostat++)
            for (int t = 0; t < 2; t++) {
                o.top_k = k, o.temperature = (float)t;
                assert_int_equal(sample(f, &o), 77);
            }
    o.mirostat = 0;
    ban[77].bias = -INFINITY;
    assert_int_equal(el_sampler_set(&f->sampler, &o, &err), EDGELLM_ERR_USAGE);
    assert_non_null(strstr(err.message, "ban every token"));
    ban[0].token = 77; /* twice: token 0 is left */
    assert_int_equal(sample(f, &o), 0);
}

static void test_huge_logits_and_penalties_stay_finite(void **state)
{
    fixture *f = *state;
    const float huge[] = {3e38f, -3e38f, 3e38f, 0};
    const uint32_t seen[] = {0, 1, 2, 0, 1, 2, 0, 1};
    set_logits(f, huge, 4);
    edgellm_sampler_options o = plain();
    o.repeat_penalty = 1e-3f, o.frequency_penalty = -100, o.dry_multiplier = 100, o.dry_base = 100;
    o.repeat_last = 64, o.dry_penalty_last = -1, o.typical_p = 0.9f;
    for (o.mirostat = 0; o.mirostat <= 2; o.mirostat++) {
        assert_int_equal(el_sampler_set(&f->sampler, &o, NULL), EDGELLM_OK);
        for (int i = 0; i < 50; i++)
            assert_in_range(el_sampler_sample(&f->sampler, f->logits, seen, 8), 0, 3);
        el_sampler_prepare(&f->sampler, f->logits, seen, 8);
        for (uint32_t i = 0; i < f->sampler.candidates.n; i++)
            assert_true(isfinite(f->sampler.candidates.logit[i]));
        assert_true(f->sampler.mu == f->sampler.mu);
    }
}

typedef struct bad_option {
    size_t offset;
    float value; /* of a float; else `whole` */
    uint32_t whole;
} bad_option;

static void test_options_out_of_range_are_refused(void **state)
{
    fixture *f = *state;
    edgellm_error err;
#define REAL(name, value)                                                                          \
    {                                                                                              \
        offsetof(edgellm_sampler_options, name), value, 0                                          \
    }
#define WHOLE(name, value)                                                                         \
    {                                                                                              \
        offsetof(edgellm_sampler_options, name), 0, value                                          \
    }
    const bad_option bad[] = {
        REAL(temperature, -1),
        REAL(temperature, NAN),
        REAL(temperature, 101),
        REAL(top_p, 0),
        REAL(top_p, 1.5f),
        REAL(top_p, NAN),
        REAL(min_p, -0.1f),
        REAL(min_p, 1.1f),
        REAL(typical_p, 0),
        REAL(typical_p, 1.1f),
        REAL(typical_p, NAN),
        REAL(repeat_penalty, 0),
        REAL(repeat_penalty, INFINITY),
        REAL(presence_penalty, 101),
        REAL(presence_penalty, NAN),
        REAL(frequency_penalty, -101),
        REAL(frequency_penalty, NAN),
        REAL(dry_multiplier, -1),
        REAL(dry_multiplier, NAN),
        REAL(dry_base, 0.5f),
        REAL(dry_base, NAN),
        REAL(xtc_probability, 1.1f),
        REAL(xtc_probability, NAN),
        REAL(xtc_threshold, -0.1f),
        REAL(xtc_threshold, NAN),
        REAL(mirostat_tau, -1),
        REAL(mirostat_tau, NAN),
        REAL(mirostat_eta, 1.5f),
        REAL(mirostat_eta, NAN),
        WHOLE(mirostat, 3),
        WHOLE(repeat_last, EL_LOOK_BACK_MAX + 1),
        WHOLE(dry_allowed_length, EL_LOOK_BACK_MAX + 1),
        WHOLE(dry_penalty_last, (uint32_t)-2),
        WHOLE(dry_penalty_last, EL_LOOK_BACK_MAX + 1),
        WHOLE(n_dry_breakers, EDGELLM_DRY_BREAKERS_MAX + 1),
        WHOLE(n_logit_bias, EDGELLM_LOGIT_BIAS_MAX + 1),
        WHOLE(n_logit_bias, 1),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        edgellm_sampler_options o = edgellm_sampler_defaults();
        void *field = (char *)&o + bad[i].offset;
        if (bad[i].whole)
            memcpy(field, &bad[i].whole, sizeof bad[i].whole);
        else
            memcpy(field, &bad[i].value, sizeof bad[i].value);
        assert_int_equal(el_sampler_set(&f->sampler, &o, &err), EDGELLM_ERR_USAGE);
        assert_true(strlen(err.message) > 10);
    }
}

static void test_bad_biases_and_breakers_are_refused(void **state)
{
    fixture *f = *state;
    edgellm_error err;
    const edgellm_logit_bias biases[] = {{VOCAB, 1.0f}, {1, NAN}, {1, INFINITY}};
    static const char longest[] = "0123456789012345678901234567890123456789", empty[] = "";
    static const char too_long[] = "01234567890123456789012345678901234567890";
    const char *breakers[] = {longest, empty, too_long, NULL};
    for (int i = 0; i < 3; i++) {
        edgellm_sampler_options o = edgellm_sampler_defaults();
        o.logit_bias = &biases[i];
        o.n_logit_bias = 1;
        assert_int_equal(el_sampler_set(&f->sampler, &o, &err), EDGELLM_ERR_USAGE);
    }
    for (int i = 0; i < 4; i++) {
        edgellm_sampler_options o = edgellm_sampler_defaults();
        o.dry_breakers = &breakers[i];
        o.n_dry_breakers = 1;
        assert_int_equal(el_sampler_set(&f->sampler, &o, &err), i ? EDGELLM_ERR_USAGE : EDGELLM_OK);
    }
}

/* Options that use every field; static lists, so that a copy shows. */
static edgellm_sampler_options everything(edgellm_logit_bias *bias, const char **breakers)
{
    edgellm_sampler_options o = edgellm_sampler_defaults();
    bias[0] = (edgellm_logit_bias){7, 1.5f}, bias[1] = (edgellm_logit_bias){9, -INFINITY};
    breakers[0] = "a\x01", breakers[1] = "c"; /* one bit from a NUL */
    o.logit_bias = bias, o.n_logit_bias = 2, o.dry_breakers = breakers, o.n_dry_breakers = 2;
    o.dry_multiplier = 0.7f, o.xtc_probability = 0.5f, o.xtc_threshold = 0.02f, o.typical_p = 0.9f;
    o.presence_penalty = 0.1f, o.frequency_penalty = 0.2f, o.mirostat_tau = 3.0f;
    o.seed = UINT64_C(0x123456789abcdef0);
    return o;
}

static void test_a_saved_sampler_goes_on_with_the_same_draws(void **state)
{
    fixture *f = *state;
    static uint8_t bytes[EL_SAMPLER_SAVED_MAX];
    const uint32_t seen[] = {5, 6, 7, 5, 6, 7, 5, 6};
    for (uint32_t mirostat = 0; mirostat <= 2; mirostat++) {
        edgellm_logit_bias bias[2];
        const char *breakers[2];
        uint32_t drawn[20];
        edgellm_sampler_options o = everything(bias, breakers), other = plain();
        o.mirostat = mirostat;
        sample(f, &o);
        memset(bias, 0, sizeof bias); /* the sampler has its own */
        breakers[0] = breakers[1] = NULL;
        size_t size = el_sampler_save(&f->sampler, NULL);
        assert_int_equal(el_sampler_save(&f->sampler, bytes), size);
        for (int i = 0; i < 20; i++)
            drawn[i] = el_sampler_sample(&f->sampler, f->logits, seen, 8);
        sample(f, &other);
        assert_int_equal(el_sampler_restore(&f->sampler, bytes, size, NULL), EDGELLM_OK);
        assert_true(f->sampler.options.seed == o.seed && f->sampler.options.n_logit_bias == 2);
        for (int i = 0; i < 20; i++)
            assert_int_equal(el_sampler_sample(&f->sampler, f->logits, seen, 8), drawn[i]);
    }
}

/* Any change of a byte is refused, leaving the sampler as it was, or gives a sound sampler. */
static void test_damaged_bytes_are_refused_and_change_nothing(void **state)
{
    fixture *f = *state;
    static uint8_t bytes[EL_SAMPLER_SAVED_MAX], good[EL_SAMPLER_SAVED_MAX],
        now[EL_SAMPLER_SAVED_MAX];
    edgellm_logit_bias bias[2];
    const char *breakers[2];
    edgellm_error err;
    edgellm_sampler_options o = everything(bias, breakers);
    int refused = 0;
    o.mirostat = 2;
    sample(f, &o);
    const size_t size = el_sampler_save(&f->sampler, good);
    memcpy(bytes, good, size);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(el_sampler_restore(&f->sampler, bytes, cut, &err), EDGELLM_ERR_FORMAT);
    assert_int_equal(el_sampler_restore(&f->sampler, bytes, size + 1, &err), EDGELLM_ERR_FORMAT);
    for (size_t at = 0; at < size * 8; at++) {
        bytes[at / 8] ^= (uint8_t)(1u << at % 8);
        if (el_sampler_restore(&f->sampler, bytes, size, &err) == EDGELLM_OK) {
            assert_int_equal(el_sampler_save(&f->sampler, now), size);
            assert_memory_equal(now, bytes, size);
            assert_in_range(el_sampler_sample(&f->sampler, f->logits, NULL, 0), 0, VOCAB - 1);
        } else {
            refused++;
            assert_true(strlen(err.message) > 10);
            el_sampler_save(&f->sampler, now);
            assert_memory_equal(now, good, size);
        }
        bytes[at / 8] ^= (uint8_t)(1u << at % 8);
        assert_int_equal(el_sampler_restore(&f->sampler, good, size, &err), EDGELLM_OK);
    }
    assert_true(refused > 200);
}

static void test_the_largest_sampler_fits_its_bound(void **state)
{
    fixture *f = *state;
    static edgellm_logit_bias bias[EDGELLM_LOGIT_BIAS_MAX];
    const char *breakers[EDGELLM_DRY_BREAKERS_MAX];
    edgellm_sampler_options o = edgellm_sampler_defaults();
    for (int i = 0; i < EDGELLM_DRY_BREAKERS_MAX; i++)
        breakers[i] = "0123456789012345678901234567890123456789";
    o.dry_breakers = breakers, o.n_dry_breakers = EDGELLM_DRY_BREAKERS_MAX;
    o.logit_bias = bias, o.n_logit_bias = EDGELLM_LOGIT_BIAS_MAX;
    sample(f, &o);
    assert_in_range(el_sampler_save(&f->sampler, NULL), 8192, EL_SAMPLER_SAVED_MAX);
}

/* The first of the largest, as a plain loop finds it: with equals, zeroes of both signs, infinities
 * and what is not a number, of all lengths about the step of the fast one. */
static void test_best(void **state)
{
    static const float some[] = {-1, 2, 2, 1, 0.0f, -0.0f, -INFINITY, INFINITY, NAN};
    float logit[70];
    uint32_t random = 1;
    (void)state;
    for (uint32_t round = 0; round < 20000; round++) {
        const el_candidates c = {.logit = logit, .n = 1 + round % 70};
        const uint32_t kinds = 4 + round % 6;
        uint32_t best = 0;
        for (uint32_t i = 0; i < c.n; i++) {
            random = random * 1664525 + 1013904223;
            logit[i] = some[(random >> 16) % kinds];
            if (logit[i] > logit[best]) best = i;
        }
        assert_int_equal(el_candidates_best(&c), best);
    }
}

/* Those before which fewer than k stand in the order of logits, then of ids. */
static void test_the_most_probable(void **state)
{
    static const float some[] = {-INFINITY, -3, -0.0f, 0.0f, 0.5f, 2, 2.5f, 30, -40};
    float logit[70];
    uint32_t random = 1;
    (void)state;
    for (uint32_t round = 0; round < 5000; round++) {
        const uint32_t n = 1 + round % 70, kinds = 2 + round % 8, k = round % 22;
        edgellm_logprob top[22] = {{.token = 0}};
        double sum = 0;
        for (uint32_t i = 0; i < n; i++) {
            random = random * 1664525 + 1013904223;
            logit[i] = i > 0 ? some[(random >> 16) % kinds] : 1;
        }
        const el_softmax softmax = el_softmax_of(logit, n);
        assert_int_equal(el_logprob_top(softmax, logit, n, k, top), k < n ? k : n);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t place = 0;
            for (uint32_t j = 0; j < n; j++)
                place += logit[j] > logit[i] || (j < i && logit[j] == logit[i]);
            sum += exp((double)el_logprob(softmax, logit[i]));
            if (place >= k) continue;
            assert_int_equal(top[place].token, i);
            assert_true(top[place].logprob == el_logprob(softmax, logit[i]));
        }
        assert_true(fabs(sum - 1) < 1e-5);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_best),
        cmocka_unit_test(test_the_most_probable),
        TEST(test_greedy_takes_the_smallest_id_among_equals),
        TEST(test_temperature_alone_gives_the_softmax),
        TEST(test_top_k_keeps_exactly_the_best),
        TEST(test_top_p_and_min_p_cut_where_defined),
        TEST(test_repeat_penalty_counts_a_token_once_within_its_window),
        TEST(test_negative_logits_are_pushed_down),
        TEST(test_a_seed_fixes_the_draws_on_every_machine),
        TEST(test_equals_are_cut_from_the_largest_id),
        TEST(test_every_cut_leaves_one),
        TEST(test_a_banned_token_is_never_drawn),
        TEST(test_huge_logits_and_penalties_stay_finite),
        TEST(test_options_out_of_range_are_refused),
        TEST(test_bad_biases_and_breakers_are_refused),
        TEST(test_a_saved_sampler_goes_on_with_the_same_draws),
        TEST(test_damaged_bytes_are_refused_and_change_nothing),
        TEST(test_the_largest_sampler_fits_its_bound),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
