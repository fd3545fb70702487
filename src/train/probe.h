/*
 * probe.h: what it costs to store a matrix with few bits, found by trying, without a backward pass.
 * Of every matrix t and every form c that it may take, with rounding errors E that GPTQ leaves and
 * second moments H of its inputs:
 *
 *     damage(t, c) = KL(t) * e(t, c) / e(t, p)       e = sum over rows of E H E'
 *
 * KL(t) is the mean KL(source || model) at the head, where the model is the source with t alone
 * in form p: coarse, so that the effect stands out. Results depend on the source, the tokens and
 * the kind of CPU, never on the number of threads.
 */
#ifndef EL_TRAIN_PROBE_H
#define EL_TRAIN_PROBE_H

#include "train/divergence.h"
#include "train/moments.h"
#include "train/student.h"

typedef struct el_probe_forms {
    const el_form *forms; /* those that are not kept are all rotated, or none */
    uint32_t count;
    uint32_t probed; /* p; not a kept one */
    float damping;   /* see el_gptq_prepare() */
} el_probe_forms;

typedef struct el_probe {
    const el_source *source;
    const el_layer_shape *shape;
    el_crew *crew;
    unsigned members;
    const uint32_t *tokens;       /* (sequences, length) */
    uint32_t sequences, length;   /* of the second moments */
    uint32_t segments, span;      /* of a probe: the first `span` tokens (2 .. length) of as many of
                                     these sequences, spread evenly */
    el_probe_forms parts, tables; /* of layers; of the embedding and the head */
    /* Called between layers; may be NULL. Return false to stop (INTERRUPTED). */
    bool (*progress)(void *context, uint32_t done, uint32_t total);
    void *progress_context;

    /* results */
    double *damage;       /* (layers, EL_PARTS, parts.count) */
    double *table_damage; /* (pieces of tables, tables.count) */

    /* memory */
    el_moments moments;
    el_divergence divergence;
    el_layer_floats layer, later; /* the layer whose parts are probed; one after it */
    uint32_t layer_at, later_at;  /* which these are */
    float *last_norm;             /* (dim) */
    float *rounded[EL_PARTS];     /* (rows, cols) in form p */
    float *streams;             /* (EL_PARTS, segments, span, dim): of models changed at one part */
    float *factor, *importance; /* (widest, widest), (widest) */
    uint8_t *scratch;           /* (members): to round a band of rows */
    size_t scratch_bytes, latent_bytes;
    double *errors; /* (forms, bands) */
    uint32_t widest, done, total;
} el_probe;

void el_probe_layout(el_probe *p, el_arena *arena);

/* Forms of a matrix, numbered as in student.h, and what they cost. */
const el_probe_forms *el_probe_forms_of(const el_probe *p, uint32_t matrix);
double *el_probe_damage_of(const el_probe *p, uint32_t matrix);

/* Errors: FORMAT (weights that are not finite, or overflow), MEMORY, INTERRUPTED. */
edgellm_status el_probe_run(el_probe *p, edgellm_error *err);

#endif
