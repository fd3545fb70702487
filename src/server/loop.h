/*
 * loop.h: the event loop, which is libwebsockets': it watches the listening socket, the signals and
 * the connections, and is woken by the thread that computes.
 */
#ifndef EL_SERVER_LOOP_H
#define EL_SERVER_LOOP_H

#include "edgellm.h"

typedef struct el_server el_server;

enum {
    EL_LOOP_HEAD = 1024, /* bytes for the head of a reply, in front of server->out's others */
    /* What libwebsockets takes for a connection at most, HTTP or WebSocket: its own state, the head
     * of a request, what came and is not read yet, and what was written while the reader takes
     * nothing. Measured, not in any of its documents; tests/test_serve_load.py holds it to this. */
    EL_LOOP_CONNECTION = 28672
};

/* Needs the listener, signals and conns of the server. Errors: MEMORY, IO. */
edgellm_status el_loop_open(el_server *server, edgellm_error *err);

/* Waits for something and deals with it. */
void el_loop_step(el_server *server);

/* From any thread: something has changed. */
void el_loop_wake(void *server);

/* By the thread that computes, for a server: tokens have come, of answers that go on. Where both
 * share a core, and the network has nothing in hand, what comes next of each stream is sent at
 * once: to wake a thread that sends it, and to go to sleep again, costs more than the sending. */
void el_loop_show(void *context);

/* Around all that the network's thread does with connections and answers; may be nested. */
void el_loop_enter(el_server *server);
void el_loop_leave(el_server *server);

/* Wakes once more at that time, in nanoseconds of the monotonic clock. */
void el_loop_wake_at(el_server *server, uint64_t ns);

/* No request is in hand and everything is sent. */
bool el_loop_is_quiet(const el_server *server);

void el_loop_close(el_server *server);

#endif
