/*
 * test_gptq.c: rounding that makes up for its errors, against the algorithm in double, column by
 * column; against plain rounding on inputs that are independent (equal) and on others (better);
 * rotated, against the same rotated by hand; and moments that are of no use.
 */
#include "support/test_help.h"

#include <math.h>
#include <stdlib.h>

#include "support/naive.h"
#include "train/gptq.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum { ROWS = 40, COLS = 100, WIDE = 192 }; /* WIDE: what can be rotated */

typedef struct form {
    el_codec codec;
    uint32_t group, cols;
    bool rotated;
} form;

static const form forms[] = {{EL_CODEC_S2, 0, COLS, false},  {EL_CODEC_S3, 32, COLS, false},
                             {EL_CODEC_S4, 64, COLS, false}, {EL_CODEC_O2, 32, COLS, false},
                             {EL_CODEC_O3, 64, COLS, false}, {EL_CODEC_O4, 128, COLS, false}};

/* What a rounding needs, and its result. */
typedef struct rounding {
    el_arena arena;
    el_latent l;
    float *w, *h; /* (ROWS, cols) weights; (cols, cols) */
    float *factor, *importance;
    el_gptq gptq;
} rounding;

/* Second moments of inputs that share a few sources, with channels of very different size. */
static float *correlated(uint64_t seed)
{
    enum { SAMPLES = 300, SOURCES = 8 };
    el_random r = {seed};
    float *mix = naive_noise(&r, SOURCES * COLS, 1), *h = naive_zeroes(COLS * COLS, sizeof *h);
    for (int s = 0; s < SAMPLES; s++) {
        float *z = naive_noise(&r, SOURCES, 1), *x = naive_noise(&r, COLS, 0.3f);
        for (int c = 0; c < COLS; c++) {
            for (int k = 0; k < SOURCES; k++)
                x[c] += z[k] * mix[k * COLS + c];
            x[c] *= c % 10 == 0 ? 5.0f : 1.0f;
        }
        for (int i = 0; i < COLS * COLS; i++)
            h[i] += x[i / COLS] * x[i % COLS] / SAMPLES;
        free(z);
        free(x);
    }
    free(mix);
    return h;
}

static float *identity(void)
{
    float *h = naive_zeroes(COLS * COLS, sizeof *h);
    for (int i = 0; i < COLS; i++)
        h[i * COLS + i] = 1;
    return h;
}

static el_latent latent_of(el_arena *arena, form f)
{
    edgellm_error err;
    *arena = el_arena_measure();
    el_latent_layout(arena, ROWS, f.cols, f.codec, f.group);
    assert_ok(el_arena_reserve(arena, arena->used, &err));
    el_latent l = el_latent_layout(arena, ROWS, f.cols, f.codec, f.group);
    l.rotated = f.rotated;
    return l;
}

/* h is owned from here on. */
static rounding begin(form f, float *h)
{
    edgellm_error err;
    el_random r = {f.codec + f.group};
    rounding p = {.h = h, .w = naive_noise(&r, (size_t)ROWS * f.cols, 0.1f)};
    p.factor = naive_noise(&r, (size_t)f.cols * f.cols, 1);
    p.importance = naive_noise(&r, f.cols, 1);
    p.l = latent_of(&p.arena, f);
    assert_ok(el_gptq_prepare(h, f.cols, f.rotated, 0.01f, p.factor, p.importance, &p.gptq, &err));
    return p;
}

static void end(rounding *p)
{
    free(p->w);
    free(p->h);
    free(p->factor);
    free(p->importance);
    el_arena_release(&p->arena);
}

/* Rounds all rows in the bands that are used; w keeps its weights. */
static void run(rounding *p)
{
    for (uint32_t first = 0; first < ROWS; first += EL_GPTQ_BAND) {
        uint32_t left = ROWS - first, count = left < EL_GPTQ_BAND ? left : EL_GPTQ_BAND;
        size_t cols = p->l.cols;
        float *w = naive_zeroes(count * cols, sizeof *w);
        float *errors = naive_zeroes((size_t)count * p->l.group, sizeof *errors);
        memcpy(w, p->w + first * cols, count * cols * sizeof *w);
        el_gptq_rows(&p->gptq, &p->l, first, count, w, errors);
        free(w);
        free(errors);
    }
}

/* Each group by itself. */
static void plain(const el_latent *l, const float *w, const float *importance)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        el_latent_references(l, r, w + (size_t)r * COLS);
        for (uint32_t g = 0; g < l->groups; g++) {
            uint32_t first;
            el_latent_span(l, g, &first);
            el_latent_fit(l, r, g, w + (size_t)r * COLS + first, importance + first);
        }
    }
}

