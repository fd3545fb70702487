#include "cli/cli_prefill.h"

#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

edgellm_status el_cli_prefill(edgellm_session *session, const uint32_t *ids, size_t count,
                              el_cli_climate *climate, edgellm_error *err)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(session, &plan);
    uint32_t position = edgellm_session_position(session);
    if (count > plan.context - position) {
        return el_cli_fail(err, EDGELLM_ERR_CONTEXT,
                           "the prompt has %zu tokens, but the context holds %u (see -c)", count,
                           plan.context - position);
    }
    const uint32_t often = 64; /* tokens between two looks at the keyboard */
    size_t piece = (size_t)plan.batch * (plan.batch < often ? often / plan.batch : 1);
    for (size_t done = 0; done < count; done += piece) {
        size_t n = count - done < piece ? count - done : piece;
        if (el_cli_interrupted() != 0) {
            return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
        }
        const double began = climate != NULL ? el_cli_now_ms() : 0;
        EL_CLI_TRY(edgellm_session_eval(session, ids + done, n, NULL, err));
        if (climate != NULL) el_cli_climate_rest(climate, began);
    }
    return EDGELLM_OK;
}
