/* session.h: what a session is made of; shared by the files of src/engine. */
#ifndef EL_ENGINE_SESSION_H
#define EL_ENGINE_SESSION_H

#include "base/clock.h"
#include "base/realtime.h"
#include "engine/engine.h"
#include "model/forward.h"
#include "sample/sampler.h"

struct edgellm_session {
    const edgellm_engine *engine;
    el_forward forward;
    el_sampler sampler;
    el_arena arena;     /* this struct and everything it points to but the engine */
    uint32_t *tokens;   /* (context) what is in the KV cache */
    uint32_t position;  /* number of those */
    uint32_t logits_at; /* position after which the logits were computed; 0: not at all */
    edgellm_memory_plan plan;
    el_realtime *realtime; /* NULL: not asked for */
    edgellm_costs costs;
    bool has_costs;
    el_nanoseconds deadline; /* 0: none */
};

/* One batch of n tokens: all logits to `all`, or those of the last to forward.logits if `last`.
 * False: forward.deadline passed meanwhile; all is as before. */
bool el_session_run_batch(edgellm_session *session, const uint32_t *tokens, uint32_t n, float *all,
                          bool last);

/* limit: bytes that control groups allow; 0: any. Errors: MEMORY. */
edgellm_status el_session_check_limit(const edgellm_memory_plan *plan, bool realtime,
                                      uint64_t limit, edgellm_error *err);

/* Can these tokens be computed next? Errors: as edgellm_session_eval(). */
edgellm_status el_session_check_tokens(const edgellm_session *session, const uint32_t *tokens,
                                       size_t count, edgellm_error *err);

/* Weights that overflow in float32 give infinities and NaN: no answer can come of them.
 * logits: (rows, vocab). */
edgellm_status el_session_check_logits(const edgellm_session *session, const float *logits,
                                       size_t rows, edgellm_error *err);

#endif