static void assert_same_latents(const el_latent *a, const el_latent *b)
{
    size_t groups = (size_t)ROWS * a->groups;
    assert_memory_equal(a->u, b->u, ROWS * COLS * sizeof *a->u);
    assert_memory_equal(a->steps, b->steps, groups * sizeof *a->steps);
    assert_memory_equal(a->ref, b->ref, ROWS * sizeof *a->ref);
    if (!a->shifts) return;
    assert_memory_equal(a->shifts, b->shifts, groups * sizeof *a->shifts);
    assert_memory_equal(a->oref, b->oref, ROWS * sizeof *a->oref);
}

/* ---- independent inputs ------------------------------------------------------------------ */

static void check_plain(form f, float *h)
{
    el_arena arena;
    el_latent l = latent_of(&arena, f);
    rounding p = begin(f, h);
    run(&p);
    plain(&l, p.w, p.importance);
    assert_same_latents(&p.l, &l);
    end(&p);
    el_arena_release(&arena);
}

static void test_independent_inputs_are_rounded_plainly(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(forms); i++)
        check_plain(forms[i], identity());
}

static void test_no_inputs_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(forms); i++)
        check_plain(forms[i], naive_zeroes(COLS * COLS, sizeof(float)));
}

/* ---- against the algorithm in double ----------------------------------------------------- */

/* Inverse of a symmetric positive matrix, by Gauss and Jordan; `a` is used up. */
static double *inverse_of(double *a)
{
    double *inverse = naive_zeroes(COLS * COLS, sizeof *inverse);
    for (int i = 0; i < COLS; i++)
        inverse[i * COLS + i] = 1;
    for (int i = 0; i < COLS; i++) {
        double pivot = a[i * COLS + i];
        for (int k = 0; k < COLS; k++) {
            a[i * COLS + k] /= pivot;
            inverse[i * COLS + k] /= pivot;
        }
        for (int r = 0; r < COLS; r++) {
            double by = r == i ? 0 : a[r * COLS + i];
            for (int k = 0; k < COLS; k++) {
                a[r * COLS + k] -= by * a[i * COLS + k];
                inverse[r * COLS + k] -= by * inverse[i * COLS + k];
            }
        }
    }
    return inverse;
}

/* U with U' U = a, row by row; in place, the lower triangle becomes 0. */
static void upper_factor(double *a)
{
    for (int i = 0; i < COLS; i++) {
        for (int k = i; k < COLS; k++) {
            for (int j = 0; j < i; j++)
                a[i * COLS + k] -= a[j * COLS + i] * a[j * COLS + k];
        }
        double root = sqrt(a[i * COLS + i]);
        for (int k = 0; k < COLS; k++)
            a[i * COLS + k] = k < i ? 0 : a[i * COLS + k] / root;
    }
}

static double *naive_factor(const float *h, double damping)
{
    double *a = naive_double(h, COLS * COLS), mean = 0;
    for (int i = 0; i < COLS; i++)
        mean += a[i * COLS + i] / COLS;
    for (int i = 0; i < COLS; i++)
        a[i * COLS + i] += damping * mean;
    double *u = inverse_of(a);
    free(a);
    upper_factor(u);
    return u;
}

static double group_error(const rounding *p, const el_latent *l, uint32_t row, uint32_t group,
                          const float *x)
{
    double sum = 0;
    uint32_t first, n = el_latent_span(l, group, &first);
    for (uint32_t i = 0; i < n; i++) {
        uint16_t u = el_latent_place(l, row, group, x[i]);
        double d = x[i] - el_latent_value(l, row, group, u);
        sum += p->importance[first + i] * d * d;
    }
    return sum;
}

/* Was the group fitted to its weights as corrected so far? `l`: room for a fit of our own. */
static void check_fit(const rounding *p, const el_latent *l, uint32_t row, uint32_t col,
                      const double *w)
{
    float x[COLS] = {0};
    uint32_t group = col / l->group, first, n = el_latent_span(l, group, &first);
    for (uint32_t i = 0; i < n; i++)
        x[i] = (float)w[col + i];
    el_latent_fit(l, row, group, x, p->importance + col);
    double got = group_error(p, &p->l, row, group, x), want = group_error(p, l, row, group, x);
    assert_true(fabs(got - want) <= 1e-3 * want);
}

