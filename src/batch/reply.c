#include "batch/reply.h"

#include <inttypes.h>

static el_out *begin(el_ledger *ledger, uint64_t number, const char *custom_id)
{
    el_out *out = &ledger->out;
    el_ledger_begin(ledger, number);
    el_out_text(out, ",\"custom_id\":");
    if (custom_id)
        el_out_string(out, custom_id);
    else
        el_out_text(out, "null");
    return out;
}

static el_out *begin_response(el_ledger *ledger, uint64_t number, const char *custom_id,
                              unsigned status)
{
    char id[48];
    el_out *out = begin(ledger, number, custom_id);
    el_ledger_id(ledger, number, id);
    el_out_print(out, ",\"response\":{\"status_code\":%u,\"request_id\":\"%s\",\"body\":", status,
                 id);
    return out;
}

static edgellm_status end_response(el_ledger *ledger, uint64_t number, edgellm_error *err)
{
    el_out_text(&ledger->out, "},\"error\":null}");
    return el_ledger_end(ledger, number, err);
}

edgellm_status el_reply_answer(el_ledger *ledger, uint64_t number, const char *custom_id,
                               el_answer *answer, edgellm_error *err)
{
    el_out *out = begin_response(ledger, number, custom_id, 200);
    while (!el_answer_write(answer, out))
        el_ledger_drain(ledger);
    el_ledger_drain(ledger);
    return end_response(ledger, number, err);
}

edgellm_status el_reply_problem(el_ledger *ledger, uint64_t number, const char *custom_id,
                                const el_problem *problem, edgellm_error *err)
{
    el_problem_write(problem,
                     begin_response(ledger, number, custom_id, el_problem_status(problem)));
    return end_response(ledger, number, err);
}

edgellm_status el_reply_fault(el_ledger *ledger, uint64_t number, const char *custom_id,
                              const el_envelope_fault *fault, edgellm_error *err)
{
    el_out *out = begin(ledger, number, custom_id);
    el_out_print(out, ",\"response\":null,\"error\":{\"code\":\"%s\",\"message\":", fault->code);
    el_out_string(out, fault->message);
    el_out_print(out, ",\"param\":null,\"line\":%" PRIu64 "}}", number);
    return el_ledger_end(ledger, number, err);
}
