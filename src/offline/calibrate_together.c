/* calibrate_together.c: see calibrate_together.h. */
#include "offline/calibrate_together.h"

#include <stdlib.h>

edgellm_status el_together_open(el_together *t, uint32_t members, uint32_t vocab,
                                edgellm_error *err)
{
    *t = (el_together){.members = members};
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->passed, NULL);
    t->logits = malloc((size_t)members * vocab * sizeof *t->logits);
    if (t->logits) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY, "calibration: no memory for %u x %u logits", members,
                   vocab);
}

void el_together_close(el_together *t)
{
    free(t->logits);
    pthread_cond_destroy(&t->passed);
    pthread_mutex_destroy(&t->lock);
}

/* The lock is held. Nobody who waits has still to see what came of the pass before. */
static void pass_if_complete(el_together *t)
{
    if (t->waiting == 0 || t->waiting < t->members) return;
    t->status = edgellm_sessions_eval(t->sessions, t->tokens, t->waiting, t->logits, &t->err);
    t->waiting = 0;
    t->passes++;
    pthread_cond_broadcast(&t->passed);
}

edgellm_status el_together_eval(el_together *t, edgellm_session *session, uint32_t token,
                                edgellm_error *err)
{
    pthread_mutex_lock(&t->lock);
    const uint64_t passes = t->passes;
    t->sessions[t->waiting] = session;
    t->tokens[t->waiting++] = token;
    pass_if_complete(t);
    while (t->passes == passes)
        pthread_cond_wait(&t->passed, &t->lock);
    const edgellm_status status = t->status;
    if (status != EDGELLM_OK) el_fail(err, status, "%s", t->err.message);
    pthread_mutex_unlock(&t->lock);
    return status;
}

void el_together_leave(el_together *t)
{
    pthread_mutex_lock(&t->lock);
    t->members--;
    pass_if_complete(t);
    pthread_mutex_unlock(&t->lock);
}
