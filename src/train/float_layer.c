/* float_layer.c: see float_layer.h. Gradients overwrite activations that are no longer needed. */
#include "train/float_layer.h"

#include <string.h>

const char *const el_part_names[EL_PARTS] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                             "ffn_gate", "ffn_up", "ffn_down"};
const char *const el_norm_names[EL_NORMS] = {"attn_norm", "ffn_norm"};
const char *const el_fixed_names[EL_FIXED] = {"attn_q.bias", "attn_k.bias", "attn_v.bias",
                                              "attn_q_norm.weight", "attn_k_norm.weight"};

uint32_t el_part_rows(const el_layer_shape *s, int part)
{
    switch (part) {
    case EL_PART_Q:
        return s->heads * s->head_dim;
    case EL_PART_K:
    case EL_PART_V:
        return s->kv_heads * s->head_dim;
    case EL_PART_GATE:
    case EL_PART_UP:
        return s->ffn_dim;
    default:
        return s->dim;
    }
}

uint32_t el_part_cols(const el_layer_shape *s, int part)
{
    if (part == EL_PART_O) return s->heads * s->head_dim;
    return part == EL_PART_DOWN ? s->ffn_dim : s->dim;
}

uint32_t el_fixed_cols(const el_layer_shape *s, int fixed)
{
    if (fixed == EL_FIXED_NQ || fixed == EL_FIXED_NK) return s->head_dim;
    return (fixed == EL_FIXED_BQ ? s->heads : s->kv_heads) * s->head_dim;
}

el_layer_floats el_layer_floats_layout(el_arena *arena, const el_layer_shape *s)
{
    el_layer_floats f;
    for (int p = 0; p < EL_PARTS; p++) {
        size_t weights = (size_t)el_part_rows(s, p) * el_part_cols(s, p);
        f.part[p] = el_arena_take(arena, weights, sizeof(float));
    }
    for (int i = 0; i < EL_NORMS; i++)
        f.norm[i] = el_arena_take(arena, s->dim, sizeof(float));
    return f;
}

el_layer_trace el_layer_trace_layout(el_arena *arena, const el_layer_shape *s, uint32_t n,
                                     bool backward)
{
    size_t q = (size_t)s->heads * s->head_dim, kv = (size_t)s->kv_heads * s->head_dim;
    size_t wide = s->ffn_dim > 2 * q ? s->ffn_dim : 2 * q; /* holds gradients too: attend_back() */
    size_t scratch = (size_t)n * n * (backward ? 2 : 1);
    size_t deltas = (size_t)n * (2 * (size_t)s->ffn_dim + s->dim); /* see el_layer_backward() */
    if (backward && scratch < deltas) scratch = deltas;
    const size_t normed = s->head_norms ? n : 0;
    return (el_layer_trace){
        .q0 = el_arena_take(arena, normed, q * sizeof(float)),
        .k0 = el_arena_take(arena, normed, kv * sizeof(float)),
        .x1 = el_arena_take(arena, n, s->dim * sizeof(float)),
        .q = el_arena_take(arena, n, q * sizeof(float)),
        .k = el_arena_take(arena, n, kv * sizeof(float)),
        .v = el_arena_take(arena, n, kv * sizeof(float)),
        .o = el_arena_take(arena, n, q * sizeof(float)),
        .h = el_arena_take(arena, n, s->dim * sizeof(float)),
        .x2 = el_arena_take(arena, n, s->dim * sizeof(float)),
        .gate = el_arena_take(arena, n, wide * sizeof(float)),
        .up = el_arena_take(arena, n, wide * sizeof(float)),
        .act = el_arena_take(arena, n, wide * sizeof(float)),
        .scratch = el_arena_take(arena, scratch, sizeof(float)),
    };
}

static void project(const el_layer_shape *s, const el_layer_weights *w, int part, const float *x,
                    uint32_t n, float *y)
{
    el_linear(x, w->part[part], n, el_part_rows(s, part), el_part_cols(s, part), false, y);
}

static void add_bias(const float *bias, uint32_t n, uint32_t cols, float *y)
{
    for (uint32_t t = 0; bias && t < n; t++, y += cols)
        for (uint32_t i = 0; i < cols; i++)
            y[i] += bias[i];
}

/* Queries or keys: projected, their bias added, normed by head. `raw`: before the norm. */
static void project_heads(const el_layer_shape *s, const el_layer_weights *w, int part, uint32_t n,
                          const float *x, float *raw, float *y)
{
    const bool is_q = part == EL_PART_Q;
    const uint32_t heads = is_q ? s->heads : s->kv_heads;
    float *first = s->head_norms ? raw : y;
    project(s, w, part, x, n, first);
    add_bias(w->fixed[is_q ? EL_FIXED_BQ : EL_FIXED_BK], n, heads * s->head_dim, first);
    if (s->head_norms)
        el_rms_norm(raw, w->fixed[is_q ? EL_FIXED_NQ : EL_FIXED_NK], n * heads, s->head_dim, s->eps,
                    y);
    el_rope(y, n, heads, s->head_dim, &s->rotary, 1.0f);
}

static el_attention attention_of(const el_layer_shape *s, uint32_t n)
{
    return (el_attention){n, s->heads, s->kv_heads, s->head_dim};
}

void el_layer_attend(const el_layer_shape *s, const el_layer_weights *w, const float *x, uint32_t n,
                     el_layer_trace *t)
{
    const el_attention a = attention_of(s, n);
    el_rms_norm(x, w->norm[0], n, s->dim, s->eps, t->x1);
    project_heads(s, w, EL_PART_Q, n, t->x1, t->q0, t->q);
    project_heads(s, w, EL_PART_K, n, t->x1, t->k0, t->k);
    project(s, w, EL_PART_V, t->x1, n, t->v);
    add_bias(w->fixed[EL_FIXED_BV], n, s->kv_heads * s->head_dim, t->v);
    el_attend(&a, t->q, t->k, t->v, t->o, t->scratch);
}

