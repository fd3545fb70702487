/*
 * float_ops.h: the operations of a transformer in float32, forward and backward, on OpenBLAS. They
 * need not be bit-equal to the kernels (docs/QUANTISATION.md says how near they are), but give the
 * same bits for the same shapes on one kind of CPU, whatever the number of threads: no operation
 * splits its work. All arrays are row-major; n is a number of tokens. "add" means: add to what the
 * output holds, instead of overwriting it.
 */
#ifndef EL_TRAIN_FLOAT_OPS_H
#define EL_TRAIN_FLOAT_OPS_H

#include <stdbool.h>
#include <stdint.h>

/* y (n, rows) = x (n, cols) * transposed w (rows, cols). */
void el_linear(const float *x, const float *w, uint32_t n, uint32_t rows, uint32_t cols, bool add,
               float *y);
/* dx (n, cols) = dy (n, rows) * w. */
void el_linear_dx(const float *dy, const float *w, uint32_t n, uint32_t rows, uint32_t cols,
                  bool add, float *dx);
/* dw (rows, cols) = transposed dy (n, rows) * x (n, cols). */
void el_linear_dw(const float *dy, const float *x, uint32_t n, uint32_t rows, uint32_t cols,
                  bool add, float *dw);

/* y = x / sqrt(mean x^2 + eps) * weight, per token. */
void el_rms_norm(const float *x, const float *weight, uint32_t n, uint32_t dim, float eps,
                 float *y);
/* Adds to dx (n, dim) and dweight (dim; may be NULL). */
void el_rms_norm_back(const float *x, const float *weight, const float *dy, uint32_t n,
                      uint32_t dim, float eps, float *dx, float *dweight);

/* Turns neighbouring pairs of the first rotary numbers of each head of x (n, heads, head_dim) by
 * the angles of cosine and sine (n, rotary / 2); `direction` -1 turns back. */
typedef struct el_rotary {
    const float *cosine, *sine; /* (positions, dim / 2) */
    uint32_t dim;
} el_rotary;
void el_rope(float *x, uint32_t n, uint32_t heads, uint32_t head_dim, const el_rotary *rotary,
             float direction);

/* out = f(gate) * up, count numbers; f is silu, GELU in its tanh form, the square of ReLU. On the
 * way back dup may be dout. */
typedef void (*el_gate_fn)(const float *gate, const float *up, uint32_t count, float *out);
typedef void (*el_gate_back_fn)(const float *gate, const float *up, const float *dout,
                                uint32_t count, float *dgate, float *dup);
void el_swiglu(const float *gate, const float *up, uint32_t count, float *out);
void el_swiglu_back(const float *gate, const float *up, const float *dout, uint32_t count,
                    float *dgate, float *dup);
void el_geglu(const float *gate, const float *up, uint32_t count, float *out);
void el_geglu_back(const float *gate, const float *up, const float *dout, uint32_t count,
                   float *dgate, float *dup);
void el_reglu2(const float *gate, const float *up, uint32_t count, float *out);
void el_reglu2_back(const float *gate, const float *up, const float *dout, uint32_t count,
                    float *dgate, float *dup);

/* x = cap * tanh(x / cap). */
void el_soft_cap(float *x, uint32_t count, float cap);
/* From the gradient of what was capped, y, to that of what it came from, in place. */
void el_soft_cap_back(const float *y, uint32_t count, float cap, float *dy);

/* Causal attention of one sequence. q, out (n, heads, head_dim); k, v (n, kv_heads, head_dim). */
typedef struct el_attention {
    uint32_t n, heads, kv_heads, head_dim;
    uint32_t window; /* a token attends to so many positions, its own included; 0: to all */
    float scale;     /* of scores; 0: 1 / sqrt(head_dim) */
    float cap;       /* soft cap of scores, after that; 0: none */
} el_attention;
/* scratch: n * n floats. */
void el_attend(const el_attention *a, const float *q, const float *k, const float *v, float *out,
               float *scratch);
/* Overwrites dq, dk, dv. scratch: 2 * n * n floats, with a cap 3 * n * n. */
void el_attend_back(const el_attention *a, const float *q, const float *k, const float *v,
                    const float *dout, float *dq, float *dk, float *dv, float *scratch);

/* exp(x) / sum exp(x) of a row in place; returns log(sum exp(x)). */
double el_softmax_row(float *x, uint32_t n);

/* KL(theirs || ours) in nats of two rows of logits; ours becomes (p_ours - p_theirs) * scale.
 * scratch: n floats. */
double el_divergence_row(float *ours, const float *theirs, uint32_t n, float scale, float *scratch);

#endif
