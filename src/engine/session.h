/* session.h: what a session is made of; shared by the files of src/engine. */
#ifndef EL_ENGINE_SESSION_H
#define EL_ENGINE_SESSION_H

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
};

#endif
