/*
 * test_latent.c: what is trained and what is packed are the same numbers; fits are never worse than
 * the full range of a group; a step's derivatives are those of the weights; a rotated latent is a
 * plain one behind a rotation.
 */
#include "support/test_help.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/half.h"
#include "support/naive.h"
#include "train/hadamard.h"
#include "train/latent.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const el_codec codecs[] = {EL_CODEC_S2, EL_CODEC_S3, EL_CODEC_S4, EL_CODEC_O2,
                                  EL_CODEC_O3, EL_CODEC_O4, EL_CODEC_I8, EL_CODEC_O8};
static const uint32_t groups[] = {32, 64, 128, 0};
/* Rows that are no multiple of a tile, columns that are none of a block or a group. */
static const uint32_t shapes[][2] = {{1, 1}, {5, 33}, {16, 128}, {17, 100}, {35, 257}, {48, 192}};

/* A latent in memory of its own; release the arena. */
static el_latent make(el_arena *arena, uint32_t rows, uint32_t cols, el_codec codec, uint32_t group)
{
    edgellm_error err;
    *arena = el_arena_measure();
    el_latent_layout(arena, rows, cols, codec, group);
    assert_ok(el_arena_reserve(arena, arena->used, &err));
    return el_latent_layout(arena, rows, cols, codec, group);
}

static void fit_row(const el_latent *l, uint32_t row, const float *w, const float *importance)
{
    el_latent_references(l, row, w);
    for (uint32_t g = 0; g < l->groups; g++) {
        uint32_t begin;
        el_latent_span(l, g, &begin);
        el_latent_fit(l, row, g, w + begin, importance + begin);
    }
}

