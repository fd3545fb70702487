/* session_adapters.c: by which scales a session has the engine's adapters. What the KV cache holds
 * depends on them: with others it is forgotten, and a file of it says which they were. */
#include <float.h>
#include <string.h>

#include "engine/session.h"

edgellm_status el_session_check_adapters(const edgellm_session *s, const float *scales,
                                         edgellm_error *err)
{
    for (uint32_t i = 0; scales && i < s->engine->model.n_loras; i++)
        if (!(scales[i] >= -FLT_MAX && scales[i] <= FLT_MAX))
            return el_fail(err, EDGELLM_ERR_USAGE, "the scale of adapter %u is not finite", i);
    return EDGELLM_OK;
}

static float scale_of(const edgellm_session *s, const float *scales, uint32_t i)
{
    return scales ? scales[i] : s->engine->loras[i].scale;
}

bool el_session_has_adapters(const edgellm_session *s, const float *scales)
{
    for (uint32_t i = 0; i < s->engine->model.n_loras; i++)
        if (s->forward.scales[i] != scale_of(s, scales, i)) return false;
    return true;
}

edgellm_status edgellm_session_set_adapters(edgellm_session *session, const float *scales,
                                            edgellm_error *err)
{
    EL_TRY(el_session_check_adapters(session, scales, err));
    if (el_session_has_adapters(session, scales)) return EDGELLM_OK;
    for (uint32_t i = 0; i < session->engine->model.n_loras; i++)
        session->forward.scales[i] = scale_of(session, scales, i);
    session->position = session->logits_at = 0;
    return EDGELLM_OK;
}

/* FNV-1a of the checksums and scales of those that count. */
uint64_t el_session_adapters(const edgellm_session *s)
{
    uint64_t hash = EDGELLM_HASH_START;
    bool any = false;
    for (uint32_t i = 0; i < s->engine->model.n_loras; i++) {
        uint32_t bits;
        memcpy(&bits, &s->forward.scales[i], sizeof bits);
        if (s->forward.scales[i] == 0) continue;
        hash = (hash ^ s->engine->loras[i].crc) * 1099511628211u;
        hash = (hash ^ bits) * 1099511628211u;
        any = true;
    }
    return any ? hash : 0;
}
