/* stream_conn.c: a connection that is a WebSocket: how it opens, what comes, what goes out. */
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "server/json_room.h"
#include "server/server_state.h"
#include "server/stream.h"

enum {
    MESSAGE_SECONDS = 30, /* for all of a message, from its first byte on */
    BURST = 16            /* messages that are sent before others are looked at */
};

/* ---- opening ------------------------------------------------------------------------------- */

#define SUBPROTOCOL "edgellm.v1"
#define KEY_PREFIX  "edgellm.key."
enum { SUBPROTOCOLS_MOST = 126 }; /* bytes of their list that libwebsockets 4.1 reads */

static bool check_origin(const el_conn *conn, el_problem *problem)
{
    char origin[256], host[256];
    const int len = lws_hdr_total_length(conn->wsi, WSI_TOKEN_ORIGIN);
    if (len <= 0) return true; /* no browser */
    const bool are_whole = lws_hdr_copy(conn->wsi, origin, sizeof origin, WSI_TOKEN_ORIGIN) > 0 &&
                           lws_hdr_copy(conn->wsi, host, sizeof host, WSI_TOKEN_HOST) > 0;
    const char *place = are_whole ? strstr(origin, "://") : NULL;
    if (place && strcasecmp(place + 3, host) == 0) return true;
    return el_problem_set(problem, EL_PROBLEM_ORIGIN, "Origin",
                          "a web page may ask only the server that it came from");
}

static bool check_subprotocols(const el_conn *conn, el_problem *problem)
{
    static const char name[] = SUBPROTOCOL;
    char list[SUBPROTOCOLS_MOST + 1];
    const int len = lws_hdr_total_length(conn->wsi, WSI_TOKEN_PROTOCOL);
    if (len <= 0) return true;
    if (len > SUBPROTOCOLS_MOST ||
        lws_hdr_copy(conn->wsi, list, sizeof list, WSI_TOKEN_PROTOCOL) < 0)
        return el_problem_set(problem, EL_PROBLEM_REQUEST, "Sec-WebSocket-Protocol",
                              "the list of subprotocols has %d bytes; at most %d are taken", len,
                              SUBPROTOCOLS_MOST);
    if (strncmp(list, name, sizeof name - 1) == 0 && strchr(", ", list[sizeof name - 1]))
        return true;
    return el_problem_set(problem, EL_PROBLEM_REQUEST, "Sec-WebSocket-Protocol",
                          "the first subprotocol must be " SUBPROTOCOL ", if there is one");
}

bool el_stream_may_open(const el_conn *conn, el_problem *problem)
{
    return check_origin(conn, problem) && check_subprotocols(conn, problem);
}

/* The value of a digit of base64url; -1: it is none. */
static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Bytes that were read, up to what is no digit; `bytes` has room for them. */
static size_t decode(const char *text, char *bytes)
{
    unsigned held = 0, bits = 0;
    size_t n = 0;
    for (; digit(*text) >= 0; text++) {
        held = held << 6 | (unsigned)digit(*text);
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        bytes[n++] = (char)(held >> bits & 0xff);
    }
    return n;
}

bool el_stream_has_key(const el_conn *conn)
{
    char list[SUBPROTOCOLS_MOST + 1], header[SUBPROTOCOLS_MOST + 16] = "Bearer ";
    const size_t before = strlen(header);
    if (lws_hdr_copy(conn->wsi, list, sizeof list, WSI_TOKEN_PROTOCOL) <= 0) return false;
    const char *at = strstr(list, KEY_PREFIX);
    if (!at) return false;
    const size_t len = decode(at + sizeof KEY_PREFIX - 1, header + before);
    return el_keys_allow(&conn->server->keys, header, before + len);
}

/* ---- what comes ---------------------------------------------------------------------------- */

static bool do_request(el_conn *conn, el_out *out, el_problem *problem)
{
    const el_stream *s = el_stream_begin(conn, problem);
    if (s) el_stream_write_accepted(s, out);
    return s != NULL;
}

