/*
 * quality.h: how far a finished file is from its source, on calibration text that was held back:
 * the file through the engine as everybody runs it, the source in float32.
 */
#ifndef EL_TRAIN_QUALITY_H
#define EL_TRAIN_QUALITY_H

#include "train/source.h"

typedef struct el_quality {
    double kl;                            /* mean KL(source || file) in nats a token */
    double same_best;                     /* share of positions where both prefer the same token */
    double source_perplexity, perplexity; /* of the text */
    uint32_t tokens;                      /* positions compared */
} el_quality;

typedef struct el_quality_text {
    const uint32_t *tokens; /* (sequences, length) */
    const float *hidden;    /* (sequences, length, dim): what the source's head sees */
    uint32_t sequences, length;
} el_quality_text;

/* The second half of each sequence counts. Errors: as edgellm_engine_open() and
 * edgellm_session_eval(). */
edgellm_status el_quality_measure(const char *path, const el_source *source,
                                  const el_quality_text *text, el_quality *quality,
                                  edgellm_error *err);

#endif
