/* ask_lists.h: what a request says of tokens and of adapters by their numbers. A part of ask.c. */
#ifndef EL_SERVER_ASK_LISTS_H
#define EL_SERVER_ASK_LISTS_H

#include "server/ask.h"

/* Each reads a field that is not null. False: *problem says what is wrong. */
bool el_ask_read_logit_bias(el_ask *ask, json_t *value, el_problem *problem);
bool el_ask_read_lora(el_ask *ask, json_t *value, el_problem *problem);

#endif
