/*
 * prepare.h: from what a request asks (ask.h) to a task that can be computed: its tokens, its
 * grammar, its sampler, how long. Who serves requests and who works through a file of them both
 * begin here, so that equal requests are equal tasks.
 */
#ifndef EL_SERVER_PREPARE_H
#define EL_SERVER_PREPARE_H

#include "server/ask.h"
#include "server/tasks.h"

/* Fills in a task that is free, for a session of `context` tokens. False: *problem says what is
 * wrong, and the task is still free. */
bool el_prepare_task(el_task *task, const el_ask *ask, const edgellm_engine *engine,
                     uint32_t context, el_problem *problem);

#endif
