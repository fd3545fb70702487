/*
 * ask_tools.h: what a request says of tools: those that may be called, whether one must be, and
 * messages with calls and with what they gave. A part of ask.c.
 */
#ifndef EL_SERVER_ASK_TOOLS_H
#define EL_SERVER_ASK_TOOLS_H

#include "server/ask.h"

/* Each reads a field that is not null. False: *problem says what is wrong. */
bool el_ask_read_tools(el_ask *ask, const json_t *value, el_problem *problem);
bool el_ask_read_tool_choice(el_ask *ask, const json_t *value, el_problem *problem);

/* What the next message, ask->messages[ask->n_messages], says of calls. */
bool el_ask_read_calls(el_ask *ask, const json_t *message, const char *role, el_problem *problem);

/* When all fields were read: do they fit together? */
bool el_ask_check_tools(el_ask *ask, el_problem *problem);

#endif