static float *filled(size_t count, float value)
{
    float *x = naive_zeroes(count, sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = value;
    return x;
}

static void fit_all(const el_latent *l, const float *w)
{
    float *importance = filled(l->cols, 1);
    for (uint32_t r = 0; r < l->rows; r++)
        fit_row(l, r, w + (size_t)r * l->cols, importance);
    free(importance);
}

/* Every codec with every group, for one shape. */
static void each_form(uint32_t rows, uint32_t cols, void (*fn)(const el_latent *l))
{
    for (size_t c = 0; c < LENGTH(codecs); c++) {
        for (size_t g = 0; g < LENGTH(groups); g++) {
            el_arena arena;
            el_latent l = make(&arena, rows, cols, codecs[c], groups[g]);
            fn(&l);
            el_arena_release(&arena);
        }
    }
}

static void each_shape(void (*fn)(const el_latent *l))
{
    for (size_t s = 0; s < LENGTH(shapes); s++)
        each_form(shapes[s][0], shapes[s][1], fn);
}

/* Numbers of every row inside what their fields may be. */
static void check_bounds(const el_latent *l)
{
    for (size_t i = 0; i < (size_t)l->rows * l->cols; i++) {
        int code = el_latent_code(l, l->u[i]);
        assert_true((float)code >= l->low && (float)code <= l->high);
    }
    for (size_t i = 0; i < (size_t)l->rows * l->groups; i++) {
        assert_true(l->steps[i] >= 0 && l->steps[i] <= 254);
        assert_true(!l->shifts || (l->shifts[i] >= -127 && l->shifts[i] <= 127));
    }
    for (uint32_t r = 0; r < l->rows; r++) {
        assert_true(l->ref[r] == el_float_of_half(el_half_of_float(l->ref[r])));
        assert_true(isfinite(l->ref[r]) && l->ref[r] >= 0);
        if (l->oref) assert_true(l->oref[r] == el_float_of_half(el_half_of_float(l->oref[r])));
        if (l->oref) assert_true(isfinite(l->oref[r]) && l->oref[r] >= 0);
    }
}

/* ---- layout ------------------------------------------------------------------------------ */

static void check_spans(const el_latent *l)
{
    uint32_t next = 0;
    for (uint32_t g = 0; g < l->groups; g++) {
        uint32_t begin, n = el_latent_span(l, g, &begin);
        assert_int_equal(begin, next);
        assert_true(n >= 1 && n <= l->group);
        next += n;
    }
    assert_int_equal(next, l->cols);
    assert_int_equal(l->shifts != NULL, el_codecs[l->codec].offset);
    assert_int_equal(l->oref != NULL, el_codecs[l->codec].offset);
}

static void test_groups_cover_a_row(void **state)
{
    (void)state;
    each_shape(check_spans);
}

/* ---- packing ----------------------------------------------------------------------------- */

/* Fitted noise, shaken: latents between codes and beyond the ends, steps that are no integers. */
static void shake(const el_latent *l, el_random *r)
{
    for (size_t i = 0; i < (size_t)l->rows * l->cols; i++) {
        uint32_t pick = el_random_below(r, 16);
        l->u[i] = pick == 0 ? 0 : pick == 1 ? UINT16_MAX : (uint16_t)el_random_below(r, 65536);
    }
    for (size_t i = 0; i < (size_t)l->rows * l->groups; i++) {
        static const float ends[] = {0, 254, 0.5f, 253.5f, 127};
        uint32_t pick = el_random_below(r, 8);
        l->steps[i] = pick < LENGTH(ends) ? ends[pick]
                                          : fminf(fmaxf(l->steps[i] + el_random_unit(r), 0), 254);
        if (!l->shifts) continue;
        l->shifts[i] = pick == 0   ? -127
                       : pick == 1 ? 127
                                   : fminf(fmaxf(l->shifts[i] + el_random_unit(r), -127), 127);
    }
}

static void compare_packed(const el_latent *l, const el_matrix *m)
{
    float *want = naive_zeroes((size_t)l->rows * l->cols, sizeof *want);
    float *got = naive_zeroes(l->cols, sizeof *got);
    el_latent_weights(l, 0, l->rows, want);
    for (uint32_t r = 0; r < l->rows; r++) {
        el_matrix_row(m, r, got);
        for (uint32_t c = 0; c < l->cols; c++) {
            if (got[c] == want[(size_t)r * l->cols + c]) continue;
            fail_msg("%s, group %u, row %u, column %u: packed as %a, but is %a",
                     el_codecs[l->codec].name, l->group, r, c, (double)got[c],
                     (double)want[(size_t)r * l->cols + c]);
        }
        el_latent_weights(l, r, 1, got); /* by itself: the same */
        assert_memory_equal(got, want + (size_t)r * l->cols, l->cols * sizeof *got);
    }
    free(want);
    free(got);
}

/* What docs/FORMAT.md asks of rows that are not there. */
static void check_padding(const el_latent *l, const el_matrix *m)
{
    for (uint32_t r = l->rows; r < m->tiles * EL_TILE; r++) {
        for (uint32_t g = 0; g < m->groups; g++) {
            assert_true(el_matrix_scale(m, r, g) == 0);
            assert_true(el_matrix_offset(m, r, g) == 0);
        }
    }
}

static void check_packing(const el_latent *l)
{
    el_random r = {l->rows * 1000 + l->cols};
    float *w = naive_noise(&r, (size_t)l->rows * l->cols, 0.1f);
    memset(w, 0, l->cols * sizeof *w); /* the first row */
    fit_all(l, w);
    uint32_t group = l->group == (l->cols + EL_BLOCK - 1) / EL_BLOCK * EL_BLOCK ? 0 : l->group;
    for (int shaken = 0; shaken < 2; shaken++) {
        el_matrix_layout layout;
        el_matrix m;
        assert_int_equal(
            el_matrix_measure(l->rows, l->cols, l->codec, EL_SCALE_BYTE, group, &layout), 0);
        uint8_t *data = aligned_alloc(64, layout.bytes);
        assert_non_null(data);
        memset(data, 0, layout.bytes);
        el_latent_pack(l, data);
        assert_int_equal(el_matrix_view(&m, data, l->rows, l->cols, l->codec, EL_SCALE_BYTE, group),
                         0);
        compare_packed(l, &m);
        check_padding(l, &m);
        free(data);
        shake(l, &r);
    }
    free(w);
}

static void test_packed_is_trained(void **state)
{
    (void)state;
    each_shape(check_packing);
}

static void check_values(const el_latent *l)
{
    el_random r = {7};
    float *w = naive_noise(&r, (size_t)l->rows * l->cols, 1);
    float *got = naive_zeroes(l->cols, sizeof *got);
    fit_all(l, w);
    for (uint32_t row = 0; row < l->rows; row++) {
        el_latent_weights(l, row, 1, got);
        for (uint32_t c = 0; c < l->cols; c++) {
            uint16_t u = l->u[(size_t)row * l->cols + c];
            assert_true(got[c] == el_latent_value(l, row, c / l->group, u));
            assert_true(u == el_latent_place(l, row, c / l->group, w[(size_t)row * l->cols + c]));
            /* a weight that the group can hold has itself as its place */
            assert_true(el_latent_value(l, row, c / l->group,
                                        el_latent_place(l, row, c / l->group, got[c])) == got[c]);
        }
    }
    free(w);
    free(got);
}

static void test_values_and_places(void **state)
{
    (void)state;
    each_form(3, 100, check_values);
}

/* ---- fitting ----------------------------------------------------------------------------- */

typedef struct bounds {
    float least, most;
} bounds;

/* The full range of a group, symmetric where the codec is. */
static bounds range_of(const el_latent *l, const float *x, uint32_t n)
{
    bounds b = {x[0], x[0]};
    for (uint32_t i = 0; i < n; i++) {
        b.least = fminf(b.least, x[i]);
        b.most = fmaxf(b.most, x[i]);
    }
    if (l->shifts) return b;
    float reach = fmaxf(fabsf(b.least), fabsf(b.most));
    return (bounds){-reach, reach};
}

static double error_of(const el_latent *l, const float *x, const float *importance, uint32_t n,
                       float scale, float offset)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        double code = rint(((double)x[i] - offset) / scale + l->zero);
        code = fmin(fmax(code, l->low), l->high);
        double d = x[i] - (scale * (code - l->zero) + offset);
        sum += importance[i] * d * d;
    }
    return sum;
}

