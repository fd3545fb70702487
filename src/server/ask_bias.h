/*
 * ask_bias.h: what a request adds to the logits of tokens. A part of ask.c.
 */
#ifndef EL_SERVER_ASK_BIAS_H
#define EL_SERVER_ASK_BIAS_H

#include "server/ask.h"

/* `value` is that of `logit_bias`, not null. False: *problem says what is wrong. */
bool el_ask_read_bias(el_ask *ask, json_t *value, el_problem *problem);

#endif
