/*
 * test_float_layer.c: one layer against the same in double, loop by loop, and every gradient
 * against central differences of that. Heads share keys and values, the heads together are wider
 * than the stream, and not all of a head is rotated.
 */
#include "support/test_help.h"

#include <stdlib.h>

#include "support/naive.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

typedef struct layer {
    el_layer_shape shape;
    uint32_t n;
    size_t count; /* n * dim */
    float *x, *dy, *part[EL_PARTS], *norm[EL_NORMS], *fixed[EL_FIXED];
    naive_weights naive;
    double *naive_x, *naive_dy, *naive_y;
} layer;

static size_t part_size(const layer *l, int part)
{
    return (size_t)el_part_rows(&l->shape, part) * el_part_cols(&l->shape, part);
}

static layer make_layer(el_layer_shape shape, uint32_t rotary_dim, bool biases, uint32_t n)
{
    layer l = {.shape = shape, .n = n, .count = (size_t)n * shape.dim};
    el_random r = {shape.dim + n};
    l.shape.rotary = naive_rotary(n, rotary_dim, 50);
    l.x = naive_noise(&r, l.count, 1);
    l.dy = naive_noise(&r, l.count, 1);
    for (int p = 0; p < EL_PARTS; p++) {
        l.part[p] = naive_noise(&r, part_size(&l, p), 0.3f);
        l.naive.part[p] = naive_double(l.part[p], part_size(&l, p));
    }
    for (int i = 0; i < EL_NORMS; i++) {
        l.norm[i] = naive_noise(&r, shape.dim, 1);
        l.naive.norm[i] = naive_double(l.norm[i], shape.dim);
    }
    for (int i = 0; i < EL_FIXED; i++) {
        if (i < EL_FIXED_NQ ? !biases : !shape.head_norms) continue;
        l.fixed[i] = naive_noise(&r, el_fixed_cols(&shape, i), 1);
        l.naive.fixed[i] = naive_double(l.fixed[i], el_fixed_cols(&shape, i));
    }
    l.naive_x = naive_double(l.x, l.count);
    l.naive_dy = naive_double(l.dy, l.count);
    l.naive_y = naive_zeroes(l.count, sizeof *l.naive_y);
    return l;
}

static void free_layer(layer *l)
{
    void *used[] = {l->x, l->dy, l->naive_x, l->naive_dy, l->naive_y};
    for (size_t i = 0; i < LENGTH(used); i++)
        free(used[i]);
    for (int p = 0; p < EL_PARTS; p++) {
        free(l->part[p]);
        free(l->naive.part[p]);
    }
    for (int i = 0; i < EL_NORMS; i++) {
        free(l->norm[i]);
        free(l->naive.norm[i]);
    }
    for (int i = 0; i < EL_FIXED; i++) {
        free(l->fixed[i]);
        free(l->naive.fixed[i]);
    }
    naive_rotary_free(&l->shape.rotary);
}

static el_layer_weights weights_of(const layer *l)
{
    el_layer_weights w = {0};
    for (int p = 0; p < EL_PARTS; p++)
        w.part[p] = l->part[p];
    for (int i = 0; i < EL_NORMS; i++)
        w.norm[i] = l->norm[i];
    for (int i = 0; i < EL_FIXED; i++)
        w.fixed[i] = l->fixed[i];
    return w;
}

/* Gradients begin at 1 everywhere, to see that they are added to. */
static el_layer_floats ones(const layer *l)
{
    el_layer_floats g;
    for (int p = 0; p < EL_PARTS; p++) {
        g.part[p] = naive_zeroes(part_size(l, p), sizeof(float));
        for (size_t i = 0; i < part_size(l, p); i++)
            g.part[p][i] = 1;
    }
    for (int i = 0; i < EL_NORMS; i++) {
        g.norm[i] = naive_zeroes(l->shape.dim, sizeof(float));
        for (uint32_t k = 0; k < l->shape.dim; k++)
            g.norm[i][k] = 1;
    }
    return g;
}

static void take_ones(float *g, size_t count)
{
    for (size_t i = 0; i < count; i++)
        g[i] -= 1;
}

/* ---- memory: the trace in an arena with a canary behind it -------------------------------- */

enum { CANARIES = 64 };

static el_layer_trace trace_of(el_arena *arena, const layer *l, bool backward, uint8_t **canary)
{
    edgellm_error err;
    *arena = el_arena_measure();
    el_layer_trace_layout(arena, &l->shape, l->n, backward);
    assert_ok(el_arena_reserve(arena, arena->used + CANARIES, &err));
    el_layer_trace t = el_layer_trace_layout(arena, &l->shape, l->n, backward);
    *canary = el_arena_take(arena, CANARIES, 1);
    memset(*canary, 0xa5, CANARIES);
    return t;
}

static void check_canary(const uint8_t *canary)
{
    for (int i = 0; i < CANARIES; i++)
        assert_int_equal(canary[i], 0xa5);
}

