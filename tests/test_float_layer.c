/*
 * test_float_layer.c: one layer against the same in double, loop by loop, and every gradient
 * against central differences of that. Heads share keys and values, the heads together are wider
 * than the stream, and not all of a head is rotated.
 */
#include "support/test_help.h"

#include <stdlib.h>

#include "support/naive.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

typedef struct row {
    el_layer_shape shape;
    uint32_t rotary, n;
    bool biases, local, unturned;
} row;

static bool has_fixed(const row *r, int fixed)
{
    const bool there[EL_FIXED] = {r->biases,           r->biases,           r->biases,
                                  r->shape.head_norms, r->shape.head_norms, r->shape.post_norms,
                                  r->shape.post_norms, r->shape.sub_norms,  r->shape.sub_norms};
    return there[fixed];
}

typedef struct layer {
    const row *row;
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

static layer make_layer(const row *of)
{
    const el_layer_shape shape = of->shape;
    const uint32_t n = of->n;
    layer l = {.shape = shape, .n = n, .count = (size_t)n * shape.dim, .row = of};
    el_random r = {shape.dim + n};
    l.shape.rotary = naive_rotary(n, of->rotary, 50);
    l.shape.local_rotary = naive_rotary(n, of->rotary, 7);
    l.naive.local = of->local;
    l.naive.unturned = of->unturned;
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
        if (!has_fixed(of, i)) continue;
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
    naive_rotary_free(&l->shape.local_rotary);
}

static el_layer_weights weights_of(const layer *l)
{
    el_layer_weights w = {.local = l->row->local, .unturned = l->row->unturned};
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

/* The first four are of Llama. */
static const row rows[] = {
    /* heads wider than the stream and the feed-forward */
    {.shape = {12, 10, 4, 2, 4, .eps = 1e-3f}, .rotary = 2, .n = 3},
    {.shape = {8, 24, 2, 1, 4, .eps = 1e-5f}, .rotary = 4, .n = 1},
    /* tokens^2 decides about the scratch memory */
    {.shape = {8, 6, 2, 2, 2, .eps = 1e-5f}, .rotary = 2, .n = 17},
    {.shape = {7, 5, 3, 1, 2, .eps = 1e-5f}, .rotary = 2, .n = 4},
    /* Qwen 2 */
    {.shape = {12, 10, 4, 2, 4, .eps = 1e-3f}, .rotary = 4, .n = 3, .biases = true},
    /* Qwen 3 */
    {.shape = {10, 24, 4, 2, 6, .eps = 1e-3f, .head_norms = true}, .rotary = 6, .n = 5},
    {.shape = {8, 3, 4, 1, 4, .eps = 1e-3f, .head_norms = true},
     .rotary = 4,
     .n = 7,
     .biases = true},
    /* Gemma 2: its local layers, and those that attend to all */
    {.shape = {10, 12, 4, 2, 4, .eps = 1e-3f, .post_norms = true, .gate = EL_GATE_GELU,
               .attention_scale = 0.7f, .attention_cap = 1.5f, .window = 3},
     .rotary = 4,
     .n = 6,
     .local = true},
    {.shape = {6, 4, 2, 1, 4, .eps = 1e-3f, .post_norms = true, .gate = EL_GATE_GELU,
               .attention_cap = 0.8f, .window = 3},
     .rotary = 4,
     .n = 13},
    /* Gemma 3 */
    {.shape = {8, 10, 4, 1, 4, .eps = 1e-3f, .head_norms = true, .post_norms = true,
               .gate = EL_GATE_GELU, .window = 2},
     .rotary = 4,
     .n = 5,
     .local = true},
    /* SmolLM3 */
    {.shape = {8, 10, 4, 2, 4, .eps = 1e-3f}, .rotary = 4, .n = 5, .unturned = true},
    /* both kinds of BitNet */
    {.shape = {8, 12, 4, 2, 4, .eps = 1e-3f, .sub_norms = true}, .rotary = 4, .n = 5},
    {.shape = {12, 6, 2, 1, 4, .eps = 1e-3f, .sub_norms = true, .gate = EL_GATE_RELU2},
     .rotary = 4,
     .n = 4},
    /* all of it at once */
    {.shape = {8, 10, 4, 2, 6, .eps = 1e-3f, .head_norms = true, .post_norms = true,
               .sub_norms = true, .gate = EL_GATE_GELU, .attention_cap = 1, .window = 4},
     .rotary = 4,
     .n = 7,
     .biases = true,
     .local = true},
};

static void test_forward(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        layer l = make_layer(&rows[i]);
        check_forward(&l);
        free_layer(&l);
    }
}

static void test_backward(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        layer l = make_layer(&rows[i]);
        check_backward(&l, i % 2 == 0);
        free_layer(&l);
    }
}

static void check_steps(const row *of)
{
    layer l = make_layer(of);
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
    memcpy(y, l.x, l.count * sizeof *y); /* a layer may write where its input was */
    el_layer_forward(&l.shape, &w, y, l.n, &t, y);
    assert_memory_equal(whole, y, l.count * sizeof *y);
    free(whole);
    free(y);
    free_layer(&l);
    el_arena_release(&arena);
}

/* Its steps one by one give what the whole gives, bit for bit. */
static void test_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++)
        check_steps(&rows[i]);
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
