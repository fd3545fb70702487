#include "server/watchdog.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "server/server_state.h"

struct el_watchdog {
    lws_sorted_usec_list_t timer;
    el_server *server;
    lws_usec_t every;
    uint32_t moves; /* of the thread that computes, when it was last looked at */
};

static const lws_usec_t longest = INT64_C(1) << 50;

/* A number that is positive; 0: there is none. */
static lws_usec_t number_of(const char *name)
{
    const char *text = getenv(name);
    const long long n = text ? strtoll(text, NULL, 10) : 0;
    return n > 0 && n < longest ? n : 0;
}

edgellm_status el_watchdog_open(el_server *server, edgellm_error *err)
{
    const lws_usec_t within = number_of("WATCHDOG_USEC"), of = number_of("WATCHDOG_PID");
    if (within < 2 || (of != 0 && of != getpid())) return EDGELLM_OK;
    server->watchdog = calloc(1, sizeof *server->watchdog);
    if (!server->watchdog) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for the watchdog");
    server->watchdog->server = server;
    server->watchdog->every = within / 2;
    return EDGELLM_OK;
}

static void on_time(lws_sorted_usec_list_t *timer)
{
    el_watchdog *w = lws_container_of(timer, el_watchdog, timer);
    if (!el_compute_is_stuck(&w->server->compute, &w->moves)) el_notify("WATCHDOG=1");
    lws_sul_schedule(w->server->context, 0, timer, on_time, w->every);
}

void el_watchdog_start(el_server *server)
{
    el_watchdog *w = server->watchdog;
    if (w) lws_sul_schedule(server->context, 0, &w->timer, on_time, w->every);
}

void el_watchdog_close(el_server *server)
{
    free(server->watchdog);
}
