/*
 * certify_soak.h: computes for a while and keeps every time. A round is
 *   some equal requests          prompt and answer from position 0: their jitter
 *   passes, if wanted            of several sessions (certify_passes.h)
 *   the whole context, filled    batch by batch
 *   the way back                 from the last position to the first, in strides: one step there,
 *                                with all that is before it in the cache, now and then a chunk
 * The next round's strides begin one position further, so that all positions come up. Cutting a
 * session back costs nothing, going ahead does: hence the direction.
 */
#ifndef EL_CLI_CERTIFY_SOAK_H
#define EL_CLI_CERTIFY_SOAK_H

#include "cli/certify_passes.h"

enum {
    EL_CLI_SOAK_SIZES = EDGELLM_COSTS_CHUNKS + 1, /* series: steps, chunks */
    EL_CLI_SOAK_REQUESTS = 4096                   /* that are kept */
};

/* What the machine did meanwhile. Unknown numbers are EL_CLI_UNKNOWN (doctor_tree.h). */
typedef struct el_cli_conditions {
    int64_t heat_first, heat_last, heat_most; /* thousandths of a degree Celsius */
    int64_t clock_least, clock_most;          /* kHz, of the first core */
    int64_t faults_minor, faults_major, switches_own, switches_forced;
} el_cli_conditions;

typedef struct el_cli_soak {
    el_cli_series series[EL_CLI_SOAK_SIZES];
    uint32_t n_series;
    double *scratch;               /* (largest room of a series) */
    double *request_ms, *first_ms; /* (n_requests), in the order in which they were made */
    size_t n_requests;
    uint32_t request_prompt, request_tokens; /* of each; 0: the context is too small */
    uint32_t rounds;
    double seconds;
    double longest_ms; /* of anything that was computed, kept as a sample or not */
    el_cli_conditions conditions;
} el_cli_soak;

/* Computes for `seconds`, and one whole round at least. passes: begun, or with none wanted.
 * `progress`: a line on standard error that is drawn again and again. Release it in any case.
 * Errors: MEMORY, INTERRUPTED, FORMAT. */
edgellm_status el_cli_soak_run(el_cli_soak *soak, const el_cli_model *model, el_cli_passes *passes,
                               double seconds, bool progress, edgellm_error *err);
void el_cli_soak_release(el_cli_soak *soak);

#endif
