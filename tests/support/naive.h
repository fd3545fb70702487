/*
 * naive.h: the operations of a layer in double, loop by loop: what src/train is held to, and what
 * its gradients are held to by differences. Running out of memory fails the test.
 */
#ifndef EL_TEST_NAIVE_H
#define EL_TEST_NAIVE_H

#include <stddef.h>

#include "support/tiny_model.h"
#include "train/float_layer.h"
#include "train/latent.h"

/* ---- numbers; free() what is returned --------------------------------------------------- */

/* count numbers of mean 0. */
float *naive_noise(el_random *r, size_t count, float deviation);
double *naive_double(const float *x, size_t count);
/* Zeroes. */
void *naive_zeroes(size_t count, size_t size);

/* Fails unless each number is as near to the wanted one as `tolerance` times the largest. */
void naive_compare(const float *got, const double *want, size_t count, double tolerance,
                   const char *what);

/* ---- operations, as in float_ops.h ------------------------------------------------------- */

void naive_linear(const double *x, const double *w, uint32_t n, uint32_t rows, uint32_t cols,
                  double *y);
void naive_norm(const double *x, const double *weight, uint32_t n, uint32_t dim, double eps,
                double *y);
void naive_rotate(double *x, uint32_t n, uint32_t heads, uint32_t head_dim,
                  const el_rotary *rotary);
void naive_gate(el_gate gate, const double *x, const double *up, uint32_t count, double *out);
void naive_attend(const el_attention *a, const double *q, const double *k, const double *v,
                  double *out);
/* softmax in place; returns log(sum exp(x)). */
double naive_softmax(double *x, uint32_t n);
/* KL(theirs || ours) of two rows of logits. */
double naive_divergence(const float *ours, const float *theirs, uint32_t n);

typedef struct naive_weights {
    double *part[EL_PARTS]; /* as el_layer_weights */
    double *norm[EL_NORMS];
    double *fixed[EL_FIXED];
    bool local, unturned;
} naive_weights;

/* The rotation of hadamard.h and back, x (blocks, 64) in place. */
void naive_hadamard(double *x, size_t blocks);
void naive_hadamard_back(double *x, size_t blocks);

void naive_layer(const el_layer_shape *s, const naive_weights *w, const double *x, uint32_t n,
                 double *y);

/* ---- the rest ---------------------------------------------------------------------------- */

/* Angles of positions 0 .. n-1: base^(-2i / dim) a step. Owned: free() both tables. */
el_rotary naive_rotary(uint32_t n, uint32_t dim, double base);
void naive_rotary_free(el_rotary *rotary);

/* The gradient `got` (count) of loss(context) by x, which the loss reads, against central
 * differences. x is changed and put back. */
void naive_check_gradient(double *x, size_t count, const float *got,
                          double (*loss)(const void *context), const void *context,
                          const char *what);

/* Trace of D H D', D being what a latent's weights are off by w (rows, cols); h: (cols, cols). */
double naive_output_error(const el_latent *l, const float *w, const float *h);

#endif
