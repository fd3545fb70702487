/*
 * conn.h: one connection: a request comes in, one reply goes out, and again. Its memory was made
 * before the start, but for the body of a request, which grows as it comes, up to the bound: each
 * connection has EL_CONN_BODY of it, and the rest is from what all connections share, so that many
 * idle ones cost little and a few long bodies cannot keep short requests out. The parts that know
 * libwebsockets are conn.c and loop.c.
 *
 *   head -> (body) -> serve() of the route -> reply: a text, or an answer as it is made
 *
 * What is refused by its head alone gets its reply at once; its body is thrown away, and the
 * connection closed.
 */
#ifndef EL_SERVER_CONN_H
#define EL_SERVER_CONN_H

#include "server/answer.h"
#include "server/chunks.h"
#include "server/embedded.h"
#include "server/request_id.h"
#include "server/routes.h"

struct lws;
typedef struct el_server el_server;

enum {
    EL_CONN_TEXT = 6144, /* of a reply that is a text */
    EL_CONN_BODY = 4096, /* bytes of a body that there is room for in any case */
    EL_CONN_PEER = 48,   /* an address */
    EL_CONN_ACTION = 16  /* a word */
};

typedef enum el_reply {
    EL_REPLY_NONE,
    EL_REPLY_LATER, /* it is being made */
    EL_REPLY_TEXT,
    EL_REPLY_BYTES,
    EL_REPLY_ANSWER
} el_reply;

typedef struct el_header {
    const char *name, *value; /* the name with its colon; NULL: the end of a list */
} el_header;

struct el_conn {
    el_server *server;
    struct lws *wsi; /* NULL: no connection */
    int socket;      /* of an answer */
    char peer[EL_CONN_PEER];
    /* the request */
    char id[EL_REQUEST_ID + 1];
    bool is_asking; /* its head is there, its reply not all gone */
    const el_route *route;
    bool is_below_api;           /* its errors look as Ollama's, where it has no route */
    uint32_t number;             /* in its path, where the route has one */
    char action[EL_CONN_ACTION]; /* of "?action=" behind the path; "": none */
    uint64_t asked_ns;           /* its head came; then: all of it did */
    char *body;                  /* (body_room), owned; or that of a long reply */
    size_t body_len, body_room;
    uint64_t body_left;             /* bytes that are still to come */
    uint64_t body_until;            /* in nanoseconds: when it has to be there */
    bool comes_in_chunks, is_whole; /* so is its body; all of it is there, and is to be served */
    el_chunks chunks;
    bool is_chunked; /* the client knows chunks, HTTP/1.1 */
    bool is_framed;  /* its head says, as we read it, where its body ends */
    bool is_refused; /* by its head: what comes of its body is thrown away */
    bool is_head;    /* HEAD: as GET, but of the reply only its head is sent */
    bool closes;     /* after the reply */
    /* the reply */
    el_reply reply;
    unsigned status, retry_after;
    bool head_is_sent, is_waiting; /* waiting: for the reader to take something */
    const char *text_type;         /* JSON, unless the route says another */
    char text[EL_CONN_TEXT];
    size_t text_len;
    const char *bytes; /* (bytes_left) of a long reply that are still to be sent */
    size_t bytes_left;
    const el_header *headers; /* beside those of all replies; NULL: none may keep it */
    char etag[24];            /* where there are headers */
    el_answer answer;
    /* a WebSocket (stream.h): a message is a body, a reply to it is a text */
    bool is_stream, is_closing;
    uint32_t next_stream;   /* whose turn it is */
    struct el_stream *half; /* whose message is sent in part; NULL: nobody's */
};

/* ---- for routes: the reply ----------------------------------------------------------------- */

/* Where to write a reply's text; then el_conn_reply(). */
el_out el_conn_text(el_conn *conn);
void el_conn_reply(el_conn *conn, unsigned status, const el_out *text);

/* For a longer one: memory that lasts until it is sent; `at` is NULL if there is none, or others
 * have all that is shared. */
el_out el_conn_long_text(el_conn *conn, size_t room);

/* It comes when something has been done for it; a server has one such (server->slot_conn). */
void el_conn_reply_later(el_conn *conn);

/* Bytes that stay where they are until they are sent. */
void el_conn_reply_bytes(el_conn *conn, unsigned status, const char *bytes, size_t len);

/* A file with these headers, which stay; 304 without it where the client has it already. */
void el_conn_reply_file(el_conn *conn, const el_embedded *file, const el_header *headers);
void el_conn_reply_problem(el_conn *conn, const el_problem *problem);

/* Its header Accept names HTML: a browser wants something to show. */
bool el_conn_wants_html(const el_conn *conn);

/* conn->answer, which is set up and open, with its task handed over. */
void el_conn_reply_answer(el_conn *conn);

/* ---- for WebSockets ------------------------------------------------------------------------ */

/* Waits for the reader to take something, for --reader-timeout at most. */
void el_conn_want_write(el_conn *conn);

/* All that was written before has been taken, so that more can be written now: a turn of the loop
 * less for each token. */
bool el_conn_may_write(const el_conn *conn);

/* Ends the connection in the next turn of the loop: outside its own callbacks nothing else may. */
void el_conn_break(el_conn *conn);

/* Adds to the body; false: there is no memory, or others have all that is shared. The caller knows
 * that it is no longer than it may be. */
bool el_conn_keep(el_conn *conn, const char *bytes, size_t len);
void el_conn_drop_body(el_conn *conn);

/* ---- for the loop -------------------------------------------------------------------------- */

/* Each returns false if the connection is to be closed. */
bool el_conn_on_head(el_conn *conn, const char *path, size_t len);
bool el_conn_on_body(el_conn *conn, const char *bytes, size_t len);
bool el_conn_on_body_end(el_conn *conn);
bool el_conn_on_writable(el_conn *conn);

/* It asks for a WebSocket. */
bool el_conn_on_upgrade(el_conn *conn, const char *path, size_t len);

/* Something may have come for its answer. */
void el_conn_look(el_conn *conn);

/* By the thread that computes, while it holds server->lock: sends what is next of a stream. False:
 * something is left for el_conn_look(): the beginning or the end, what the system did not take. */
bool el_conn_send(el_conn *conn);
void el_conn_on_close(el_conn *conn);

#endif
