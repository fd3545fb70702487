/*
 * float_layer.h: one layer in float32, of any architecture that the engine runs, forward and
 * backward, for one sequence at positions 0 .. n-1. What the backward pass needs is kept by the
 * forward pass in memory that the caller lays out once.
 */
#ifndef EL_TRAIN_FLOAT_LAYER_H
#define EL_TRAIN_FLOAT_LAYER_H

#include "base/arena.h"
#include "format/config.h"
#include "model/model.h"
#include "train/float_ops.h"

/* The matrices of a layer, in the order of computation. */
enum { EL_PART_Q, EL_PART_K, EL_PART_V, EL_PART_O, EL_PART_GATE, EL_PART_UP, EL_PART_DOWN };
enum { EL_PARTS = EL_PART_DOWN + 1, EL_NORMS = 2 };
extern const char *const el_part_names[EL_PARTS]; /* "attn_q" ... */
extern const char *const el_norm_names[EL_NORMS]; /* "attn_norm", "ffn_norm" */

/* Vectors that some architectures have and that stay as they are: biases of queries, keys and
 * values; norms of every head's queries and keys before they are turned; of what the output matrix
 * and down give (post) and of what they meet (sub). */
enum { EL_FIXED_BQ, EL_FIXED_BK, EL_FIXED_BV, EL_FIXED_NQ, EL_FIXED_NK };
enum { EL_FIXED_PO = EL_FIXED_NK + 1, EL_FIXED_PD, EL_FIXED_SO, EL_FIXED_SD, EL_FIXED };
extern const char *const el_fixed_names[EL_FIXED]; /* "attn_q.bias" ... */

typedef struct el_layer_shape {
    uint32_t dim, ffn_dim, heads, kv_heads, head_dim;
    float eps;
    el_rotary rotary;
    bool head_norms; /* EL_FIXED_NQ, EL_FIXED_NK are there */
    bool post_norms; /* EL_FIXED_PO, EL_FIXED_PD are */
    bool sub_norms;  /* EL_FIXED_SO, EL_FIXED_SD are */
    el_gate gate;
    float attention_scale, attention_cap; /* see el_attention */
    uint32_t window;                      /* of local layers, likewise */
    el_rotary local_rotary;               /* of local layers */
} el_layer_shape;

uint32_t el_part_rows(const el_layer_shape *s, int part);
uint32_t el_part_cols(const el_layer_shape *s, int part);
uint32_t el_fixed_cols(const el_layer_shape *s, int fixed);

/* Weights by part, (rows, cols) each, the two norms' (dim), and what is fixed (NULL: is not there);
 * and of which kind the layer is. */
typedef struct el_layer_weights {
    const float *part[EL_PARTS];
    const float *norm[EL_NORMS];
    const float *fixed[EL_FIXED];
    bool local;    /* attends to the shape's window, turned by local_rotary */
    bool unturned; /* queries and keys are not turned */
} el_layer_weights;

/* Floats of the same shapes to write to: weights as they are read, or gradients (part NULL: not
 * wanted). */
typedef struct el_layer_floats {
    float *part[EL_PARTS];
    float *norm[EL_NORMS];
} el_layer_floats;
el_layer_floats el_layer_floats_layout(el_arena *arena, const el_layer_shape *s);

/* What one forward pass of n tokens leaves behind. */
typedef struct el_layer_trace {
    float *x1;        /* (n, dim) input of q, k, v */
    float *q0, *k0;   /* before the heads' norms; only with these */
    float *q, *k, *v; /* after rotary embedding */
    float *o0;        /* (n, heads * head_dim) what attention gives; o without sub norms */
    float *o;         /* (n, heads * head_dim) input of the output matrix */
    float *mixed;     /* (n, dim) what that gives; only with post norms */
    float *h;         /* (n, dim) the stream after attention */
    float *x2;        /* (n, dim) input of gate, up */
    float *gate, *up; /* (n, ffn_dim) */
    float *act0;      /* (n, ffn_dim) what the gate lets through; act without sub norms */
    float *act;       /* (n, ffn_dim) input of down */
    float *fed;       /* (n, dim) what that gives; only with post norms */
    float *scratch;   /* for attention and the backward pass */
} el_layer_trace;

/* Takes the memory for up to n tokens; `backward`: the backward pass will be used too. */
el_layer_trace el_layer_trace_layout(el_arena *arena, const el_layer_shape *s, uint32_t n,
                                     bool backward);

/* The steps of a layer: x (n, dim) -> x1 -> q, k, v, o -> h -> x2 -> gate, up, act -> y (n, dim).
 */
void el_layer_attend(const el_layer_shape *s, const el_layer_weights *w, const float *x, uint32_t n,
                     el_layer_trace *t); /* up to o */
void el_layer_output(const el_layer_shape *s, const el_layer_weights *w, const float *x, uint32_t n,
                     el_layer_trace *t); /* o -> h */
void el_layer_feed(const el_layer_shape *s, const el_layer_weights *w, uint32_t n,
                   el_layer_trace *t); /* h -> act */
void el_layer_down(const el_layer_shape *s, const el_layer_weights *w, uint32_t n,
                   el_layer_trace *t, float *y); /* act -> y */

/* All of them. */
void el_layer_forward(const el_layer_shape *s, const el_layer_weights *w, const float *x,
                      uint32_t n, el_layer_trace *t, float *y);

/* From dy (n, dim) to dx (n, dim; overwritten, may be dy) and gradients (added to). `t` is that of
 * the forward pass; what it holds is used up. */
void el_layer_backward(const el_layer_shape *s, const el_layer_weights *w, const float *x,
                       uint32_t n, el_layer_trace *t, const float *dy, float *dx,
                       const el_layer_floats *grads);

#endif