/* One row; returns how many columns were compared: at a tie the ways may part. */
static int follow(const rounding *p, const el_latent *l, const double *factor, uint32_t row)
{
    double *w = naive_double(p->w + (size_t)row * COLS, COLS);
    uint32_t j = 0;
    for (; j < COLS; j++) {
        uint32_t group = j / l->group;
        if (j % l->group == 0) check_fit(p, l, row, j, w);
        double scale = el_latent_scale(&p->l, row, group);
        double offset = el_latent_offset(&p->l, row, group);
        double u = (w[j] - offset) / scale + l->zero;
        u = fmin(fmax(u, l->low - 0.5), l->high + 0.5);
        double code = fmin(fmax(rint(u), l->low), l->high);
        double got = l->floor + l->unit * (float)p->l.u[(size_t)row * COLS + j];
        assert_true(fabs(u - got) < 1e-3 + l->unit);
        if (fabs(fabs(u - code) - 0.5) < 2e-3 && u > l->low && u < l->high) break;
        double error = (w[j] - (scale * (code - l->zero) + offset)) / factor[j * COLS + j];
        for (uint32_t k = j + 1; k < COLS; k++)
            w[k] -= error * factor[j * COLS + k];
    }
    free(w);
    return (int)j;
}

static void test_the_algorithm(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(forms); i++) {
        el_arena arena;
        el_latent l = latent_of(&arena, forms[i]);
        rounding p = begin(forms[i], correlated(i + 1));
        double *factor = naive_factor(p.h, 0.01);
        int compared = 0;
        naive_compare(p.factor, factor, COLS * COLS, 1e-5, "factor");
        run(&p);
        for (uint32_t row = 0; row < ROWS; row++) {
            el_latent_references(&l, row, p.w + (size_t)row * COLS);
            compared += follow(&p, &l, factor, row);
        }
        assert_true(compared > ROWS * COLS / 2);
        free(factor);
        end(&p);
        el_arena_release(&arena);
    }
}

/* ---- better than plain rounding ---------------------------------------------------------- */

static void check_better(form f, float *h, double share)
{
    el_arena arena;
    el_latent l = latent_of(&arena, f);
    rounding p = begin(f, h);
    run(&p);
    plain(&l, p.w, p.importance);
    double got = naive_output_error(&p.l, p.w, p.h), of_plain = naive_output_error(&l, p.w, p.h);
    if (!(got < share * of_plain))
        fail_msg("%s, group %u: error %g, of plain rounding %g", el_codecs[f.codec].name, f.group,
                 got, of_plain);
    end(&p);
    el_arena_release(&arena);
}

static void test_correlated_inputs(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(forms); i++)
        check_better(forms[i], correlated(i + 20), 0.5);
}

static void test_dead_channels(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(forms); i++) {
        float *h = correlated(i + 40);
        for (int k = 0; k < COLS; k++) {
            for (int dead = 3; dead < COLS; dead += 7)
                h[k * COLS + dead] = h[dead * COLS + k] = 0;
        }
        check_better(forms[i], h, 0.5);
    }
}

/* Fewer samples than channels: no factor without damping. */
static void test_too_few_samples(void **state)
{
    (void)state;
    el_random r = {77};
    float *x = naive_noise(&r, COLS, 1), *h = naive_zeroes(COLS * COLS, sizeof *h);
    for (int i = 0; i < COLS * COLS; i++)
        h[i] = x[i / COLS] * x[i % COLS];
    free(x);
    check_better(forms[1], h, 0.5);
}

/* ---- kept -------------------------------------------------------------------------------- */

/* Whatever the inputs are: each group by itself, all its weights alike. */
static void test_what_is_kept_is_rounded_plainly(void **state)
{
    (void)state;
    float alike[COLS];
    for (int i = 0; i < COLS; i++)
        alike[i] = 1.0f;
    for (size_t i = 0; i < LENGTH(forms); i++) {
        el_arena arena;
        el_latent l = latent_of(&arena, forms[i]);
        rounding p = begin(forms[i], correlated(i + 40));
        p.l.kept = true;
        run(&p);
        plain(&l, p.w, alike);
        assert_same_latents(&p.l, &l);
        end(&p);
        el_arena_release(&arena);
    }
}

/* 16 levels for 32 weights, the first and the last among them: what Q4_1 has. */
static void put_on_levels(float *w)
{
    el_random r = {5};
    for (int i = 0; i < ROWS * COLS; i++) {
        int in_group = i % COLS % 32;
        float step = 0.01f + 0.001f * (float)(i / COLS % 7), least = -7.3f * step;
        float level = in_group < 2 ? 15.0f * (float)in_group : (float)el_random_below(&r, 16);
        w[i] = least + step * level;
    }
}

