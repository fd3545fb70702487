/* cli_prefill.h: a prompt, computed in pieces, between which it can be interrupted and rests. */
#ifndef EL_CLI_CLI_PREFILL_H
#define EL_CLI_CLI_PREFILL_H

#include "cli/cli_climate.h"

/* Computes a prompt in pieces of some batches, so that Ctrl-C is heard, with the rests between them
 * that `climate` asks for (NULL: none). Errors: INTERRUPTED too. */
edgellm_status el_cli_prefill(edgellm_session *session, const uint32_t *ids, size_t count,
                              el_cli_climate *climate, edgellm_error *err);

#endif
