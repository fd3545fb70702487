/*
 * calibrate_together.h: several writers, each in a thread of its own, decode together: each waits
 * with its next token until all have one, and the last to come computes them in one pass over the
 * weights.
 */
#ifndef EL_OFFLINE_CALIBRATE_TOGETHER_H
#define EL_OFFLINE_CALIBRATE_TOGETHER_H

#include <pthread.h>

#include "base/error.h"

enum { EL_TOGETHER_MAX = 16 };

typedef struct el_together {
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t passed;
    uint32_t members, waiting;
    edgellm_session *sessions[EL_TOGETHER_MAX]; /* (waiting) */
    uint32_t tokens[EL_TOGETHER_MAX];           /* (waiting) */
    float *logits;                              /* (members, vocab) */
    uint64_t passes;
    edgellm_status status; /* of the last pass; it stays until all have seen it */
    edgellm_error err;
} el_together;

/* members: 1 .. EL_TOGETHER_MAX, each of which has to leave. After a failure too,
 * el_together_close() releases what there is. Errors: MEMORY. */
edgellm_status el_together_open(el_together *t, uint32_t members, uint32_t vocab,
                                edgellm_error *err);
void el_together_close(el_together *t);

/* Appends a token to the session and computes it, as edgellm_session_eval(). The sessions of all
 * members are of one engine, with a batch of EL_TOGETHER_MAX at least. Errors: as
 * edgellm_sessions_eval(); all members have the same. */
edgellm_status el_together_eval(el_together *t, edgellm_session *session, uint32_t token,
                                edgellm_error *err);

/* One member less. */
void el_together_leave(el_together *t);

#endif
