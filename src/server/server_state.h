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

typedef struct el_stream el_stream;
struct lws_context;
struct lws_vhost;

enum {
    EL_SERVER_OUT = 2 * EL_ANSWER_ROOM, /* bytes that are sent at once */
    EL_METRICS_TEXT = 65536,            /* of /metrics, at most */
    EL_SERVER_BODIES = 16 /* long bodies and replies that there is room for at a time */
};

struct el_server {
    const el_server_options *options;
    el_listener listener;
    el_keys keys;
    el_hosts hosts;
    bool checks_host; /* who asks by another name is refused */
    int signals;      /* a descriptor */
    struct lws_context *context;
    struct lws_vhost *vhost;
    el_compute compute;
    bool is_computing;    /* compute was started */
    bool shares_core;     /* the network has none of its own */
    char model[128];      /* its name, as told */
    char fingerprint[64]; /* what an answer's bits depend on */
    int64_t started;      /* seconds since 1970 */
    el_conn *conns;       /* (options->connections) */
    uint32_t n_open;      /* of them */
    uint32_t first_free;  /* no connection before this one is free */
    el_conn **asking;     /* (sessions + queue) whose answer a task is; NULL: no connection's */
    uint64_t shared_used; /* bytes of bodies and replies, beyond EL_CONN_BODY of each */
    el_stream *streams;   /* (sessions + queue), as there are tasks */
    el_ask ask;           /* of the request in hand */
    el_metrics metrics;
    el_log log;
    uint32_t start_id, n_requests; /* for names of requests */
    uint64_t n_answers;            /* for names */
    char *out;                     /* EL_SERVER_OUT and what frames it */
    void *timer, *heart;           /* of loop.c */
    bool is_draining, is_over, was_ready;
    uint64_t drain_until; /* in nanoseconds */
};

/* Bytes of bodies and replies that all connections share. There is room for /metrics beside them,
 * or bodies would keep out who wants to know why all is full. */
uint64_t el_server_shared(const el_server_options *options);

/* May what needs the model be asked? If not, why. */
bool el_server_is_ready(const el_server *server, el_problem *problem);

/* Reads the file of keys again. If something is wrong with it the keys stay as they were; either
 * way there is a line in the log. */
void el_server_reread_keys(el_server *server);

#endif