/* A source's own levels are found again, but for what bytes cannot tell of scales and offsets. */
static void test_levels_of_a_source_are_kept(void **state)
{
    (void)state;
    const form levels = {EL_CODEC_O4, 32, COLS, false};
    float *alike = identity();
    rounding p = begin(levels, correlated(60));
    double size = 0;
    p.l.kept = true;
    put_on_levels(p.w);
    run(&p);
    for (int i = 0; i < ROWS * COLS; i++)
        size += (double)p.w[i] * (double)p.w[i];
    double lost = naive_output_error(&p.l, p.w, alike);
    if (!(lost < 3e-4 * size)) fail_msg("%g of %g lost", lost, size);
    end(&p);
    free(alike);
}

/* ---- rotated ----------------------------------------------------------------------------- */

static const form rotated_forms[] = {{EL_CODEC_S2, 128, WIDE, true}, {EL_CODEC_S3, 0, WIDE, true},
                                     {EL_CODEC_S4, 64, WIDE, true},  {EL_CODEC_I8, 128, WIDE, true},
                                     {EL_CODEC_O2, 32, WIDE, true},  {EL_CODEC_O3, 64, WIDE, true}};

/* Noise in which some numbers of each row, not the same everywhere, are tenfold. */
static float *spiked(uint64_t seed, uint32_t rows, float deviation)
{
    el_random r = {seed};
    float *x = naive_noise(&r, (size_t)rows * WIDE, deviation);
    for (uint32_t i = 0; i < rows; i++) {
        for (int k = 0; k < WIDE / 32; k++)
            x[(size_t)i * WIDE + el_random_below(&r, WIDE)] *= 10;
    }
    return x;
}

/* Moments of inputs of which a few channels are ten times as large as the others. */
static float *with_outliers(uint64_t seed)
{
    enum { SAMPLES = 400 };
    el_random r = {seed};
    float *h = naive_zeroes(WIDE * WIDE, sizeof *h), *mix = naive_noise(&r, WIDE, 0.5f);
    for (int s = 0; s < SAMPLES; s++) {
        float *x = naive_noise(&r, WIDE, 1), common = el_random_unit(&r);
        for (int c = 0; c < WIDE; c++)
            x[c] = (x[c] + common * mix[c]) * (c % 50 == 7 ? 10.0f : 1.0f);
        for (int i = 0; i < WIDE * WIDE; i++)
            h[i] += x[i / WIDE] * x[i % WIDE] / SAMPLES;
        free(x);
    }
    free(mix);
    return h;
}

static void swap_in(rounding *p, float *w)
{
    free(p->w);
    p->w = w;
}

static float *floats_of(double *x, size_t count)
{
    float *y = naive_zeroes(count, sizeof *y);
    for (size_t i = 0; i < count; i++)
        y[i] = (float)x[i];
    free(x);
    return y;
}

/* Rows of w rotated. */
static float *turned_rows(const float *w, uint32_t rows)
{
    size_t count = (size_t)rows * WIDE;
    double *x = naive_double(w, count);
    naive_hadamard(x, count / 64);
    return floats_of(x, count);
}

/* Rows and columns of h rotated. */
static float *turned_moments(const float *h)
{
    double *x = naive_double(h, WIDE * WIDE), column[WIDE];
    naive_hadamard(x, WIDE * WIDE / 64);
    for (int c = 0; c < WIDE; c++) {
        for (int i = 0; i < WIDE; i++)
            column[i] = x[i * WIDE + c];
        naive_hadamard(column, WIDE / 64);
        for (int i = 0; i < WIDE; i++)
            x[i * WIDE + c] = column[i];
    }
    return floats_of(x, WIDE * WIDE);
}

static double rounded_error(form f, float *h, float *w)
{
    rounding p = begin(f, h);
    swap_in(&p, w);
    run(&p);
    double error = naive_output_error(&p.l, p.w, p.h);
    end(&p);
    return error;
}

static void test_rotated_is_what_it_is_by_hand(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rotated_forms); i++) {
        form plain_form = rotated_forms[i];
        plain_form.rotated = false;
        float *h = with_outliers(i), *w = spiked(i, ROWS, 0.1f);
        double want = rounded_error(plain_form, turned_moments(h), turned_rows(w, ROWS));
        double got = rounded_error(rotated_forms[i], h, w);
        if (!(fabs(got - want) < 1e-3 * want))
            fail_msg("%s: error %g, by hand %g", el_codecs[plain_form.codec].name, got, want);
    }
}

