/*
 * listen.h: the sockets at which the server is asked, and the word to who started it. Errors name
 * the place and what to do; nothing here knows HTTP.
 */
#ifndef EL_SERVER_LISTEN_H
#define EL_SERVER_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/types.h>

#include "edgellm.h"

typedef struct el_place {
    const char *host; /* a name or an address */
    uint32_t port;    /* 0: any that is free */
    const char *path; /* a Unix socket instead, if it is not NULL */
    bool is_secret;   /* by TLS */
} el_place;

typedef struct el_listener {
    int fd;           /* -1: none */
    char url[160];    /* where it is: http://127.0.0.1:11435, or unix:PATH */
    const char *path; /* of a Unix socket; removed at the end */
    dev_t device;     /* which one it is there */
    ino_t inode;
} el_listener;

/* Only this machine can ask there. */
bool el_place_is_local(const el_place *place);

/* Errors: IO (the port is taken, no such address, ...), USAGE (the path is too long). */
edgellm_status el_listen(el_listener *listener, const el_place *place, edgellm_error *err);
void el_listener_close(el_listener *listener);

/* A connection, or -1: none is waiting, or the system has no room for one; then this has taken some
 * milliseconds, since the next try would find the same. */
int el_listener_accept(const el_listener *listener);

/* The address of who is at the other end; "unix" at a Unix socket. */
void el_peer_name(int fd, char *name, size_t size);

/* Tells systemd (the socket that NOTIFY_SOCKET names) such as "READY=1"; without one, nothing. */
void el_notify(const char *state);

#endif
