/*
 * stream.h: /v1/stream, a WebSocket with several requests at a time, each a text of JSON (`ask.h`
 * reads them, stream_messages.c writes what comes back). An answer belongs to no connection: it is
 * a stream, made before the start, one for each task, and a connection is its owner for a while.
 *
 *   free --request--> owned --the connection ends--> lost --resume--> owned --its end is sent-->
 * told
 *
 * A lost one goes on being computed, and is kept for --resume-time; so is one that was told, since
 * nobody knows what of it arrived, but it makes room for new requests. Its tokens are all in its
 * task, so that it can be told again from any of them.
 *
 *   stream.c           streams: who owns which, for how long
 *   stream_messages.c  what is sent
 *   stream_conn.c      connections: opening, messages that come, sending
 */
#ifndef EL_SERVER_STREAM_H
#define EL_SERVER_STREAM_H

#include "server/ask.h"
#include "server/conn.h"

enum {
    EL_STREAM_REQUESTS = 16, /* that run at a time on a connection */
    EL_STREAM_SECRET = 16    /* bytes: 128 bits by chance */
};

typedef struct el_stream {
    el_conn *owner;   /* NULL: none */
    el_answer answer; /* its task NULL: free */
    char id[EL_ASK_ID_BYTES + 1];
    unsigned char secret[EL_STREAM_SECRET];
    bool is_told;        /* its end was sent */
    bool is_ending;      /* a part of its end was sent: `written` reads its calls once more */
    bool is_counted;     /* by the metrics, and in the log */
    bool logprobs;       /* are told */
    uint32_t wanted_ms;  /* another deadline that was asked for; 0: none */
    uint64_t kept_until; /* without an owner, or told; in nanoseconds */
} el_stream;

/* ---- streams ------------------------------------------------------------------------------- */

/* Makes them; they are server->streams. Errors: MEMORY. */
edgellm_status el_streams_open(el_server *server, edgellm_error *err);
void el_streams_close(el_server *server);
uint64_t el_streams_bytes(uint32_t n);

/* What came for them since: tells owners, ends those that are kept too long. */
void el_streams_look(el_server *server);

/* Forgets one that was told, for its task, one of these; false: there is none. */
bool el_streams_make_room(el_server *server, const el_tasks *tasks);

/* Requests of a connection that are not told yet. */
unsigned el_streams_of(const el_conn *conn);

/* One of those by its name; NULL: there is none. */
el_stream *el_stream_named(const el_conn *conn, const char *id);

/* For server->ask: a request begins, another deadline is asked for, one that was lost goes on. NULL
 * or false: *problem says why not. */
el_stream *el_stream_begin(el_conn *conn, el_problem *problem);
bool el_stream_change(el_stream *stream, uint32_t deadline_ms, el_problem *problem);
el_stream *el_stream_resume(el_conn *conn, el_problem *problem);

/* Its owner wants no more of it. */
void el_stream_cancel(el_stream *stream);

/* There is something to send. */
bool el_stream_has_news(el_stream *stream);

/* Its end was sent. */
void el_stream_tell(el_stream *stream);

/* `written` begins anew: the next token that it reads is that one; what it completes stays as it
 * was. */
void el_stream_rewind(el_answer *answer, uint32_t from);

/* The connection has ended: its streams are lost, or nobody wants them any more. */
void el_streams_lose(const el_conn *conn);
void el_streams_drop(const el_conn *conn);

/* ---- messages ------------------------------------------------------------------------------ */

void el_stream_write_accepted(const el_stream *stream, el_out *out);
void el_stream_write_pong(el_out *out);

/* id: NULL if none is known. ends: the client's request of that name is over. */
void el_stream_write_error(const char *id, bool ends, const el_problem *problem, el_out *out);

/* The next of what there is to send: el_stream_has_news() has said so. False: it is a part of a
 * message, and nothing else may be sent before the rest. */
bool el_stream_write_next(el_stream *stream, el_out *out);

/* ---- connections --------------------------------------------------------------------------- */

/* Beyond what any request of HTTP needs: its origin, its subprotocols. */
bool el_stream_may_open(const el_conn *conn, el_problem *problem);

/* A key among the subprotocols, where browsers put it. */
bool el_stream_has_key(const el_conn *conn);

/* Each returns false if the connection is to be closed. */
bool el_stream_on_message(el_conn *conn, const char *bytes, size_t len);
bool el_stream_on_writable(el_conn *conn);

/* There is news for it: sent at once where nothing is in the way, else when it can be. */
void el_stream_write_now(el_conn *conn);

/* The client closes, with what its frame says: after 1000 it has all that it wants. */
void el_stream_on_farewell(el_conn *conn, const char *bytes, size_t len);

/* The server ends: connections are closed as soon as nothing runs on them. */
void el_streams_drain(el_server *server);

#endif
