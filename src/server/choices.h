/*
 * choices.h: a request with several answers (`n`). Each choice is a task of its own, with the same
 * prompt; the i-th has the seed of the request plus i, so that it is the answer to a request of one
 * with that seed. Of a request for embeddings each input is a choice, whose prompt it is. Answers
 * but the first, which is the connection's, were made before the start, one for each task.
 */
#ifndef EL_SERVER_CHOICES_H
#define EL_SERVER_CHOICES_H

#include "server/request.h"

/* Makes them; they are server->choices. Errors: MEMORY. */
edgellm_status el_choices_open(el_server *server, edgellm_error *err);
void el_choices_close(el_server *server);
uint64_t el_choices_bytes(uint32_t n);

/* The tasks of server->ask beside its first, which is ready to be handed over: (n - 1). They are
 * free until they are handed over. False: *problem says why not; there are none then. */
bool el_choices_make(el_server *server, el_task *first, el_task **others, el_problem *problem);

/* Hands them over, and has their answers follow the first. */
void el_choices_start(el_server *server, const el_endpoint *endpoint, el_task *const *others,
                      el_answer *first);

#endif