/* The error of the full range, as its scale and offset would be stored. */
static double naive_error(const el_latent *l, uint32_t row, const float *x, const float *importance,
                          uint32_t n)
{
    bounds b = range_of(l, x, n);
    float steps = rintf(-32 * log2f((b.most - b.least) / (l->high - l->low) / l->ref[row]));
    float scale = l->ref[row] * el_scale_table[(int)fminf(fmaxf(steps, 0), 254)];
    float middle = scale * (l->low + l->high - 2 * l->zero);
    float shift = l->shifts ? rintf(((b.least + b.most - middle) / 2) / l->oref[row]) : 0;
    float offset = l->shifts ? l->oref[row] * fminf(fmaxf(shift, -127), 127) : 0;
    return error_of(l, x, importance, n, scale, offset);
}

/* Kinds of weights: bell-shaped, one-sided, mostly 0, on a grid of 2^bits levels. */
static float weight_of(el_random *r, int kind, float reach)
{
    float bell = el_random_unit(r) + el_random_unit(r) + el_random_unit(r);
    switch (kind) {
    case 0:
        return bell;
    case 1:
        return 3 + el_random_unit(r);
    case 2:
        return el_random_below(r, 10) ? 0 : bell;
    default:
        return (float)el_random_below(r, (uint32_t)reach + 1) - reach * 0.5f;
    }
}

