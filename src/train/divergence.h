/*
 * divergence.h: how far changed models' predictions are from the source's, the mean of
 * KL(source || changed) over some positions. The vocabulary is taken slice by slice, so neither a
 * table of floats nor whole rows of logits are held.
 */
#ifndef EL_TRAIN_DIVERGENCE_H
#define EL_TRAIN_DIVERGENCE_H

#include "train/pieces.h"
#include "train/source.h"

/* Writes rows first .. first + count - 1 of a changed head, (count, dim). */
typedef void (*el_head_rows_fn)(void *context, uint32_t first, uint32_t count, unsigned member,
                                float *rows);

typedef struct el_divergence {
    const el_source *source;
    el_crew *crew;
    unsigned members;
    uint32_t positions, most; /* most: models compared at a time */
    float *theirs;            /* (positions, dim): what the source's head sees */
    float *ours;              /* (most, positions, dim) */
    float *scratch;           /* (members): see divergence.c */
    double *sums;             /* (slices, most + 1, positions, 2) */
} el_divergence;

void el_divergence_layout(el_divergence *d, el_arena *arena);

/* Nats of models 0 .. count-1, whose head is the source's if `rows` is NULL. */
void el_divergence_run(el_divergence *d, uint32_t count, el_head_rows_fn rows, void *context,
                       double *nats);

#endif