/* ---- tests ------------------------------------------------------------------------------ */

static double loss_of(const void *context)
{
    const layer *l = context;
    double sum = 0;
    naive_layer(&l->shape, &l->naive, l->naive_x, l->n, l->naive_y);
    for (size_t i = 0; i < l->count; i++)
        sum += l->naive_dy[i] * l->naive_y[i];
    return sum;
}

static void check_forward(const layer *l)
{
    el_arena arena;
    uint8_t *canary;
    el_layer_trace t = trace_of(&arena, l, false, &canary);
    el_layer_weights w = weights_of(l);
    float *y = naive_zeroes(l->count, sizeof *y);
    el_layer_forward(&l->shape, &w, l->x, l->n, &t, y);
    naive_layer(&l->shape, &l->naive, l->naive_x, l->n, l->naive_y);
    naive_compare(y, l->naive_y, l->count, 2e-6, "y");
    check_canary(canary);
    free(y);
    el_arena_release(&arena);
}

static void check_gradients(layer *l, el_layer_floats *g, const float *dx)
{
    naive_check_gradient(l->naive_x, l->count, dx, loss_of, l, "dx");
    for (int p = 0; p < EL_PARTS; p++) {
        take_ones(g->part[p], part_size(l, p));
        naive_check_gradient(l->naive.part[p], part_size(l, p), g->part[p], loss_of, l,
                             el_part_names[p]);
        free(g->part[p]);
    }
    for (int i = 0; i < EL_NORMS; i++) {
        take_ones(g->norm[i], l->shape.dim);
        naive_check_gradient(l->naive.norm[i], l->shape.dim, g->norm[i], loss_of, l,
                             el_norm_names[i]);
        free(g->norm[i]);
    }
}

/* in_place: dx overwrites dy. */
static void check_backward(layer *l, bool in_place)
{
    el_arena arena;
    uint8_t *canary;
    el_layer_trace t = trace_of(&arena, l, true, &canary);
    el_layer_weights w = weights_of(l);
    el_layer_floats g = ones(l);
    float *y = naive_zeroes(l->count, sizeof *y), *dx = naive_zeroes(l->count, sizeof *dx);
    memcpy(dx, l->dy, l->count * sizeof *dx);
    el_layer_forward(&l->shape, &w, l->x, l->n, &t, y);
    el_layer_backward(&l->shape, &w, l->x, l->n, &t, in_place ? dx : l->dy, dx, &g);
    check_canary(canary);
    check_gradients(l, &g, dx);
    free(y);
    free(dx);
    el_arena_release(&arena);
}

typedef struct row {
    el_layer_shape shape;
    uint32_t rotary, n;
    bool biases;
} row;

static const row rows[] = {
    {{12, 10, 4, 2, 4, 1e-3f, {0}, false},
     2,
     3,
     false}, /* heads wider than the stream and the feed-forward */
    {{8, 24, 2, 1, 4, 1e-5f, {0}, false}, 4, 1, false},
    {{8, 6, 2, 2, 2, 1e-5f, {0}, false},
     2,
     17,
     false}, /* tokens^2 decides about the scratch memory */
    {{7, 5, 3, 1, 2, 1e-5f, {0}, false}, 2, 4, false},
    {{12, 10, 4, 2, 4, 1e-3f, {0}, false}, 4, 3, true}, /* Qwen 2 */
    {{10, 24, 4, 2, 6, 1e-3f, {0}, true}, 6, 5, false}, /* Qwen 3 */
    {{8, 3, 4, 1, 4, 1e-3f, {0}, true}, 4, 7, true},
};

static void test_forward(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        layer l = make_layer(rows[i].shape, rows[i].rotary, rows[i].biases, rows[i].n);
        check_forward(&l);
        free_layer(&l);
    }
}

static void test_backward(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        layer l = make_layer(rows[i].shape, rows[i].rotary, rows[i].biases, rows[i].n);
        check_backward(&l, i % 2 == 0);
        free_layer(&l);
    }
}

/* Its steps one by one give what the whole gives, bit for bit. */
static void test_steps(void **state)
{
    (void)state;
    layer l = make_layer(rows[0].shape, rows[0].rotary, rows[0].biases, rows[0].n);
    el_arena arena;
    uint8_t *canary;
    el_layer_trace t = trace_of(&arena, &l, false, &canary);
    el_layer_weights w = weights_of(&l);
    float *whole = naive_zeroes(l.count, sizeof *whole), *y = naive_zeroes(l.count, sizeof *y);
    el_layer_forward(&l.shape, &w, l.x, l.n, &t, whole);
    el_layer_attend(&l.shape, &w, l.x, l.n, &t);
    el_layer_output(&l.shape, &w, l.x, l.n, &t);
    el_layer_feed(&l.shape, &w, l.n, &t);
    el_layer_down(&l.shape, &w, l.n, &t, y);
    assert_memory_equal(whole, y, l.count * sizeof *y);
    free(whole);
    free(y);
    free_layer(&l);
    el_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