static void check_group_fit(const el_latent *l, const float *x, const float *importance,
                            uint32_t row, uint32_t group)
{
    uint32_t begin, n = el_latent_span(l, group, &begin);
    double naive = naive_error(l, row, x + begin, importance + begin, n);
    double fitted = error_of(l, x + begin, importance + begin, n, el_latent_scale(l, row, group),
                             el_latent_offset(l, row, group));
    if (fitted > naive * 1.0001 + 1e-9)
        fail_msg("%s, group %u of %u: error %g, of the full range %g", el_codecs[l->codec].name,
                 group, l->group, fitted, naive);
}

static void check_fit(const el_latent *l)
{
    for (int kind = 0; kind < 4; kind++) {
        el_random r = {kind + l->cols};
        float *w = naive_zeroes((size_t)l->rows * l->cols, sizeof *w);
        float *importance = filled(l->cols, 1);
        for (size_t i = 0; i < (size_t)l->rows * l->cols; i++)
            w[i] = weight_of(&r, kind, l->high - l->low);
        for (uint32_t i = 0; i < l->cols; i++)
            importance[i] = 0.01f + fabsf(el_random_unit(&r));
        for (uint32_t row = 0; row < l->rows; row++) {
            fit_row(l, row, w + (size_t)row * l->cols, importance);
            for (uint32_t g = 0; g < l->groups; g++)
                check_group_fit(l, w + (size_t)row * l->cols, importance, row, g);
        }
        check_bounds(l);
        free(w);
        free(importance);
    }
}

static void test_fit_beats_the_full_range(void **state)
{
    (void)state;
    each_form(24, 257, check_fit);
}

static void check_references(const el_latent *l)
{
    el_random r = {11};
    float *w = naive_noise(&r, (size_t)l->rows * l->cols, 1);
    for (uint32_t row = 0; row < l->rows; row++) {
        const float *x = w + (size_t)row * l->cols;
        el_latent_references(l, row, x);
        for (uint32_t g = 0; g < l->groups; g++) {
            uint32_t begin, n = el_latent_span(l, g, &begin);
            bounds b = range_of(l, x + begin, n);
            assert_true(l->ref[row] * (l->high - l->low) >= (b.most - b.least) * 1.2f);
            if (l->oref) assert_true(l->oref[row] * 127 >= fabsf(b.least) * 1.2f);
        }
    }
    check_bounds(l); /* of the references; the rest is 0 */
    free(w);
}

static void test_references_leave_room(void **state)
{
    (void)state;
    each_form(20, 257, check_references);
}

static void check_all_equal(const el_latent *l, float value, double tolerance)
{
    float *w = filled((size_t)l->rows * l->cols, value), *got = naive_zeroes(l->cols, sizeof *got);
    fit_all(l, w);
    check_bounds(l);
    for (uint32_t r = 0; r < l->rows; r++) {
        el_latent_weights(l, r, 1, got);
        for (uint32_t c = 0; c < l->cols; c++) {
            if (isfinite(got[c]) && fabsf(got[c] - value) <= tolerance * fabsf(value)) continue;
            fail_msg("%s, group %u: %g became %g", el_codecs[l->codec].name, l->group,
                     (double)value, (double)got[c]);
        }
    }
    free(w);
    free(got);
}

static void check_constants(const el_latent *l)
{
    check_all_equal(l, 0, 0);
    check_all_equal(l, 0.7f, 0.02);
    check_all_equal(l, -3, 0.02);
    check_all_equal(l, 1e-3f, 0.02);
    check_all_equal(l, 1e4f, 0.02);
}

static void test_zeroes_and_constants(void **state)
{
    (void)state;
    each_form(3, 100, check_constants);
}

/* A group of zeroes beside one that is not. */
static void check_mixed(const el_latent *l)
{
    el_random r = {3};
    float *w = naive_noise(&r, (size_t)l->rows * l->cols, 1), *got = filled(l->cols, 9);
    if (l->groups > 1) memset(w, 0, l->group * sizeof *w);
    fit_all(l, w);
    el_latent_weights(l, 0, 1, got);
    for (uint32_t c = 0; l->groups > 1 && c < l->group; c++)
        assert_true(fabsf(got[c]) < 0.02f);
    check_bounds(l);
    free(w);
    free(got);
}

