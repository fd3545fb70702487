/*
 * scheduler.h: what a scheduler is made of; shared by the files of src/engine.
 *
 *   schedule.c            what comes next: pure
 *   scheduler.c           memory, opening and closing
 *   scheduler_requests.c  requests come, turns are done, requests end
 *   scheduler_costs.c     measuring
 *
 * Slot 0's session has the threads and the memory of a whole batch; it computes for all. The others
 * are sessions of one thread whose batch is one token: little more than a KV cache and a sampler.
 */
#ifndef EL_ENGINE_SCHEDULER_H
#define EL_ENGINE_SCHEDULER_H

#include "engine/schedule.h"
#include "engine/session.h"

typedef struct el_slot {
    edgellm_session *session; /* its tokens go on behind the position with those of the prompt */
    uint64_t id;              /* 0: free */
    uint32_t token;           /* the last one chosen: what the next step computes */
    uint32_t held;            /* tokens that its last request found there */
    bool stop_at_end, has_grammar, is_cancelled, has_shifted, logprobs;
    bool wants_embedding, wants_hash;
    uint64_t hash;    /* of the logits so far */
    float *embedding; /* (dim) */
    uint32_t top_logprobs;
    edgellm_logprob top[EDGELLM_TOP_LOGPROBS]; /* (top_logprobs) at that token */
} el_slot;

struct edgellm_scheduler {
    const edgellm_engine *engine;
    el_arena arena; /* this struct, the logits, the sessions */
    edgellm_memory_plan plan;
    el_schedule schedule;
    bool has_costs;
    double chunk_ns; /* as given */
    uint32_t n_slots;
    el_slot slots[EDGELLM_SCHEDULER_SLOTS];
    float *logits; /* (slots, vocab) of a pass */
    uint64_t last_id;
};

#endif
