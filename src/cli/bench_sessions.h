/*
 * bench_sessions.h: `edgellm bench --sessions N`: as many answers at a time by one scheduler,
 * beside one alone by the same one. Runs of both take turns, so that what drifts meets both. All
 * requests are equally long; none has a deadline.
 */
#ifndef EL_CLI_BENCH_SESSIONS_H
#define EL_CLI_BENCH_SESSIONS_H

#include "cli/bench.h"

/* Measures as the plan says (a path, runs, warmup, steps, prompt_tokens, model) and prints. Errors:
 * INTERRUPTED too. */
edgellm_status el_cli_bench_sessions(const el_cli_bench_plan *plan, uint32_t sessions, bool json,
                                     edgellm_error *err);

#endif