static void test_zeroes_beside_others(void **state)
{
    (void)state;
    each_form(2, 200, check_mixed);
}

/* What fp16 references cannot reach: finite all the same. */
static void check_extremes(const el_latent *l)
{
    static const float sizes[] = {FLT_MAX, 1e30f, 1e10f, 1e6f, 1e-6f, 1e-10f, 1e-30f, 1e-44f};
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        el_random r = {i};
        size_t count = (size_t)l->rows * l->cols;
        float *w = naive_zeroes(count, sizeof *w), *got = naive_zeroes(count, sizeof *got);
        for (size_t k = 0; k < count; k++)
            w[k] = sizes[i] * (el_random_unit(&r) / 1.8f);
        fit_all(l, w);
        check_bounds(l);
        el_latent_weights(l, 0, l->rows, got);
        for (size_t k = 0; k < count; k++)
            assert_true(isfinite(got[k]) && fabsf(got[k]) <= fmax(sizes[i] * 1.1, 1e-5));
        free(w);
        free(got);
    }
}

static void test_huge_and_tiny(void **state)
{
    (void)state;
    each_form(2, 70, check_extremes);
}

/* ---- steps ------------------------------------------------------------------------------- */

/* A latent in training: its moments in memory of their own. */
typedef struct trained {
    el_arena arena, moments_arena;
    el_latent l;
    el_latent_moments moments;
    float *g; /* (rows, cols) */
} trained;

static trained make_wide(el_codec codec, uint32_t group, uint32_t cols)
{
    edgellm_error err;
    el_random r = {codec};
    trained t;
    t.l = make(&t.arena, 5, cols, codec, group);
    t.moments_arena = el_arena_measure();
    el_latent_moments_layout(&t.moments_arena, &t.l);
    assert_ok(el_arena_reserve(&t.moments_arena, t.moments_arena.used, &err));
    t.moments = el_latent_moments_layout(&t.moments_arena, &t.l);
    float *w = naive_noise(&r, (size_t)5 * cols, 1);
    fit_all(&t.l, w);
    free(w);
    t.g = naive_noise(&r, (size_t)5 * cols, 1);
    return t;
}

static trained make_trained(el_codec codec, uint32_t group)
{
    return make_wide(codec, group, 100);
}

static void free_trained(trained *t)
{
    free(t->g);
    el_arena_release(&t->arena);
    el_arena_release(&t->moments_arena);
}

/* Rates of the first step: Adam's first move is the rate itself, against the sign. */
static el_latent_rates first_rates(float u, float scale)
{
    return (el_latent_rates){u, scale, 10.0f, 100.0f};
}

/* Sum over a group of g * w(ln scale + a, offset + b), codes as they are. */
static double group_loss(const trained *t, uint32_t row, uint32_t group, double a, double b)
{
    const el_latent *l = &t->l;
    uint32_t begin, n = el_latent_span(l, group, &begin);
    double scale = el_latent_scale(l, row, group) * exp(a), sum = 0;
    double offset = el_latent_offset(l, row, group) + b;
    for (uint32_t i = begin; i < begin + n; i++) {
        size_t at = (size_t)row * l->cols + i;
        sum += t->g[at] * (scale * ((double)el_latent_code(l, l->u[at]) - l->zero) + offset);
    }
    return sum;
}

