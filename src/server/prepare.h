/*
 * prepare.h: from what a request asks (ask.h) to a task that can be computed: its tokens, its
 * grammar, its sampler, how long. Who serves requests and who works through a file of them both
 * begin here, so that equal requests are equal tasks.
 */
#ifndef EL_SERVER_PREPARE_H
#define EL_SERVER_PREPARE_H

#include "server/ask.h"
#include "server/tasks.h"

/* What a session has, and what there is room for of an answer that shifts, in tokens. */
typedef struct el_prepare_room {
    uint32_t context, answer;
} el_prepare_room;

/* Fills in a task that is free. False: *problem says what is wrong, and the task is still free. */
bool el_prepare_task(el_task *task, const el_ask *ask, const edgellm_engine *engine,
                     const el_prepare_room *space, el_problem *problem);

/* The tokens of another input of the same request (ask.h), from 0 on. */
bool el_prepare_input(el_task *task, const el_ask *ask, uint32_t input,
                      const edgellm_engine *engine, uint32_t context, el_problem *problem);

/* For another task of the same request: a grammar of its own, if it needs one. */
bool el_prepare_grammar(el_task *task, const el_ask *ask, const edgellm_engine *engine,
                        el_problem *problem);

/* What its answer has of calls: el_answer.call_form, and only_first_calls. */
void el_prepare_calls(const el_ask *ask, const edgellm_engine *engine, const el_call_form **form,
                      bool *only_first);

#endif
