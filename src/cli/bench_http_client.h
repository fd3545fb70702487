/*
 * bench_http_client.h: requests to one server over a connection that is kept open, timed. While an
 * answer comes, nothing is done between two reads but to note the time and copy the bytes to where
 * there is room for them already. The loop sleeps in poll() until the socket has something.
 *
 * All times are of CLOCK_MONOTONIC. What comes in one read has one time. The server is asked
 * directly, whatever http_proxy says, and redirections are not followed: what would be timed then
 * is not what was named.
 */
#ifndef EL_CLI_BENCH_HTTP_CLIENT_H
#define EL_CLI_BENCH_HTTP_CLIENT_H

#include "cli/bench_http_events.h"
#include "cli/bench_http_processes.h"
#include "cli/cli.h"

typedef struct el_cli_http el_cli_http;

/* Of the last request; the client's memory until the next. */
typedef struct el_cli_http_answer {
    bool begun;        /* the request went out, on an open connection */
    uint64_t start_ns; /* just before, if so */
    long status;       /* 200 and so on; 0: none came */
    char *bytes;       /* (size), then a NUL */
    size_t size;
    const el_cli_http_read *reads; /* (n_reads) */
    size_t n_reads;
} el_cli_http_answer;

/* url: as typed; "http://" may be left out, and `ending`, such as "/v1", is dropped. timeout: of
 * silence, in seconds. Nothing is sent. Errors: USAGE (the URL), MEMORY, INTERNAL. */
edgellm_status el_cli_http_open(el_cli_http **http, const char *url, const char *ending,
                                double timeout, edgellm_error *err);
void el_cli_http_close(el_cli_http *http);

/* The URL as it is used, without a path. */
const char *el_cli_http_url(const el_cli_http *http);

/* Room for each answer from now on: `bytes` of body, in as many `reads`. Before the first request.
 * Errors: MEMORY (ask nothing then). */
edgellm_status el_cli_http_reserve(el_cli_http *http, size_t bytes, size_t reads,
                                   edgellm_error *err);

/*
 * GET, or POST if there is a body of JSON. OK: a whole answer came, whatever its status. After an
 * error *answer tells what came before. Errors: IO (no connection, broken off, silent for too
 * long, more than there is room for), INTERRUPTED.
 */
edgellm_status el_cli_http_ask(el_cli_http *http, const char *path, const char *body,
                               el_cli_http_answer *answer, edgellm_error *err);

/* What the server calls itself, if it does: its header "Server"; else "". */
const char *el_cli_http_software(const el_cli_http *http);

/* Those that serve it, if it is this machine. */
void el_cli_http_served_by(const el_cli_http *http, el_cli_http_processes *found);

#endif
