/*
 * cli_output.h: results to standard output, with every failure reported (a full disk, a reader
 * that went away), and bytes of any kind as valid JSON text.
 */
#ifndef EL_CLI_CLI_OUTPUT_H
#define EL_CLI_CLI_OUTPUT_H

#include <jansson.h>

#include "cli/cli.h"

/* Writes to standard output without buffering or allocation. Errors: IO. */
edgellm_status el_cli_write(const char *bytes, size_t len, edgellm_error *err);

/* Flushes what printf() has written. Errors: IO. */
edgellm_status el_cli_flush(edgellm_error *err);

/*
 * Called once, before any JSON is made or read. From then on a lack of memory is noticed wherever
 * it happened: callers build a value without looking at each step, and ask once at the end.
 */
void el_cli_json_install(void);

/* Did memory run out while JSON was made or read? Then no value is to be trusted. */
bool el_cli_json_starved(void);

/* The value as text, owned: free(text). Releases the value. NULL if memory ran out, also before. */
char *el_cli_json_dump(json_t *value, size_t flags);

/* Prints one JSON value and a line end, and releases it. Errors: IO; MEMORY (`value` is NULL, or
 * some part of it could not be made). */
edgellm_status el_cli_print_json(json_t *value, edgellm_error *err);

/* The same on one line. */
edgellm_status el_cli_print_json_line(json_t *value, edgellm_error *err);

/* Text as JSON; bytes that are not UTF-8 become U+FFFD. NULL when out of memory. */
json_t *el_cli_json_text(const char *bytes, size_t len);

#define EL_CLI_MB 1e6 /* sizes are printed in MB of a million bytes */

#endif
