/*
 * pull_web.h: HTTP by libcurl: a text into memory, or a file piece by piece, gone on with where it
 * broke off. What passes by itself (no connection any more, silence, 408, 429, 5xx, an end before
 * the end) is tried again, after waits that double, or as long as the server asks. Redirects are
 * followed here, not by libcurl, so that it is plain who sees the token: the origin it is for, and
 * only where nobody can read it on the way.
 */
#ifndef EL_CLI_PULL_WEB_H
#define EL_CLI_PULL_WEB_H

#include "cli/pull.h"
#include "cli/pull_part.h"
#include "cli/pull_progress.h"

typedef struct el_pull_web el_pull_web;

/* token: NULL, or for the origin of the URL token_for; both are kept as pointers. */
edgellm_status el_pull_web_open(el_pull_web **web, const el_pull_options *options,
                                const char *token, const char *token_for, edgellm_error *err);
void el_pull_web_close(el_pull_web *web);

/*
 * Errors of both: IO (what the network or the server says; offline), FORMAT (a web page, or more
 * or less than was announced), MEMORY, INTERRUPTED.
 */

/* At most `limit` bytes, NUL-terminated: free(*text). *type: the content type, owned; may be NULL.
 */
edgellm_status el_pull_web_text(el_pull_web *web, const char *url, const char *accept, size_t limit,
                                char **text, char **type, edgellm_error *err);

/* Adds to `part` what is missing. bytes: of the whole file, or EL_PULL_UNKNOWN. checked: its
 * SHA-256 is known, so that it may be gone on with even where the server names no version. */
edgellm_status el_pull_web_file(el_pull_web *web, const char *url, uint64_t bytes, bool checked,
                                el_pull_part *part, el_pull_progress *progress, edgellm_error *err);

#endif
