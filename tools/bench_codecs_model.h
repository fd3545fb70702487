/*
 * bench_codecs_model.h: the matrix products of SmolLM2-135M with random codes, in both layouts, the
 * activations they meet, and the naive reference.
 */
#ifndef BENCH_CODECS_MODEL_H
#define BENCH_CODECS_MODEL_H

#include "bench_codecs.h"

typedef struct bench_model {
    bench_matrix *matrix;
    uint32_t count;
    uint32_t body; /* matrices of the layers; what follows is the head */
    int bits;
    uint32_t vectors;
    bench_acts narrow, wide; /* of width 576 and 1536 */
    uint8_t *packed, *planes;
    uint16_t *scales;
    size_t code_bytes, scale_bytes, weights;
} bench_model;

/* Returns 0, or -1 if memory ran out; *model is to be freed either way. */
int bench_model_make(bench_model *model, int bits, uint32_t layers, bool head, uint32_t vectors);
void bench_model_free(bench_model *model);

const bench_acts *bench_model_acts(const bench_model *model, const bench_matrix *m);

/* Does the matrix meet the same vectors as the one before it, as k and v do after q? */
bool bench_model_shares_input(const bench_model *model, uint32_t index);

/* out (n, rows), from the codes as they were drawn: knows no layout. */
void bench_model_reference(const bench_model *model, const bench_matrix *m, uint32_t n, float *out);

#endif
