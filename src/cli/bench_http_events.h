/*
 * bench_http_events.h: the body of a streamed answer, cut into events after its end. While the
 * stream runs only its bytes and the time of each read are kept; which event came when is worked
 * out here, from the read that brought the end of the event.
 *
 * Pure: no system calls, no allocation. Any bytes will do: what is in an event is its reader's
 * business.
 */
#ifndef EL_CLI_BENCH_HTTP_EVENTS_H
#define EL_CLI_BENCH_HTTP_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Some bytes that came together. Of the reads of a stream both numbers ascend. */
typedef struct el_cli_http_read {
    uint64_t ns;
    size_t end; /* bytes of the stream up to here */
} el_cli_http_read;

typedef enum el_cli_http_form {
    EL_CLI_HTTP_LINES, /* an event a line (NDJSON); empty lines are none */
    EL_CLI_HTTP_SSE    /* server-sent events: the field "data" of what an empty line ends */
} el_cli_http_form;

/* A place in a stream; begin with at, read and number 0. */
typedef struct el_cli_http_events {
    el_cli_http_form form;
    char *bytes; /* (size): lines of one event are moved together */
    size_t size;
    const el_cli_http_read *reads; /* (n_reads); the last ends at `size` */
    size_t n_reads;
    size_t at, read;
    uint64_t number;
} el_cli_http_events;

typedef struct el_cli_http_event {
    const char *data; /* (len), in the stream's bytes, not empty */
    size_t len;
    uint64_t ns;     /* when its end came */
    uint64_t number; /* from 1 */
    bool whole;      /* false, of the last one: the stream ended before the event did */
    bool error;      /* its field was "error", as older servers have it */
} el_cli_http_event;

/* Lines end with LF, CR LF or CR. False: there is no further event. */
bool el_cli_http_next(el_cli_http_events *events, el_cli_http_event *event);

#endif