/* Moments after a step from nothing: a tenth of the derivative. */
static void check_derivatives(const trained *t)
{
    const double step = 1e-4;
    for (uint32_t r = 0; r < t->l.rows; r++) {
        for (uint32_t k = 0; k < t->l.groups; k++) {
            size_t at = (size_t)r * t->l.groups + k;
            double s = el_latent_scale(&t->l, r, k);
            double by_scale = group_loss(t, r, k, step, 0) - group_loss(t, r, k, -step, 0);
            double by_offset = group_loss(t, r, k, 0, step) - group_loss(t, r, k, 0, -step);
            assert_true(fabs(t->moments.steps_m[at] * 10 - by_scale / (2 * step)) < 1e-4);
            if (!t->l.shifts) continue;
            assert_true(fabs(t->moments.shifts_m[at] * 10 / s - by_offset / (2 * step)) < 1e-4);
        }
    }
    for (size_t i = 0; i < (size_t)t->l.rows * t->l.cols; i++) { /* bfloat16: 8 bits */
        double got = el_float_of_bits((uint32_t)t->moments.m[i] << 16);
        assert_true(fabs(got * 10 - t->g[i]) <= fabsf(t->g[i]) / 250);
    }
}

static void each_trained(void (*fn)(trained *t))
{
    for (size_t c = 0; c < LENGTH(codecs); c++) {
        for (size_t g = 0; g < LENGTH(groups); g++) {
            trained t = make_trained(codecs[c], groups[g]);
            fn(&t);
            free_trained(&t);
        }
    }
}

static void check_still(trained *t)
{
    const el_latent_rates rates = first_rates(0, 0);
    float *before = naive_zeroes(500, sizeof *before), *after = naive_zeroes(500, sizeof *after);
    el_latent_weights(&t->l, 0, 5, before);
    el_latent_step(&t->l, &t->moments, &rates, 0, 5, t->g);
    el_latent_weights(&t->l, 0, 5, after);
    assert_memory_equal(before, after, 500 * sizeof *after); /* rates of 0 */
    check_derivatives(t);
    free(before);
    free(after);
}

static void test_derivatives(void **state)
{
    (void)state;
    each_trained(check_still);
}

/* Every number moves against its derivative, as far as the rates say, and no further. */
/* Weights kept on the source's levels need no memory for training, and no step moves them. */
static void check_kept(trained *t)
{
    const el_latent_rates rates = first_rates(1, 1);
    float *before = naive_zeroes(500, sizeof *before), *after = naive_zeroes(500, sizeof *after);
    el_arena measure = el_arena_measure();
    t->l.kept = true;
    const el_latent_moments none = el_latent_moments_layout(&measure, &t->l);
    el_latent_weights(&t->l, 0, 5, before);
    el_latent_step(&t->l, &none, &rates, 0, 5, t->g);
    el_latent_weights(&t->l, 0, 5, after);
    assert_int_equal(measure.used, 0);
    assert_memory_equal(before, after, 500 * sizeof *after);
    free(before);
    free(after);
}

static void check_moves(trained *t)
{
    const el_latent_rates rates = first_rates(0.01f, 0.001f);
    float steps[64], shifts[64];
    uint16_t u[500];
    size_t count = (size_t)t->l.rows * t->l.groups;
    assert_true(count <= LENGTH(steps));
    memcpy(steps, t->l.steps, count * sizeof *steps);
    if (t->l.shifts) memcpy(shifts, t->l.shifts, count * sizeof *shifts);
    memcpy(u, t->l.u, sizeof u);
    el_latent_step(&t->l, &t->moments, &rates, 0, 5, t->g);
    for (size_t i = 0; i < LENGTH(u); i++) {
        double want = u[i] - copysign(0.01 / t->l.unit, (double)t->g[i]);
        assert_true(fabs(t->l.u[i] - fmin(fmax(want, 0), UINT16_MAX)) < 1);
    }
    for (size_t i = 0; i < count; i++) {
        double relative = 32 * log2(1.001);
        double want = steps[i] + copysign(relative, (double)t->moments.steps_m[i]);
        assert_true(fabs(t->l.steps[i] - fmin(fmax(want, 0), 254)) < 1e-3);
        if (t->l.shifts) assert_true(t->l.shifts[i] != shifts[i]);
        if (t->l.shifts) assert_true((t->l.shifts[i] < shifts[i]) == (t->moments.shifts_m[i] > 0));
    }
}

