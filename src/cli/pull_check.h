/* pull_check.h: is what came a model, and a sound one, before it goes into the store? */
#ifndef EL_CLI_PULL_CHECK_H
#define EL_CLI_PULL_CHECK_H

#include "cli/cli.h"

typedef enum el_pull_kind {
    EL_PULL_OTHER,
    EL_PULL_GGUF,
    EL_PULL_TM2,
    EL_PULL_ZIP,         /* a wheel */
    EL_PULL_SAFETENSORS, /* one file */
    EL_PULL_FOLDER       /* a folder with config.json */
} el_pull_kind;

/* By the first bytes. Errors: IO. */
edgellm_status el_pull_kind_of(const char *path, el_pull_kind *kind, edgellm_error *err);

/*
 * GGUF, TM2: header, directory and bounds, by the reader that will read it; TM2: checksums too.
 * FOLDER: each safetensors file is as long as its header says, and JSON is JSON.
 * Errors: FORMAT, UNSUPPORTED, IO, MEMORY.
 */
edgellm_status el_pull_check(const char *path, el_pull_kind kind, edgellm_error *err);

#endif
