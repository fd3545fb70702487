/* session_together.c: one token of each of several sessions in one pass over the weights. */
#include <string.h>

#include "base/fpenv.h"
#include "engine/session.h"
#include "model/cache.h"
#include "model/positions.h"

/* The session whose memory and threads do the work: its tables of angles and its scores reach as
 * far as every context. */
static edgellm_session *leader_of(edgellm_session *const *sessions, uint32_t count)
{
    edgellm_session *leader = sessions[0];
    for (uint32_t i = 1; i < count; i++)
        if (sessions[i]->forward.context > leader->forward.context) leader = sessions[i];
    return leader;
}

static bool turns_long(const edgellm_session *s)
{
    return el_positions_long(s->forward.model, s->forward.context);
}

static edgellm_status check_session(edgellm_session *const *sessions, uint32_t i,
                                    edgellm_error *err)
{
    const edgellm_session *s = sessions[i];
    if (s->engine != sessions[0]->engine)
        return el_fail(err, EDGELLM_ERR_USAGE, "session %u is of another engine than session 0", i);
    if (s->forward.exact != sessions[0]->forward.exact)
        return el_fail(err, EDGELLM_ERR_USAGE, "of sessions 0 and %u only one is exact", i);
    if (turns_long(s) != turns_long(sessions[0]))
        return el_fail(
            err, EDGELLM_ERR_USAGE,
            "of sessions 0 and %u only one has a context above %u, where this model turns "
            "positions otherwise",
            i, s->engine->file.config.rope_context);
    for (uint32_t k = 0; k < i; k++)
        if (sessions[k] == s)
            return el_fail(err, EDGELLM_ERR_USAGE, "session %u is session %u once more", i, k);
    return EDGELLM_OK;
}

static edgellm_status check_token(const edgellm_session *s, const uint32_t *token, uint32_t i,
                                  edgellm_error *err)
{
    edgellm_error why = {0};
    edgellm_status status = el_session_check_tokens(s, token, 1, &why);
    if (status == EDGELLM_OK) return EDGELLM_OK;
    return el_fail(err, status, "session %u: %s", i, why.message);
}

static edgellm_status check_all(edgellm_session *const *sessions, const uint32_t *tokens,
                                uint32_t count, edgellm_error *err)
{
    if (count == 0) return el_fail(err, EDGELLM_ERR_USAGE, "no tokens to compute");
    for (uint32_t i = 0; i < count; i++) {
        EL_TRY(check_session(sessions, i, err));
        EL_TRY(check_token(sessions[i], &tokens[i], i, err));
    }
    const uint32_t batch = leader_of(sessions, count)->forward.batch;
    if (count <= batch) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "%u sessions, but that with the largest context was opened with a batch of %u",
                   count, batch);
}

static void run(edgellm_session *worker, edgellm_session *const *sessions, const uint32_t *tokens,
                uint32_t count, float *logits)
{
    el_forward *f = &worker->forward;
    el_realtime_border(worker->realtime, false);
    f->tokens = tokens;
    f->n = count;
    f->head_first = 0;
    f->head_out = logits;
    for (uint32_t i = 0; i < count; i++)
        f->places[i] = el_cache_place(&sessions[i]->forward, sessions[i]->position);
    el_forward_run(f);
}

/* Each session has its token and its logits. */
static void hand_out(edgellm_session *const *sessions, const uint32_t *tokens, uint32_t count,
                     const float *logits)
{
    const size_t vocab = sessions[0]->engine->file.config.vocab;
    for (uint32_t i = 0; i < count; i++) {
        edgellm_session *s = sessions[i];
        if (logits != s->forward.logits)
            memcpy(s->forward.logits, logits + i * vocab, vocab * sizeof *logits);
        s->tokens[s->position++] = tokens[i];
        s->logits_at = s->position;
    }
}

static void forget(edgellm_session *const *sessions, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t position = sessions[i]->position;
        el_cache_forget(&sessions[i]->forward, position, position + 1);
    }
}

edgellm_status el_sessions_step(edgellm_session *worker, edgellm_session *const *sessions,
                                const uint32_t *tokens, uint32_t count, float *logits,
                                edgellm_error *err)
{
    el_fpenv env = el_fpenv_enter();
    for (uint32_t i = 0; i < count; i++)
        sessions[i]->logits_at = 0;
    run(worker, sessions, tokens, count, logits);
    edgellm_status status = el_session_check_logits(sessions[0], logits, count, err);
    if (status == EDGELLM_OK)
        hand_out(sessions, tokens, count, logits);
    else
        forget(sessions, count);
    el_fpenv_leave(env);
    return status;
}

edgellm_status edgellm_sessions_eval(edgellm_session *const *sessions, const uint32_t *tokens,
                                     uint32_t count, float *logits, edgellm_error *err)
{
    EL_TRY(check_all(sessions, tokens, count, err));
    return el_sessions_step(leader_of(sessions, count), sessions, tokens, count, logits, err);
}
