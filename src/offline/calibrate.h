/*
 * calibrate.h: tokens that the calibrated quantiser runs through the model: text that the model
 * writes itself, so that nobody's data is needed, or a file of the user's.
 */
#ifndef EL_OFFLINE_CALIBRATE_H
#define EL_OFFLINE_CALIBRATE_H

#include "base/error.h"

typedef struct el_calibration {
    uint32_t sequences, length;
    uint32_t vocab;   /* ids are below */
    uint32_t *tokens; /* (sequences, length) */
} el_calibration;

#define EL_CALIBRATE_SEQUENCES_MAX 65536
#define EL_CALIBRATE_THREADS_MAX   64

typedef struct el_calibrate_options {
    uint32_t sequences; /* 1 .. EL_CALIBRATE_SEQUENCES_MAX */
    uint32_t length;    /* tokens of each: 2 .. what the model was trained for */
    uint64_t seed;      /* of the draws; not looked at for a file */
    uint32_t threads;   /* cores to write on, several sequences at once on each:
                           1 .. EL_CALIBRATE_THREADS_MAX; 0: all that this process has. Never
                           changes a token; not looked at for a file */
    /* Called after each sequence, and between with the same numbers so that a stop is heard soon;
     * by one thread at a time, but never the caller's. May be NULL; not called for a file. Return
     * false to stop (INTERRUPTED): it is not called again. */
    bool (*progress)(void *context, uint32_t done, uint32_t total);
    void *progress_context;
} el_calibrate_options;

/*
 * Lets the model write: sequence i depends on the model, the seed and i only. Each begins with what
 * the engine would put first, and holds one text or several, with the token between that ends one.
 * Release with el_calibration_free(). Errors: USAGE (an option out of range), MEMORY, INTERRUPTED,
 * FORMAT (the logits overflow).
 */
edgellm_status el_calibrate_self(const edgellm_engine *engine, const el_calibrate_options *options,
                                 el_calibration *out, edgellm_error *err);

/*
 * Takes pieces of a text, spread evenly over it, that do not overlap; each begins with the token
 * that a sequence begins with, if the vocabulary asks for one. A text too short for all of them
 * gives fewer: see out->sequences. Release with el_calibration_free(). Errors: USAGE (an option out
 * of range; too short for one), IO, FORMAT (empty), MEMORY.
 */
edgellm_status el_calibrate_file(const edgellm_engine *engine, const char *path,
                                 const el_calibrate_options *options, el_calibration *out,
                                 edgellm_error *err);

void el_calibration_free(el_calibration *c); /* twice is allowed */

#endif
