/*
 * watchdog.h: whoever started the server and watches it (systemd, with WatchdogSec=) is told that
 * it is well, for as long as both threads go on: that of the network, whose loop tells it, and the
 * one that computes, unless that sleeps or makes a model ready. Where one hangs nothing is told any
 * more, and systemd starts another server.
 */
#ifndef EL_SERVER_WATCHDOG_H
#define EL_SERVER_WATCHDOG_H

#include "edgellm.h"

typedef struct el_server el_server;
typedef struct el_watchdog el_watchdog;

/* For this process, if WATCHDOG_USEC and WATCHDOG_PID say so; else there is none. Errors: MEMORY.
 */
edgellm_status el_watchdog_open(el_server *server, edgellm_error *err);

/* From now on it is told, twice as often as it must be. */
void el_watchdog_start(el_server *server);

/* After the loop. */
void el_watchdog_close(el_server *server);

#endif
