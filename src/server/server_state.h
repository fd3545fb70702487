/*
 * server_state.h: all that the network's thread has; shared by the files of src/server that know
 * libwebsockets, and the routes.
 */
#ifndef EL_SERVER_SERVER_STATE_H
#define EL_SERVER_SERVER_STATE_H

#include "server/ask.h"
#include "server/compute.h"
#include "server/conn.h"
#include "server/hosts.h"
#include "server/keys.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/server.h"
#include "server/swap.h"

typedef struct el_stream el_stream;
typedef struct el_tls el_tls;
typedef struct el_watchdog el_watchdog;
struct lws_context;
struct lws_vhost;

enum {
    EL_SERVER_OUT = EL_ANSWER_ROOM + 4096, /* bytes sent at once, and kept of who takes none */
    EL_METRICS_TEXT = 65536,               /* of /metrics, at most */
    EL_SERVER_BODIES = 16 /* long bodies and replies that there is room for at a time */
};

/* What the thread that computes began to send, and the system did not take all of. */
typedef struct el_owed {
    el_conn *to;          /* NULL: nothing */
    char *room;           /* as server->out, but that thread's */
    unsigned char *bytes; /* in it */
    size_t len;
} el_owed;

struct el_server {
    const el_server_options *options;
    /* Held by the network's thread but where libwebsockets waits: what there is of connections and
     * answers belongs to whoever has it. The other thread only tries to get it (el_loop_show()). */
    pthread_mutex_t lock;
    uint32_t depth; /* the network's: how often it holds it */
    el_owed owed;
    el_listener listener;
    el_keys keys;
    el_hosts hosts;
    bool checks_host; /* who asks by another name is refused */
    el_tls *tls;      /* NULL: without */
    int signals;      /* a descriptor */
    struct lws_context *context;
    struct lws_vhost *vhost;
    el_compute compute;
    bool is_computing;      /* compute was started */
    bool shares_core;       /* the network has none of its own */
    el_generation *now;     /* the model that new requests go to; NULL: there is none now */
    el_generation *earlier; /* its last requests end, while others go to `now`; NULL: none */
    el_swap swap;
    char model[128];      /* its name, as told: that of the file */
    int64_t started;      /* seconds since 1970 */
    el_conn *conns;       /* (options->connections) */
    uint32_t n_open;      /* of them */
    uint32_t first_free;  /* no connection before this one is free */
    el_conn **asking;     /* (el_server_tasks) whose answer a task is; NULL: no connection's */
    el_conn *slot_conn;   /* that waits for the one job of slots, of either model; NULL: none */
    uint64_t shared_used; /* bytes of bodies and replies, beyond EL_CONN_BODY of each */
    el_stream *streams;   /* (el_server_tasks) */
    uint32_t n_streams;   /* that have a task */
    el_answer *choices;   /* (el_server_tasks) of requests that have several, but the first */
    el_ask ask;           /* of the request in hand */
    el_metrics metrics;
    el_log log;
    uint32_t start_id, n_requests; /* for names of requests */
    uint64_t n_answers;            /* for names */
    char *out;                     /* EL_SERVER_OUT and what frames it */
    void *timer, *heart;           /* of loop.c */
    el_watchdog *watchdog;         /* NULL: nobody wants it */
    bool is_draining, is_over, was_ready;
    bool ends_with_terminal; /* there was one, and its end is no more ignored than elsewhere */
    uint64_t drain_until;    /* in nanoseconds */
};

/* Bytes of bodies and replies that all connections share. There is room for /metrics beside them,
 * or bodies would keep out who wants to know why all is full. */
uint64_t el_server_shared(const el_server_options *options);

/* Tasks that there may be: of one model, after those of the other. */
uint32_t el_server_tasks(const el_server_options *options);

/* The place of one of them: 0, 1, ... */
uint32_t el_server_place(const el_server *server, const el_tasks *tasks, const el_task *task);

/* May what needs the model be asked? If not, why. */
bool el_server_is_ready(const el_server *server, el_problem *problem);

/* SIGHUP: what may have changed is looked at again, the keys, the certificate and the model; or, if
 * what has gone is the terminal that it was started from, it is as SIGTERM. */
void el_server_look_again(el_server *server);

/* The first model is ready. */
void el_server_say_ready(el_server *server);

/* The server ends when what runs has ended; asked for once more, at once. */
void el_server_drain(el_server *server);

/* A job of slots is done: whoever waits for it is told. */
void el_server_look_at_slots(el_server *server);

/* Bytes of a long reply, at most; there is room for them. */
size_t el_server_long_text(const el_server *server);

#endif
