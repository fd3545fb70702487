/* float_layer.c: see float_layer.h. Gradients overwrite activations that are no longer needed. */
#include "train/float_layer.h"

#include <string.h>

const char *const el_part_names[EL_PARTS] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                             "ffn_gate", "ffn_up", "ffn_down"};
const char *const el_norm_names[EL_NORMS] = {"attn_norm", "ffn_norm"};
const char *const el_fixed_names[EL_FIXED] = {
    "attn_q.bias",          "attn_k.bias",          "attn_v.bias",
    "attn_q_norm.weight",   "attn_k_norm.weight",   "post_attention_norm.weight",
    "post_ffw_norm.weight", "attn_sub_norm.weight", "ffn_sub_norm.weight"};

/* By el_gate. */
static const struct {
    el_gate_fn forward;
    el_gate_back_fn backward;
} gates[] = {{el_swiglu, el_swiglu_back}, {el_geglu, el_geglu_back}, {el_reglu2, el_reglu2_back}};

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
    const uint32_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    const uint32_t cols[EL_FIXED] = {q,      kv,     kv, s->head_dim, s->head_dim,
                                     s->dim, s->dim, q,  s->ffn_dim};
    return cols[fixed];
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
    size_t scratch = (size_t)n * n * (!backward ? 1 : s->attention_cap != 0 ? 3 : 2);
    size_t deltas = (size_t)n * (2 * (size_t)s->ffn_dim + s->dim); /* see el_layer_backward() */
    if (backward && scratch < deltas) scratch = deltas;
    const size_t normed = s->head_norms ? n : 0, post = s->post_norms ? n : 0;
    const size_t sub = s->sub_norms ? n : 0;
    el_layer_trace t = {
        .q0 = el_arena_take(arena, normed, q * sizeof(float)),
        .k0 = el_arena_take(arena, normed, kv * sizeof(float)),
        .o0 = el_arena_take(arena, sub, q * sizeof(float)),
        .act0 = el_arena_take(arena, sub, s->ffn_dim * sizeof(float)),
        .mixed = el_arena_take(arena, post, s->dim * sizeof(float)),
        .fed = el_arena_take(arena, post, s->dim * sizeof(float)),
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
    if (s->sub_norms) return t;
    t.o0 = t.o;
    t.act0 = t.act;
    return t;
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

static void turn(const el_layer_shape *s, const el_layer_weights *w, uint32_t n, uint32_t heads,
                 float *x, float direction)
{
    if (w->unturned) return;
    el_rope(x, n, heads, s->head_dim, w->local ? &s->local_rotary : &s->rotary, direction);
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
    turn(s, w, n, heads, y, 1.0f);
}

static el_attention attention_of(const el_layer_shape *s, const el_layer_weights *w, uint32_t n)
{
    return (el_attention){.n = n,
                          .heads = s->heads,
                          .kv_heads = s->kv_heads,
                          .head_dim = s->head_dim,
                          .window = w->local ? s->window : 0,
                          .scale = s->attention_scale,
                          .cap = s->attention_cap};
}

/* The input of a last matrix: what there is, or that normed. */
static void sub_norm(const el_layer_shape *s, const float *weight, uint32_t n, uint32_t cols,
                     const float *raw, float *x)
{
    if (weight) el_rms_norm(raw, weight, n, cols, s->eps, x);
}

/* out = stream + what a last matrix makes of its input, which may be normed first; then `raw` keeps
 * it as it was. */
static void add_output(const el_layer_shape *s, const el_layer_weights *w, int part,
                       const float *post, const float *x, const float *stream, uint32_t n,
                       float *raw, float *out)
{
    const size_t count = (size_t)n * s->dim;
    if (!post) {
        memcpy(out, stream, count * sizeof *out);
        el_linear(x, w->part[part], n, s->dim, el_part_cols(s, part), true, out);
        return;
    }
    project(s, w, part, x, n, raw);
    el_rms_norm(raw, post, n, s->dim, s->eps, out);
    for (size_t i = 0; i < count; i++)
        out[i] += stream[i];
}

void el_layer_attend(const el_layer_shape *s, const el_layer_weights *w, const float *x, uint32_t n,
                     el_layer_trace *t)
{
    const el_attention a = attention_of(s, w, n);
    el_rms_norm(x, w->norm[0], n, s->dim, s->eps, t->x1);
    project_heads(s, w, EL_PART_Q, n, t->x1, t->q0, t->q);
    project_heads(s, w, EL_PART_K, n, t->x1, t->k0, t->k);
    project(s, w, EL_PART_V, t->x1, n, t->v);
    add_bias(w->fixed[EL_FIXED_BV], n, s->kv_heads * s->head_dim, t->v);
    el_attend(&a, t->q, t->k, t->v, t->o0, t->scratch);
    sub_norm(s, w->fixed[EL_FIXED_SO], n, el_part_cols(s, EL_PART_O), t->o0, t->o);
}

void el_layer_output(const el_layer_shape *s, const el_layer_weights *w, const float *x, uint32_t n,
                     el_layer_trace *t)
{
    add_output(s, w, EL_PART_O, w->fixed[EL_FIXED_PO], t->o, x, n, t->mixed, t->h);
}

void el_layer_feed(const el_layer_shape *s, const el_layer_weights *w, uint32_t n,
                   el_layer_trace *t)
{
    el_rms_norm(t->h, w->norm[1], n, s->dim, s->eps, t->x2);
    project(s, w, EL_PART_GATE, t->x2, n, t->gate);
    project(s, w, EL_PART_UP, t->x2, n, t->up);
    gates[s->gate].forward(t->gate, t->up, n * s->ffn_dim, t->act0);
    sub_norm(s, w->fixed[EL_FIXED_SD], n, s->ffn_dim, t->act0, t->act);
}

void el_layer_down(const el_layer_shape *s, const el_layer_weights *w, uint32_t n,
                   el_layer_trace *t, float *y)
{
    add_output(s, w, EL_PART_DOWN, w->fixed[EL_FIXED_PD], t->act, t->h, n, t->fed, y);
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

/* From the gradient of what a norm gives to that of what it was given, in `room`. Returns where it
 * is: without a norm that is dy. */
static float *norm_back(const el_layer_shape *s, const float *weight, const float *raw, uint32_t n,
                        uint32_t cols, float *dy, float *room)
{
    if (!weight) return dy;
    memset(room, 0, (size_t)n * cols * sizeof *room);
    el_rms_norm_back(raw, weight, dy, n, cols, s->eps, room, NULL);
    return room;
}

/* dx (n, dim) holds the gradient of y, and gets that of h. */
static void feed_back(const el_layer_shape *s, const el_layer_weights *w, uint32_t n,
                      el_layer_trace *t, float *dx, const el_layer_floats *g)
{
    size_t wide = (size_t)n * s->ffn_dim;
    float *dgate = t->scratch, *dup = dgate + wide, *dx2 = dup + wide, *dact = t->act;
    const float *dfed = norm_back(s, w->fixed[EL_FIXED_PD], t->fed, n, s->dim, dx, dx2);
    project_back(s, w, g, EL_PART_DOWN, t->act, dfed, n, false, dact);
    dact = norm_back(s, w->fixed[EL_FIXED_SD], t->act0, n, s->ffn_dim, dact, dup);
    gates[s->gate].backward(t->gate, t->up, dact, n * s->ffn_dim, dgate, dup);
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
    turn(s, w, n, heads, dy, -1.0f);
    return norm_back(s, w->fixed[is_q ? EL_FIXED_NQ : EL_FIXED_NK], raw, n * heads, s->head_dim, dy,
                     y);
}

/* dx holds the gradient of h, and gets that of x. What feed_back() has used is free. */
static void attend_back(const el_layer_shape *s, const el_layer_weights *w, const float *x,
                        uint32_t n, el_layer_trace *t, float *dx, const el_layer_floats *g)
{
    const el_attention a = attention_of(s, w, n);
    float *dout = t->gate, *dq = t->up, *dkv = t->act, *dx1 = t->x2;
    float *dk = dkv, *dv = dkv + (size_t)n * s->kv_heads * s->head_dim;
    const float *dmixed = norm_back(s, w->fixed[EL_FIXED_PO], t->mixed, n, s->dim, dx, dx1);
    project_back(s, w, g, EL_PART_O, t->o, dmixed, n, false, dout);
    dout = norm_back(s, w->fixed[EL_FIXED_SO], t->o0, n, el_part_cols(s, EL_PART_O), dout, t->o);
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
