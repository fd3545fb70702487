/*
 * compress_run.h: what one el_compress() works on, and its stages, in order. Each leaves its result
 * in the journal, or is made again in the same way when a run goes on.
 */
#ifndef EL_TRAIN_COMPRESS_RUN_H
#define EL_TRAIN_COMPRESS_RUN_H

#include "offline/calibrate.h"
#include "train/compress.h"
#include "train/journal.h"
#include "train/pieces.h"
#include "train/student.h"

enum { EL_HELD_OUT = 4, EL_LAYER_SEQUENCES = 32, EL_STEP_SEQUENCES = 2 };

/* Kinds of records in the journal. */
enum { EL_RECORD_TEXT = 1, EL_RECORD_TOKENS, EL_RECORD_FORMS, EL_RECORD_ENDS, EL_RECORD_LAYER };

/* How long the stages take, in forward passes of one token. */
enum {
    EL_COST_WRITE = 2,
    EL_COST_PROBE = 140000, /* all of it */
    EL_COST_FORWARD = 1,
    EL_COST_LAYERS = 9,
    EL_COST_EPOCH = 5,
    EL_COST_TUNE = 6
};

typedef struct el_run {
    const el_compress_options *options;
    const char *path, *target;
    el_source source;
    bool named;    /* an error says already which file it is of */
    bool computed; /* all is, and yet to be written */
    el_layer_shape shape;
    el_arena crew_memory, student_memory, table_memory;
    el_crew *crew;
    unsigned members;
    el_journal journal;
    el_calibration text; /* the last EL_HELD_OUT sequences are not trained on */
    uint32_t sequences;
    float rate; /* of training as a whole */
    el_form *forms;
    el_student student;
    float *hidden;      /* (all tokens, dim): what the source's head sees */
    double done, total; /* cost */
    el_compress_result result;
} el_run;

/* Asks whether to go on; done: cost of what is finished of this stage. Errors: INTERRUPTED. */
edgellm_status el_run_tell(const el_run *r, const char *stage, double done, edgellm_error *err);
/* The error of a run that was asked to stop. */
edgellm_status el_run_stopped(const el_run *r, edgellm_error *err);

/* Calibration text: written by the model, or from a file. */
edgellm_status el_run_text(el_run *r, edgellm_error *err);
/* r->hidden: what the source's head sees of it. */
edgellm_status el_run_source(el_run *r, edgellm_error *err);
/* Rounds the embedding, and the head if it is one of its own. */
edgellm_status el_run_ends(el_run *r, edgellm_error *err);
/* Rounds and trains the layers one by one. */
edgellm_status el_run_layers(el_run *r, edgellm_error *err);
/* Trains all as a whole. */
edgellm_status el_run_tune(el_run *r, edgellm_error *err);

#endif
