/*
 * cli_deadline.h: an answer that has to be there in time: what it will take is said first, what
 * cannot be in time is refused, or shortened, and what happened is compared with both.
 */
#ifndef EL_CLI_CLI_DEADLINE_H
#define EL_CLI_CLI_DEADLINE_H

#include "cli/cli_answer.h"

/* Options, embedded in a command's values under the name `deadline`. */
typedef struct el_cli_deadline_values {
    uint32_t ms; /* 0: none */
    bool shorten;
} el_cli_deadline_values;

#define EL_CLI_DEADLINE_ROWS(type)                                                                 \
    {.name = "deadline-ms",                                                                        \
     .kind = EL_CLI_U32,                                                                           \
     .field = offsetof(type, deadline.ms),                                                         \
     .argument = "N",                                                                              \
     .help = "end within N ms from the prompt on; exit code 9 if that cannot be",                  \
     .min = 1,                                                                                     \
     .max = 86400000},                                                                             \
    {                                                                                              \
        .name = "deadline-shorten", .kind = EL_CLI_ON, .field = offsetof(type, deadline.shorten),  \
        .help = "with --deadline-ms: fewer tokens instead of a refusal"                            \
    }

typedef struct el_cli_deadline {
    el_cli_deadline_values wanted;
    bool calibrated; /* by a look at the start; else by a certificate */
    edgellm_forecast forecast;
    uint32_t asked; /* tokens */
} el_cli_deadline;

/* Errors: USAGE (--deadline-shorten alone). */
edgellm_status el_cli_deadline_check(const el_cli_deadline_values *v, edgellm_error *err);

/*
 * Forecasts the answer, after a calibration of some tens of milliseconds if the session has no
 * costs from a certificate. Nothing to do without a deadline. Errors: DEADLINE (it cannot be kept:
 * the message has the numbers), CONTEXT.
 */
edgellm_status el_cli_deadline_admit(el_cli_deadline *d, const el_cli_deadline_values *v,
                                     const el_cli_model *model, bool certified,
                                     size_t prompt_tokens, size_t answer_tokens,
                                     edgellm_error *err);

/* null without a deadline; else "ms", "by", "forecast_first_ms", "forecast_ms", "forecast_tokens",
 * "answer_ms", "late_ms". */
json_t *el_cli_deadline_json(const el_cli_deadline *d, const el_cli_answer *a);

/* " | deadline 500 ms: 431.2 forecast by the certificate, 428.9 taken" to standard error. */
void el_cli_deadline_print(const el_cli_deadline *d, const el_cli_answer *a);

#endif
