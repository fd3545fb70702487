/*
 * certify_passes.h: how long a step of several sessions in one pass over the weights takes, as a
 * scheduler computes it (docs/LATENCY.md, "Several sessions"); between the rounds of a soak, so
 * that both meet the same load. The first session is the model's, whose threads compute; the others
 * are opened before it, because with real time it pins the thread that opens it.
 */
#ifndef EL_CLI_CERTIFY_PASSES_H
#define EL_CLI_CERTIFY_PASSES_H

#include "cli/certify_fit.h"
#include "cli/cli_model.h"

typedef struct el_cli_passes {
    uint32_t wanted; /* sessions; 0: no passes are measured */
    edgellm_session *sessions[EDGELLM_SCHEDULER_SLOTS];
    uint32_t tokens[EDGELLM_SCHEDULER_SLOTS]; /* what each computes next */
    float *logits;                            /* (wanted, vocab) */
    el_cli_series series[EDGELLM_COSTS_PASSES];
    uint32_t n_series;
    bool is_warm; /* the first passes find cold caches: they are not kept */
} el_cli_passes;

/* The sessions beside the model's; options: as for that one. wanted: 2 or more. Release it in any
 * case, after the model's session. Errors: as edgellm_session_open(). */
edgellm_status el_cli_passes_open(el_cli_passes *passes, const el_cli_model *model,
                                  const edgellm_session_options *options, uint32_t wanted,
                                  edgellm_error *err);

/* With the model's session. Errors: USAGE (its batch is 1), MEMORY. */
edgellm_status el_cli_passes_begin(el_cli_passes *passes, const el_cli_model *model,
                                   edgellm_error *err);

/* Some passes of each number of sessions, at the first positions. The model's session then holds
 * what was computed last. *longest_ms: is raised by a longer one. Errors: FORMAT. */
edgellm_status el_cli_passes_round(el_cli_passes *passes, double *longest_ms, edgellm_error *err);

void el_cli_passes_release(el_cli_passes *passes);

#endif
