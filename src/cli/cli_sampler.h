/*
 * cli_sampler.h: the sampler's options on the command line: rows for a command's table, and the
 * step from what was typed to a session's sampler.
 */
#ifndef EL_CLI_CLI_SAMPLER_H
#define EL_CLI_CLI_SAMPLER_H

#include "cli/cli_options.h"

/* Embedded in a command's values under the name `sampler`. */
typedef struct el_cli_sampler_values {
    edgellm_sampler_options options; /* but for its lists, which are parsed from these: */
    const char *dry_breakers, *logit_bias;
} el_cli_sampler_values;

extern const el_cli_option el_cli_sampler_options[];

/* One row of a command's table, in which all of the sampler's stand. */
#define EL_CLI_SAMPLER_ROWS(type)                                                                  \
    {                                                                                              \
        .name = "sampler", .kind = EL_CLI_TABLE, .field = offsetof(type, sampler),                 \
        .list = el_cli_sampler_options                                                             \
    }

/* Draws a seed if none was typed, parses the lists, and sets the session's sampler; *seed is the
 * one in use. Errors: USAGE, IO (no random numbers to be had). */
edgellm_status el_cli_sampler_set(const el_cli_sampler_values *values, edgellm_session *session,
                                  uint64_t *seed, edgellm_error *err);

#endif
