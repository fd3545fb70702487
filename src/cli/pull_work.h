/*
 * pull_work.h: the folder in which a source is fetched, partial/KEY of the store, which one process
 * at a time has; and what comes out of it, the entry under models/.
 */
#ifndef EL_CLI_PULL_WORK_H
#define EL_CLI_PULL_WORK_H

#include <jansson.h>

#include "cli/cli.h"

typedef struct el_pull_work {
    char *root;   /* of the store */
    char *folder; /* partial/KEY */
    char *files;  /* a folder in it: what is fetched, and made of that */
    int lock;     /* the folder, open and locked; -1: not open */
} el_pull_work;

/* root is taken over in any case. Errors: IO (also: another process fetches it), MEMORY. */
edgellm_status el_pull_work_open(el_pull_work *work, char *root, const char *source,
                                 edgellm_error *err);
/* Releases it, and removes it if it is done, so that nothing in it is wanted any more, or empty. */
void el_pull_work_close(el_pull_work *work, bool done);

/* The path of a file among its files; owned: free(). Errors: MEMORY. */
edgellm_status el_pull_work_path(const el_pull_work *work, const char *name, char **path,
                                 edgellm_error *err);

/* The entry, made in the folder: begun, files added, and put into the store in one step, where it
 * takes the place of one of that name. What is added stays where it was, too. */
edgellm_status el_pull_work_begin(const el_pull_work *work, edgellm_error *err);
/* sha256: NULL: it is computed. Adds the file to the list "files" of `entry`. */
edgellm_status el_pull_work_add(const el_pull_work *work, json_t *entry, const char *path,
                                const char *sha256, edgellm_error *err);
edgellm_status el_pull_work_keep(const el_pull_work *work, json_t *entry, const char *name,
                                 edgellm_error *err);

#endif
