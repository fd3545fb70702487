/*
 * pull_url.h: addresses, by libcurl's parser: relative ones, whose they are, and what of them may
 * be shown. All texts are owned: free().
 */
#ifndef EL_CLI_PULL_URL_H
#define EL_CLI_PULL_URL_H

#include "cli/cli.h"

bool el_pull_is_url(const char *word); /* http:// or https:// */

/* `address`, which may be relative, as seen from `base`. Errors: IO (none of http or https; from
 * https to http), MEMORY. */
edgellm_status el_pull_url_join(const char *base, const char *address, char **url,
                                edgellm_error *err);

/* Scheme, host and port are the same. */
bool el_pull_url_same_origin(const char *a, const char *b);

/* https, or this machine: what is sent there is read by nobody between. */
bool el_pull_url_is_private(const char *url);

/* Without user, password, query and fragment; NULL: no memory, or no URL. */
char *el_pull_url_shown(const char *url);

/* The last part of the path, decoded; "" if there is none or it is no name for a file; NULL: no
 * memory, or no URL. */
char *el_pull_url_name(const char *url);

/* May be the name of a file: no slash, no control, neither "." nor "..". */
bool el_pull_is_file_name(const char *name);

/* A path for a URL: all but letters, digits, '-', '_', '.', '~' and slashes as %XX; slashes too
 * unless `keep_slashes`. NULL: no memory. */
char *el_pull_url_escape(const char *path, bool keep_slashes);

#endif