void el_layer_output(const el_layer_shape *s, const el_layer_weights *w, const float *x, uint32_t n,
                     el_layer_trace *t)
{
    memcpy(t->h, x, (size_t)n * s->dim * sizeof *x);
    el_linear(t->o, w->part[EL_PART_O], n, s->dim, el_part_cols(s, EL_PART_O), true, t->h);
}

void el_layer_feed(const el_layer_shape *s, const el_layer_weights *w, uint32_t n,
                   el_layer_trace *t)
{
    el_rms_norm(t->h, w->norm[1], n, s->dim, s->eps, t->x2);
    project(s, w, EL_PART_GATE, t->x2, n, t->gate);
    project(s, w, EL_PART_UP, t->x2, n, t->up);
    el_swiglu(t->gate, t->up, n * s->ffn_dim, t->act);
}

void el_layer_down(const el_layer_shape *s, const el_layer_weights *w, uint32_t n,
                   el_layer_trace *t, float *y)
{
    memcpy(y, t->h, (size_t)n * s->dim * sizeof *y);
    el_linear(t->act, w->part[EL_PART_DOWN], n, s->dim, s->ffn_dim, true, y);
}

void el_layer_forward(const el_layer_shape *s, const el_layer_weights *w, const float *x,
                      uint32_t n, el_layer_trace *t, float *y)
{
    el_layer_attend(s, w, x, n, t);
    el_layer_output(s, w, x, n, t);
    el_layer_feed(s, w, n, t);
    el_layer_down(s, w, n, t, y);
}

/* Gradient of one matrix (dw += dy' x, if it is wanted) and of its input (dx = or += dy w). */
static void project_back(const el_layer_shape *s, const el_layer_weights *w,
                         const el_layer_floats *g, int part, const float *x, const float *dy,
                         uint32_t n, bool add, float *dx)
{
    uint32_t rows = el_part_rows(s, part), cols = el_part_cols(s, part);
    if (g->part[part]) el_linear_dw(dy, x, n, rows, cols, true, g->part[part]);
    el_linear_dx(dy, w->part[part], n, rows, cols, add, dx);
}

/* dx (n, dim) holds the gradient of y, and gets that of h. */
static void feed_back(const el_layer_shape *s, const el_layer_weights *w, uint32_t n,
                      el_layer_trace *t, float *dx, const el_layer_floats *g)
{
    size_t wide = (size_t)n * s->ffn_dim;
    float *dgate = t->scratch, *dup = dgate + wide, *dx2 = dup + wide, *dact = t->act;
    project_back(s, w, g, EL_PART_DOWN, t->act, dx, n, false, dact);
    el_swiglu_back(t->gate, t->up, dact, n * s->ffn_dim, dgate, dup);
    project_back(s, w, g, EL_PART_GATE, t->x2, dgate, n, false, dx2);
    project_back(s, w, g, EL_PART_UP, t->x2, dup, n, true, dx2);
    el_rms_norm_back(t->h, w->norm[1], dx2, n, s->dim, s->eps, dx, g->norm[1]);
}

/* From the gradient of queries or keys to that of what was projected; `y`, which they were, is used
 * up. Returns where it is. */
static float *heads_back(const el_layer_shape *s, const el_layer_weights *w, int part, uint32_t n,
                         const float *raw, float *y, float *dy)
{
    const bool is_q = part == EL_PART_Q;
    const uint32_t heads = is_q ? s->heads : s->kv_heads;
    el_rope(dy, n, heads, s->head_dim, &s->rotary, -1.0f);
    if (!s->head_norms) return dy;
    memset(y, 0, (size_t)n * heads * s->head_dim * sizeof *y);
    el_rms_norm_back(raw, w->fixed[is_q ? EL_FIXED_NQ : EL_FIXED_NK], dy, n * heads, s->head_dim,
                     s->eps, y, NULL);
    return y;
}

/* dx holds the gradient of h, and gets that of x. What feed_back() has used is free. */
static void attend_back(const el_layer_shape *s, const el_layer_weights *w, const float *x,
                        uint32_t n, el_layer_trace *t, float *dx, const el_layer_floats *g)
{
    const el_attention a = attention_of(s, n);
    float *dout = t->gate, *dq = t->up, *dkv = t->act, *dx1 = t->x2;
    float *dk = dkv, *dv = dkv + (size_t)n * s->kv_heads * s->head_dim;
    project_back(s, w, g, EL_PART_O, t->o, dx, n, false, dout);
    el_attend_back(&a, t->q, t->k, t->v, dout, dq, dk, dv, t->scratch);
    dq = heads_back(s, w, EL_PART_Q, n, t->q0, t->q, dq);
    dk = heads_back(s, w, EL_PART_K, n, t->k0, t->k, dk);
    project_back(s, w, g, EL_PART_Q, t->x1, dq, n, false, dx1);
    project_back(s, w, g, EL_PART_K, t->x1, dk, n, true, dx1);
    project_back(s, w, g, EL_PART_V, t->x1, dv, n, true, dx1);
    el_rms_norm_back(x, w->norm[0], dx1, n, s->dim, s->eps, dx, g->norm[0]);
}

void el_layer_backward(const el_layer_shape *s, const el_layer_weights *w, const float *x,
                       uint32_t n, el_layer_trace *t, const float *dy, float *dx,
                       const el_layer_floats *grads)
{
    if (dx != dy) memcpy(dx, dy, (size_t)n * s->dim * sizeof *dx);
    feed_back(s, w, n, t, dx, grads);
    attend_back(s, w, x, n, t, dx, grads);
}