static void test_moves(void **state)
{
    (void)state;
    each_trained(check_moves);
}

/* Large steps for long, in changing directions: everything stays in its field. */
static void check_stay(trained *t)
{
    el_random r = {9};
    for (int i = 0; i < 100; i++) {
        float b1 = 1 / (1 - powf(0.9f, (float)i + 1)), b2 = 1 / (1 - powf(0.99f, (float)i + 1));
        const el_latent_rates rates = {3, 0.5f, b1, b2};
        float push = i < 50 ? 1 : -1;
        for (int k = 0; k < 500; k++)
            t->g[k] = push * (float)(k % 3 - 1) + 0.2f * el_random_unit(&r);
        el_latent_step(&t->l, &t->moments, &rates, 0, 5, t->g);
        check_bounds(&t->l);
    }
}

static void test_the_kept_stay(void **state)
{
    (void)state;
    each_trained(check_kept);
}

static void test_moves_stay_in_bounds(void **state)
{
    (void)state;
    each_trained(check_stay);
}

/* A step of some rows is that of all rows, for those; the others stay. */
static void check_rows(trained *t)
{
    const el_latent_rates rates = first_rates(0.3f, 0.01f);
    trained other = make_trained(t->l.codec, t->l.groups == 1 ? 0 : t->l.group);
    float all[500], some[500];
    el_latent_step(&t->l, &t->moments, &rates, 0, 5, t->g);
    el_latent_step(&other.l, &other.moments, &rates, 1, 2, other.g + 100);
    el_latent_weights(&t->l, 0, 5, all);
    el_latent_weights(&other.l, 0, 5, some);
    assert_memory_equal(all + 100, some + 100, 200 * sizeof *all);
    for (int i = 0; i < 500; i++)
        assert_int_equal(other.moments.v[i] != 0, i >= 100 && i < 300);
    free_trained(&other);
}

static void test_rows_do_not_depend_on_each_other(void **state)
{
    (void)state;
    each_trained(check_rows);
}

/* ---- rotation ---------------------------------------------------------------------------- */

enum { TURNED = 192 }; /* columns: three blocks, and no multiple of the widest group */

/* Weights are those of the same numbers unrotated, turned back; of some rows by themselves, too. */
static void check_turned_back(const el_latent *l)
{
    el_random r = {13};
    size_t count = (size_t)l->rows * l->cols;
    float *w = naive_noise(&r, count, 1), *got = naive_zeroes(count, sizeof *got);
    fit_all(l, w);
    shake(l, &r);
    el_latent rotated = *l;
    rotated.rotated = true;
    el_latent_weights(l, 0, l->rows, w);
    double *want = naive_double(w, count);
    naive_hadamard_back(want, count / EL_ROTATION_WIDTH);
    el_latent_weights(&rotated, 0, l->rows, got);
    naive_compare(got, want, count, 1e-6, el_codecs[l->codec].name);
    el_latent_weights(&rotated, 1, 3, w);
    assert_memory_equal(w, got + l->cols, 3 * (size_t)l->cols * sizeof *got);
    free(w);
    free(got);
    free(want);
}

static void test_rotated_weights_are_turned_back(void **state)
{
    (void)state;
    each_form(5, TURNED, check_turned_back);
}