static el_stream *find(const el_conn *conn, el_problem *problem)
{
    el_stream *s = el_stream_named(conn, conn->server->ask.id);
    if (!s)
        el_problem_set(problem, EL_PROBLEM_ROUTE, "id",
                       "no request of this 'id' runs on this connection");
    return s;
}

static bool do_cancel(el_conn *conn, el_out *out, el_problem *problem)
{
    el_stream *s = find(conn, problem);
    (void)out;
    if (s) el_stream_cancel(s);
    return s != NULL;
}

static bool do_deadline(el_conn *conn, el_out *out, el_problem *problem)
{
    el_stream *s = find(conn, problem);
    (void)out;
    return s && el_stream_change(s, conn->server->ask.deadline_ms, problem);
}

static bool do_resume(el_conn *conn, el_out *out, el_problem *problem)
{
    const el_stream *s = el_stream_resume(conn, problem);
    if (s) el_stream_write_accepted(s, out);
    return s != NULL;
}

static bool do_ping(el_conn *conn, el_out *out, el_problem *problem)
{
    (void)conn, (void)problem;
    el_stream_write_pong(out);
    return true;
}

static bool (*const acts[EL_ASK_ACTS])(el_conn *conn, el_out *out, el_problem *problem) = {
    [EL_ASK_REQUEST] = do_request, [EL_ASK_CANCEL] = do_cancel, [EL_ASK_DEADLINE] = do_deadline,
    [EL_ASK_RESUME] = do_resume,   [EL_ASK_PING] = do_ping,
};

static bool act(el_conn *conn, el_out *out, el_problem *problem)
{
    el_ask *ask = &conn->server->ask;
    if (conn->is_refused) {
        memset(ask, 0, sizeof *ask);
        return el_problem_set(problem, EL_PROBLEM_REQUEST, NULL,
                              "this message is binary: messages are text");
    }
    return el_ask_read(ask, EL_ASK_STREAM, conn->body, conn->body_len, problem) &&
           acts[ask->act](conn, out, problem);
}

/* No further message is looked at before the reply to this one has gone out. */
static void reply(el_conn *conn, size_t len)
{
    conn->text_len = len;
    if (len > 0) lws_rx_flow_control(conn->wsi, 0);
    el_conn_want_write(conn);
}

static void serve(el_conn *conn)
{
    el_ask *ask = &conn->server->ask;
    el_out out = el_conn_text(conn);
    el_problem problem;
    if (!act(conn, &out, &problem)) {
        const bool ends = ask->id && !el_stream_named(conn, ask->id);
        out = el_conn_text(conn);
        el_stream_write_error(ask->id, ends, &problem, &out);
    }
    el_ask_release(ask);
    el_json_room_empty();
    el_conn_drop_body(conn);
    reply(conn, out.used);
}

/* What there was of a message makes room for others at once: the client may take its time to go. */
static bool close_with(el_conn *conn, enum lws_close_status status, const char *why)
{
    char reason[100]; /* which libwebsockets wants to write to */
    const size_t len = strlen(why);
    memcpy(reason, why, len);
    el_conn_drop_body(conn);
    conn->is_closing = true;
    lws_close_reason(conn->wsi, status, (unsigned char *)reason, len);
    return false;
}

bool el_stream_on_message(el_conn *conn, const char *bytes, size_t len)
{
    const uint64_t now = el_clock_now();
    if (conn->is_closing) return true;
    if (conn->text_len > 0)
        return close_with(conn, LWS_CLOSE_STATUS_POLICY_VIOLATION, "too many messages at once");
    if (lws_is_first_fragment(conn->wsi)) {
        conn->body_until = now + MESSAGE_SECONDS * UINT64_C(1000000000);
        conn->is_refused = lws_frame_is_binary(conn->wsi);
    }
    if (now > conn->body_until)
        return close_with(conn, LWS_CLOSE_STATUS_POLICY_VIOLATION, "a message took too long");
    if (conn->body_len + len > conn->server->options->max_body)
        return close_with(conn, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "more than --max-body");
    if (!el_conn_keep(conn, bytes, len))
        return close_with(conn, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, "no memory for a message");
    if (lws_is_final_fragment(conn->wsi)) serve(conn);
    return true;
}

