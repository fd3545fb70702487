/*
 * request.h: what endpoints with a body share: it is read, its tokens are laid out, a task is
 * handed over, and the reply is made. What is each one's own is a const el_endpoint.
 */
#ifndef EL_SERVER_REQUEST_H
#define EL_SERVER_REQUEST_H

#include "server/ask.h"
#include "server/conn.h"

typedef struct el_endpoint {
    el_ask_form form;
    const char *id;                  /* what the names of its answers begin with */
    const el_wire *whole, *streamed; /* NULL: it never computes */
    /* What only the server knows of what was read. NULL: nothing. May change how it is understood;
     * false: *problem says what is wrong. */
    bool (*check)(const el_server *server, el_ask *ask, el_problem *problem);
    /* What is answered at once, where there is nothing to compute. NULL: then that is an error. */
    void (*reply)(el_conn *conn);
} el_endpoint;

/* Its two halves, for what is no reply of HTTP: the task that server->ask asks for, which is free
 * until it is handed over (NULL: *problem says why there is none), as are those of further choices;
 * and that. */
el_task *el_request_task(el_server *server, el_problem *problem);
void el_request_start(el_server *server, const el_endpoint *endpoint, el_task *task,
                      el_answer *answer);

void el_request_serve(el_conn *conn, const el_endpoint *endpoint);

#endif