/* The file says elsewhere that a tensor is rotated. */
static void check_packed_as_plain(const el_latent *l)
{
    el_random r = {17};
    el_matrix_layout layout;
    el_latent rotated = *l;
    rotated.rotated = true;
    uint32_t group = l->groups == 1 ? 0 : l->group;
    float *w = naive_noise(&r, (size_t)l->rows * l->cols, 1);
    fit_all(l, w);
    assert_int_equal(el_matrix_measure(l->rows, l->cols, l->codec, EL_SCALE_BYTE, group, &layout),
                     0);
    uint8_t *plain = aligned_alloc(64, layout.bytes), *data = aligned_alloc(64, layout.bytes);
    assert_non_null(plain);
    assert_non_null(data);
    memset(plain, 0, layout.bytes);
    memset(data, 0, layout.bytes);
    el_latent_pack(l, plain);
    el_latent_pack(&rotated, data);
    assert_memory_equal(plain, data, layout.bytes);
    free(plain);
    free(data);
    free(w);
}

static void test_rotated_is_packed_as_it_is(void **state)
{
    (void)state;
    each_form(5, TURNED, check_packed_as_plain);
}

static void assert_same_numbers(const trained *a, const trained *b)
{
    const el_latent *l = &a->l;
    size_t count = (size_t)l->rows * l->cols, scales = (size_t)l->rows * l->groups;
    assert_memory_equal(l->u, b->l.u, count * sizeof *l->u);
    assert_memory_equal(a->moments.m, b->moments.m, count * sizeof *a->moments.m);
    assert_memory_equal(a->moments.v, b->moments.v, count * sizeof *a->moments.v);
    assert_memory_equal(l->steps, b->l.steps, scales * sizeof *l->steps);
    if (l->shifts) assert_memory_equal(l->shifts, b->l.shifts, scales * sizeof *l->shifts);
}

/* Two steps of some rows: those of a plain latent whose gradient is rotated. */
static void check_rotated_step(el_codec codec, uint32_t group)
{
    const uint32_t first = 1, count = 3;
    const el_latent_rates rates = first_rates(0.3f, 0.01f);
    trained plain = make_wide(codec, group, TURNED), rotated = make_wide(codec, group, TURNED);
    size_t at = (size_t)first * TURNED, n = (size_t)count * TURNED;
    float *kept = naive_zeroes(n, sizeof *kept);
    rotated.l.rotated = true;
    memcpy(kept, plain.g + at, n * sizeof *kept);
    for (int step = 0; step < 2; step++) {
        memcpy(plain.g + at, kept, n * sizeof *kept);
        memcpy(rotated.g + at, kept, n * sizeof *kept);
        el_hadamard(plain.g + at, n / EL_ROTATION_WIDTH);
        el_latent_step(&plain.l, &plain.moments, &rates, first, count, plain.g + at);
        assert_memory_not_equal(plain.l.u, rotated.l.u, 5 * TURNED * sizeof *plain.l.u);
        el_latent_step(&rotated.l, &rotated.moments, &rates, first, count, rotated.g + at);
        assert_same_numbers(&plain, &rotated);
    }
    free(kept);
    free_trained(&plain);
    free_trained(&rotated);
}

static void test_a_rotated_step_is_one_by_the_rotated_gradient(void **state)
{
    (void)state;
    for (size_t c = 0; c < LENGTH(codecs); c++) {
        for (size_t g = 0; g < LENGTH(groups); g++)
            check_rotated_step(codecs[c], groups[g]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_cover_a_row),
        cmocka_unit_test(test_packed_is_trained),
        cmocka_unit_test(test_values_and_places),
        cmocka_unit_test(test_fit_beats_the_full_range),
        cmocka_unit_test(test_references_leave_room),
        cmocka_unit_test(test_zeroes_and_constants),
        cmocka_unit_test(test_zeroes_beside_others),
        cmocka_unit_test(test_huge_and_tiny),
        cmocka_unit_test(test_derivatives),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_the_kept_stay),
        cmocka_unit_test(test_moves_stay_in_bounds),
        cmocka_unit_test(test_rows_do_not_depend_on_each_other),
        cmocka_unit_test(test_rotated_weights_are_turned_back),
        cmocka_unit_test(test_rotated_is_packed_as_it_is),
        cmocka_unit_test(test_a_rotated_step_is_one_by_the_rotated_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