/* Outliers set the scale of a whole group; where there is an offset too, they hurt less. */
static void test_rotated_loses_less(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rotated_forms); i++) {
        form plain_form = rotated_forms[i];
        plain_form.rotated = false;
        double without = rounded_error(plain_form, with_outliers(i), spiked(i, ROWS, 0.1f));
        double with = rounded_error(rotated_forms[i], with_outliers(i), spiked(i, ROWS, 0.1f));
        double share = el_codecs[plain_form.codec].offset ? 0.75 : 0.1;
        if (!(with < share * without))
            fail_msg("%s: error %g, unrotated %g", el_codecs[plain_form.codec].name, with, without);
    }
}

/* ---- moments of no use ------------------------------------------------------------------- */

static void check_refused(const float *h)
{
    edgellm_error err = {0};
    float *factor = naive_zeroes(COLS * COLS, sizeof *factor), importance[COLS];
    float *t = naive_zeroes(COLS, sizeof *t);
    el_gptq gptq;
    t[5] = 3;
    assert_int_equal(el_gptq_prepare(h, COLS, false, 1e-9f, factor, importance, &gptq, &err),
                     EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "100 columns");
    assert_contains(err.message, "second moments");
    memset(&err, 0, sizeof err);
    assert_int_equal(el_gptq_correct(h, COLS, 1e-9f, t, 1, &err), EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "second moments");
    assert_true(t[5] == 3 && t[6] == 0); /* as it was */
    free(factor);
    free(t);
}

static void test_refused_moments(void **state)
{
    (void)state;
    static const struct {
        int row, col;
        float value;
    } rows[] = {{3, 3, NAN}, {3, 9, NAN}, {4, 4, INFINITY}, {4, 4, -1}, {2, 7, 2}};
    for (size_t i = 0; i < LENGTH(rows); i++) {
        float *h = identity();
        h[rows[i].row * COLS + rows[i].col] = h[rows[i].col * COLS + rows[i].row] = rows[i].value;
        check_refused(h);
        free(h);
    }
}

/* The damping is raised until there is a factor. */
static void test_damping_is_raised(void **state)
{
    (void)state;
    edgellm_error err;
    float h[4] = {1, 2, 2, 1}, factor[4], importance[2];
    el_gptq gptq;
    assert_ok(el_gptq_prepare(h, 2, false, 0.01f, factor, importance, &gptq, &err));
    /* 0.01, 0.1 and 1 are too little; with 10 the inverse is {11, -2, -2, 11} / 117 */
    assert_true(fabs((double)factor[0] * factor[0] * 117 - 11) < 1e-4);
    assert_true(fabs((double)factor[0] * factor[1] * 117 + 2) < 1e-4);
    assert_true(factor[2] == 0);
    assert_true(importance[0] == 1 && importance[1] == 1);
    assert_int_equal(gptq.cols, 2);
}

/* ---- correction -------------------------------------------------------------------------- */

static void check_correction(float *h, double added)
{
    edgellm_error err;
    el_random r = {5};
    float *t = naive_noise(&r, ROWS * COLS, 1);
    double *want = naive_double(t, ROWS * COLS), *got = naive_zeroes(ROWS * COLS, sizeof *got);
    assert_ok(el_gptq_correct(h, COLS, 0.02f, t, ROWS, &err));
    for (int r0 = 0; r0 < ROWS; r0++) {
        for (int i = 0; i < COLS * COLS; i++) {
            double a = h[i] + (i / COLS == i % COLS ? added : 0);
            got[r0 * COLS + i % COLS] += t[r0 * COLS + i / COLS] * a;
        }
    }
    for (int i = 0; i < ROWS * COLS; i++)
        assert_true(fabs(got[i] - want[i]) < 1e-4);
    free(t);
    free(want);
    free(got);
    free(h);
}

static void test_correction_solves_its_equation(void **state)
{
    (void)state;
    float *h = correlated(9);
    double mean = 0;
    for (int i = 0; i < COLS; i++)
        mean += h[i * COLS + i] / (double)COLS;
    check_correction(h, mean * 0.02);
    check_correction(identity(), 0.02);
    check_correction(naive_zeroes(COLS * COLS, sizeof *h), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_independent_inputs_are_rounded_plainly),
        cmocka_unit_test(test_no_inputs_at_all),
        cmocka_unit_test(test_the_algorithm),
        cmocka_unit_test(test_correlated_inputs),
        cmocka_unit_test(test_dead_channels),
        cmocka_unit_test(test_too_few_samples),
        cmocka_unit_test(test_what_is_kept_is_rounded_plainly),
        cmocka_unit_test(test_levels_of_a_source_are_kept),
        cmocka_unit_test(test_rotated_is_what_it_is_by_hand),
        cmocka_unit_test(test_rotated_loses_less),
        cmocka_unit_test(test_refused_moments),
        cmocka_unit_test(test_damping_is_raised),
        cmocka_unit_test(test_correction_solves_its_equation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
