/* cli_realtime.h: what a session with --rt got and what it did not, in text and as JSON. */
#ifndef EL_CLI_CLI_REALTIME_H
#define EL_CLI_CLI_REALTIME_H

#include <jansson.h>
#include <stdio.h>

#include "edgellm.h"

/* One line of what was got, one for each thing that was not, each begun by "rt"; nothing without
 * --rt. */
void el_cli_realtime_print(const edgellm_session *session, FILE *out);

/* The same as "realtime" of an object; nothing without --rt. */
void el_cli_realtime_add(json_t *object, const edgellm_session *session);

#endif
