/*
 * cli_sampler.h: the sampler's options on the command line: rows for a command's table, and the
 * step from what was typed to a session's sampler.
 */
#ifndef EL_CLI_CLI_SAMPLER_H
#define EL_CLI_CLI_SAMPLER_H

#include "cli/cli_options.h"

/* Embedded in a command's values under the name `sampler`. */
typedef struct el_cli_sampler_values {
    edgellm_sampler_options options;
} el_cli_sampler_values;

extern const el_cli_choice el_cli_seed_words[];

#define EL_CLI_SAMPLER_ROWS(type)                                                                  \
    {.name = "temperature",                                                                        \
     .letter = 't',                                                                                \
     .kind = EL_CLI_FLOAT,                                                                         \
     .field = offsetof(type, sampler.options.temperature),                                         \
     .argument = "T",                                                                              \
     .initial = "0.8",                                                                             \
     .help = "0: always the most likely token",                                                    \
     .max = 100},                                                                                  \
        {.name = "top-k",                                                                          \
         .kind = EL_CLI_U32,                                                                       \
         .field = offsetof(type, sampler.options.top_k),                                           \
         .argument = "N",                                                                          \
         .initial = "40",                                                                          \
         .help = "only the N most likely tokens; 0: all",                                          \
         .max = 16777216},                                                                         \
        {.name = "top-p",                                                                          \
         .kind = EL_CLI_FLOAT,                                                                     \
         .field = offsetof(type, sampler.options.top_p),                                           \
         .argument = "P",                                                                          \
         .initial = "0.95",                                                                        \
         .help = "only the likeliest that make up P; 1: all",                                      \
         .min = 1e-6,                                                                              \
         .max = 1},                                                                                \
        {.name = "min-p",                                                                          \
         .kind = EL_CLI_FLOAT,                                                                     \
         .field = offsetof(type, sampler.options.min_p),                                           \
         .argument = "P",                                                                          \
         .initial = "0.05",                                                                        \
         .help = "only tokens at least P times as likely as the best; 0: all",                     \
         .max = 1},                                                                                \
        {.name = "repeat-penalty",                                                                 \
         .kind = EL_CLI_FLOAT,                                                                     \
         .field = offsetof(type, sampler.options.repeat_penalty),                                  \
         .argument = "R",                                                                          \
         .initial = "1.1",                                                                         \
         .help = "1: off",                                                                         \
         .min = 1e-3,                                                                              \
         .max = 100},                                                                              \
        {.name = "repeat-last",                                                                    \
         .kind = EL_CLI_U32,                                                                       \
         .field = offsetof(type, sampler.options.repeat_last),                                     \
         .argument = "N",                                                                          \
         .initial = "64",                                                                          \
         .help = "tokens that the penalty looks back on",                                          \
         .max = 256},                                                                              \
    {                                                                                              \
        .name = "seed", .letter = 's', .kind = EL_CLI_U64,                                         \
        .field = offsetof(type, sampler.options.seed), .argument = "N", .initial = "random",       \
        .help = "same seed, same text, on every machine", .max = 9007199254740991.0,               \
        .choices = el_cli_seed_words                                                               \
    }

/* Draws a seed if none was typed, and sets the session's sampler; *seed is the one in use.
 * Errors: USAGE, IO (no random numbers to be had). */
edgellm_status el_cli_sampler_set(const el_cli_sampler_values *values, edgellm_session *session,
                                  uint64_t *seed, edgellm_error *err);

#endif
