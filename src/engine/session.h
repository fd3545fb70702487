/* session.h: what a session is made of; shared by the files of src/engine. */
#ifndef EL_ENGINE_SESSION_H
#define EL_ENGINE_SESSION_H

#include "base/clock.h"
#include "base/realtime.h"
#include "engine/engine.h"
#include "engine/forecast.h"
#include "grammar/matcher.h"
#include "model/forward.h"
#include "sample/sampler.h"

struct edgellm_session {
    const edgellm_engine *engine;
    el_forward forward;
    el_sampler sampler;
    el_matcher *matcher;  /* NULL: without room for grammars */
    uint32_t tokens_left; /* of an answer that keeps to a grammar */
    bool has_taken;       /* such an answer has begun */
    el_arena arena;       /* this struct and everything it points to but the engine */
    uint32_t *tokens;     /* (context) what is in the KV cache */
    uint32_t position;    /* number of those */
    uint32_t logits_at;   /* position after which the logits were computed; 0: not at all */
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

/* Chooses the next token, if the answer has `left` tokens left with it; with a grammar it takes it
 * too. Errors: UNSUPPORTED, USAGE (only with a grammar). */
edgellm_status el_session_choose(edgellm_session *session, uint32_t left, uint32_t *token,
                                 edgellm_error *err);

/* Of `left` tokens, of which the next is computed, those that are made by a deadline (0: all); one
 * at least. */
uint32_t el_session_fitting(const edgellm_costs *costs, uint32_t position, el_choice choice,
                            el_nanoseconds deadline, uint32_t left);

/* What the choice of its next tokens has. */
el_choice el_session_choice(const edgellm_session *session);

/* Who computes beside a calibration: asked before each piece, with what it may take (0: nobody
 * knows); false ends it. */
typedef struct el_beside {
    bool (*before)(void *context, double ns);
    void *context;
} el_beside;

/* What masks take, in a grammar of short strings, which are dear ones; 0: without room for a
 * grammar, or a vocabulary that none can be made for. In the middle of an answer that keeps to one,
 * what was known is kept. False: the other wants no more of it, or *status is an error. */
bool el_session_measure_masks(edgellm_session *session, double budget, const el_beside *beside,
                              double *mask, edgellm_status *status, edgellm_error *err);

/* weights: kept too. limit: bytes that control groups allow; 0: any. fits: a context for which that
 * is enough; 0: none is. Errors: MEMORY. */
edgellm_status el_session_check_limit(const edgellm_memory_plan *plan, bool weights, uint64_t limit,
                                      uint32_t fits, edgellm_error *err);

/* The same by the memory and threads of `worker`, a session of the same engine and mode, whose
 * context is no smaller and whose batch holds n. */
bool el_session_run_by(edgellm_session *worker, edgellm_session *session, const uint32_t *tokens,
                       uint32_t n, float *all, bool last);

/* edgellm_sessions_eval() by `worker` as above. Nothing is checked before. Errors: FORMAT. */
edgellm_status el_sessions_step(edgellm_session *worker, edgellm_session *const *sessions,
                                const uint32_t *tokens, uint32_t count, float *logits,
                                edgellm_error *err);

/* *options: those given (NULL: none) with defaults filled in. Errors: USAGE. */
edgellm_status el_session_resolve(const edgellm_engine *engine,
                                  const edgellm_session_options *given,
                                  edgellm_session_options *options, edgellm_error *err);

/* For options with defaults filled in: the plan, whatever max_ram is; and a session. room: most
 * tokens of it in a batch that it or another computes. Errors: MEMORY, USAGE. */
edgellm_memory_plan el_session_plan_of(const edgellm_engine *engine,
                                       const edgellm_session_options *options, uint32_t room);
edgellm_status el_session_build(const edgellm_engine *engine,
                                const edgellm_session_options *options, uint32_t room,
                                edgellm_session **session, edgellm_error *err);

/* Scales as of edgellm_session_set_adapters(). Errors: USAGE. */
edgellm_status el_session_check_adapters(const edgellm_session *session, const float *scales,
                                         edgellm_error *err);

/* Are they those that the session has? */
bool el_session_has_adapters(const edgellm_session *session, const float *scales);

/* Tells the adapters that a session has, and their scales, from others; 0: none. */
uint64_t el_session_adapters(const edgellm_session *session);

/* Where layers with a window no longer hold what comes before the position, all tokens before it
 * are computed again. The logits are as they were. */
void el_session_reach(edgellm_session *session);

/* An arena of `bytes`: in the caller's memory where the options name some, else from the system.
 * Errors: MEMORY, USAGE. */
edgellm_status el_session_memory(el_arena *arena, const edgellm_session_options *options,
                                 size_t bytes, edgellm_error *err);

/* Can these tokens be computed next? Errors: as edgellm_session_eval(). */
edgellm_status el_session_check_tokens(const edgellm_session *session, const uint32_t *tokens,
                                       size_t count, edgellm_error *err);

/* Weights that overflow in float32 give infinities and NaN: no answer can come of them.
 * logits: (rows, vocab). */
edgellm_status el_session_check_logits(const edgellm_session *session, const float *logits,
                                       size_t rows, edgellm_error *err);

/* beside NULL: nobody, and it may go on. */
bool el_beside_may(const el_beside *beside, double ns);

/* As edgellm_session_calibrate(). Errors: also INTERRUPTED. */
edgellm_status el_session_calibrate(edgellm_session *session, uint64_t budget_ns,
                                    const el_beside *beside, edgellm_costs *costs,
                                    edgellm_error *err);

#endif