void el_stream_on_farewell(el_conn *conn, const char *bytes, size_t len)
{
    const unsigned char *code = (const unsigned char *)bytes;
    if (len >= 2 && (code[0] << 8 | code[1]) == LWS_CLOSE_STATUS_NORMAL) el_streams_drop(conn);
    conn->is_closing = true;
}

/* ---- what goes out ------------------------------------------------------------------------- */

static void write_next(el_conn *conn, el_stream *s, el_out *out)
{
    conn->half = el_stream_write_next(s, out) ? NULL : s;
}

/* Of several requests one after the other, a message each; false: there is nothing. */
static bool write_stream(el_conn *conn, el_out *out)
{
    const el_server *server = conn->server;
    const uint32_t n = el_server_tasks(server->options);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t at = (conn->next_stream + i) % n;
        el_stream *s = &server->streams[at];
        if (s->owner != conn || !el_stream_has_news(s)) continue;
        write_next(conn, s, out);
        conn->next_stream = at + 1;
        return true;
    }
    return false;
}

static bool write_message(el_conn *conn, el_out *out)
{
    if (conn->half) {
        write_next(conn, conn->half, out);
        return true;
    }
    if (conn->text_len == 0) return write_stream(conn, out);
    el_out_bytes(out, conn->text, conn->text_len);
    conn->text_len = 0;
    lws_rx_flow_control(conn->wsi, 1);
    return true;
}

typedef enum sent { SENT, NOTHING, BROKEN } sent;

static sent send_one(el_conn *conn)
{
    unsigned char *at = (unsigned char *)conn->server->out + LWS_PRE;
    el_out out = {.at = (char *)at, .room = EL_SERVER_OUT};
    int how = conn->half ? LWS_WRITE_CONTINUATION : LWS_WRITE_TEXT;
    if (conn->half && conn->half->owner != conn) return BROKEN; /* another connection has it now */
    if (!write_message(conn, &out)) return NOTHING;
    if (conn->half) how |= LWS_WRITE_NO_FIN;
    const int taken = lws_write(conn->wsi, at, out.used, (enum lws_write_protocol)how);
    return taken < (int)out.used ? BROKEN : SENT;
}

static bool is_over(const el_conn *conn)
{
    return conn->server->is_draining && conn->text_len == 0 && el_streams_of(conn) == 0;
}

/* Nothing may be sent behind what says that it ends, by us or by libwebsockets (a wrong frame). */
static bool is_ending(const el_conn *conn)
{
    return conn->is_closing || lws_get_close_length(conn->wsi) > 0;
}

bool el_stream_on_writable(el_conn *conn)
{
    sent last = SENT;
    conn->is_waiting = false;
    if (is_ending(conn)) return true;
    for (int i = 0; last == SENT && i < BURST; i++) {
        last = send_one(conn);
        if (last == SENT && lws_send_pipe_choked(conn->wsi)) break;
    }
    if (last == BROKEN) return false;
    if (last == SENT) { /* there may be more; the wait for the reader begins */
        el_conn_want_write(conn);
        return true;
    }
    lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
    if (!is_over(conn)) return true;
    return close_with(conn, LWS_CLOSE_STATUS_GOINGAWAY, "the server is shutting down");
}

void el_stream_write_now(el_conn *conn)
{
    if (is_ending(conn)) return;
    const bool is_free =
        el_conn_may_write(conn) && !conn->half && conn->text_len == 0 && !conn->server->is_draining;
    if (!is_free)
        el_conn_want_write(conn);
    else if (!el_stream_on_writable(conn))
        el_conn_break(conn);
}
