/* reply.h: the lines of a batch's output, as OpenAI has them: {"id", "custom_id", "response",
 * "error"}, one of the last two null. custom_id NULL: there is none. Errors of all: IO. */
#ifndef EL_BATCH_REPLY_H
#define EL_BATCH_REPLY_H

#include "batch/envelope.h"
#include "batch/ledger.h"

/* Of an answer that has ended. */
edgellm_status el_reply_answer(el_ledger *ledger, uint64_t number, const char *custom_id,
                               el_answer *answer, edgellm_error *err);

/* Of a request that is refused, as the server would refuse it. */
edgellm_status el_reply_problem(el_ledger *ledger, uint64_t number, const char *custom_id,
                                const el_problem *problem, edgellm_error *err);

/* Of a line that is no request. */
edgellm_status el_reply_fault(el_ledger *ledger, uint64_t number, const char *custom_id,
                              const el_envelope_fault *fault, edgellm_error *err);

#endif
