#include "server/conn.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32.h"
#include "server/elsewhere.h"
#include "server/loop.h"
#include "server/server_state.h"
#include "server/stream.h"

enum {
    BODY_SECONDS = 30, /* for all of a body */
    CHUNK_HEAD = 8     /* "00ffff\r\n" */
};
#define DISCARD_MOST ((uint64_t)256 << 20) /* bytes of a refused body that are still read */

/* ---- headers -------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A header's value without the blanks around it, NUL-terminated; its length, 0 if there is none or
 * it is too long. */
static size_t header(const el_conn *conn, enum lws_token_indexes name, char *value, size_t room)
{
    const int len = lws_hdr_copy(conn->wsi, value, (int)room, name);
    size_t begin = 0, end = len > 0 ? (size_t)len : 0;
    while (end > 0 && is_blank(value[end - 1]))
        end--;
    while (begin < end && is_blank(value[begin]))
        begin++;
    memmove(value, value + begin, end - begin);
    value[end - begin] = '\0';
    return end - begin;
}

/* ---- memory for bodies and long replies ---------------------------------------------------- */

/* Of what all share; the rest is the connection's own. */
static uint64_t shared_by(size_t room)
{
    return room > EL_CONN_BODY ? room - EL_CONN_BODY : 0;
}

/* False: there is no memory, or others have all that is shared, `most`; then it is as it was. */
static bool resize_body(el_conn *conn, size_t room, uint64_t most)
{
    el_server *server = conn->server;
    const uint64_t used = server->shared_used - shared_by(conn->body_room) + shared_by(room);
    if (used > most) return false;
    char *body = realloc(conn->body, room);
    if (!body) return false;
    server->shared_used = used;
    conn->body = body;
    conn->body_room = room;
    return true;
}

void el_conn_drop_body(el_conn *conn)
{
    conn->server->shared_used -= shared_by(conn->body_room);
    free(conn->body);
    conn->body = NULL;
    conn->body_len = conn->body_room = 0;
}

/* ---- the reply of a route ------------------------------------------------------------------ */

el_out el_conn_text(el_conn *conn)
{
    return (el_out){.at = conn->text, .room = sizeof conn->text};
}

/* Whoever takes nothing for so long is cut off; a wait that has begun goes on. */
void el_conn_want_write(el_conn *conn)
{
    if (!conn->is_waiting)
        lws_set_timeout(conn->wsi, PENDING_TIMEOUT_HTTP_CONTENT,
                        (int)conn->server->options->reader_s);
    conn->is_waiting = true;
    lws_callback_on_writable(conn->wsi);
}

bool el_conn_may_write(const el_conn *conn)
{
    return !conn->is_waiting && !lws_partial_buffered(conn->wsi);
}

void el_conn_break(el_conn *conn)
{
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
}

void el_conn_reply(el_conn *conn, unsigned status, const el_out *text)
{
    conn->reply = EL_REPLY_TEXT;
    conn->status = status;
    conn->text_len = text->used;
    el_conn_want_write(conn);
}

el_out el_conn_long_text(el_conn *conn, size_t room)
{
    el_conn_drop_body(conn);
    (void)resize_body(conn, room, el_server_shared(conn->server->options) + EL_METRICS_TEXT);
    return (el_out){.at = conn->body, .room = conn->body_room};
}

void el_conn_reply_later(el_conn *conn)
{
    conn->reply = EL_REPLY_LATER;
    lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0); /* it takes what it takes */
}

void el_conn_reply_bytes(el_conn *conn, unsigned status, const char *bytes, size_t len)
{
    conn->reply = EL_REPLY_BYTES;
    conn->status = status;
    conn->bytes = bytes;
    conn->bytes_left = len;
    el_conn_want_write(conn);
}

/* By its sum and size a file is told apart from that of another build. */
void el_conn_reply_file(el_conn *conn, const el_embedded *file, const el_header *headers)
{
    char known[256];
    header(conn, WSI_TOKEN_HTTP_IF_NONE_MATCH, known, sizeof known);
    snprintf(conn->etag, sizeof conn->etag, "\"%08x-%zx\"", el_crc32(0, file->bytes, file->len),
             file->len);
    conn->text_type = file->type;
    conn->headers = headers;
    el_conn_reply_bytes(conn, strstr(known, conn->etag) ? 304 : 200, (const char *)file->bytes,
                        file->len);
}

void el_conn_reply_problem(el_conn *conn, const el_problem *problem)
{
    el_out out = el_conn_text(conn);
    if (conn->route && conn->route->write_problem)
        conn->route->write_problem(problem, &out);
    else if (!conn->route && conn->is_below_api)
        el_problem_write_flat(problem, &out);
    else
        el_problem_write(problem, &out);
    conn->retry_after = problem->retry_after;
    el_conn_reply(conn, el_problem_status(problem), &out);
}

/* Where the loop finds whose answer a task is. */
static el_conn **asking_at(const el_conn *conn)
{
    const el_answer *answer = &conn->answer;
    return &conn->server->asking[el_server_place(conn->server, answer->tasks, answer->task)];
}

void el_conn_reply_answer(el_conn *conn)
{
    conn->reply = EL_REPLY_ANSWER;
    conn->status = 200;
    conn->socket = lws_get_socket_fd(conn->wsi);
    *asking_at(conn) = conn;
    conn->closes |= !conn->is_chunked;                 /* nothing else tells where it ends */
    lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0); /* it takes what it takes */
}

/* ---- what is sent -------------------------------------------------------------------------- */

/* Where in the buffer of what is sent. */
typedef struct packet {
    unsigned char *begin, *at, *end;
} packet;

static packet packet_of(const el_server *server)
{
    unsigned char *begin = (unsigned char *)server->out + LWS_PRE;
    return (packet){begin, begin, begin + EL_LOOP_HEAD};
}

static bool add_header(const el_conn *conn, packet *p, const char *name, const char *value)
{
    return lws_add_http_header_by_name(conn->wsi, (const unsigned char *)name,
                                       (const unsigned char *)value, (int)strlen(value), &p->at,
                                       p->end) == 0;
}

/* Headers that only some replies have. */
static bool add_special(const el_conn *conn, packet *p)
{
    char seconds[16];
    bool ok = true;
    snprintf(seconds, sizeof seconds, "%u", conn->retry_after);
    if (conn->retry_after > 0) ok = add_header(conn, p, "retry-after:", seconds);
    if (conn->status == 401) ok = ok && add_header(conn, p, "www-authenticate:", "Bearer");
    if (conn->status == 426) ok = ok && add_header(conn, p, "upgrade:", "websocket");
    if (conn->status == 405)
        ok = ok && add_header(conn, p, "allow:", conn->route->is_post ? "POST" : "GET");
    return ok && (!conn->closes || add_header(conn, p, "connection:", "close"));
}

/* What may be kept of it, and what else such a file has. */
static bool add_caching(const el_conn *conn, packet *p)
{
    if (!conn->headers) return add_header(conn, p, "cache-control:", "no-store");
    for (const el_header *h = conn->headers; h->name; h++)
        if (!add_header(conn, p, h->name, h->value)) return false;
    return add_header(conn, p, "etag:", conn->etag);
}

/* length: of the body; NULL: it is not known yet. */
static bool add_head(const el_conn *conn, packet *p, const char *type, const char *length)
{
    if (lws_add_http_header_status(conn->wsi, conn->status, &p->at, p->end)) return false;
    if (!add_header(conn, p, "content-type:", type)) return false;
    if (length && !add_header(conn, p, "content-length:", length)) return false;
    if (!length && conn->is_chunked && !add_header(conn, p, "transfer-encoding:", "chunked"))
        return false;
    if (!add_caching(conn, p)) return false;
    if (!add_header(conn, p, "x-request-id:", conn->id)) return false;
    return add_special(conn, p) && lws_finalize_http_header(conn->wsi, &p->at, p->end) == 0;
}

static bool send_packet(el_conn *conn, const packet *p)
{
    const size_t len = (size_t)(p->at - p->begin);
    if (len > 0 && lws_write(conn->wsi, p->begin, len, LWS_WRITE_HTTP) < (int)len) return false;
    /* What the system did not take, libwebsockets keeps; then the wait for the reader begins. */
    if (lws_partial_buffered(conn->wsi))
        el_conn_want_write(conn);
    else
        lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
    return true;
}

static void add_bytes(packet *p, const char *bytes, size_t len)
{
    memcpy(p->at, bytes, len);
    p->at += len;
}

/* ---- the end of a request ------------------------------------------------------------------ */

/* Of each choice; the log tells the worst. */
static void count_deadlines(const el_conn *conn, el_account *account)
{
    for (const el_answer *a = conn->answer.next; a; a = a->next) {
        el_account one = {.route = conn->route};
        el_account_judge(&one, a);
        el_metrics_count_deadline(&conn->server->metrics, &one);
        if (one.deadline > account->deadline) account->deadline = one.deadline;
    }
}

static void take_account(const el_conn *conn, bool is_whole)
{
    el_account account = {.route = conn->route,
                          .is_whole = is_whole,
                          .asked_ns = conn->asked_ns,
                          .ended_ns = el_clock_now()};
    if (is_whole || conn->head_is_sent) account.status = conn->status;
    el_account_answer(&account, &conn->answer);
    el_metrics_count(&conn->server->metrics, &account);
    count_deadlines(conn, &account);
    if (conn->server->options->log_requests)
        el_log_request(&conn->server->log, &account, conn->id, conn->peer);
}

static void forget_request(el_conn *conn, bool is_whole)
{
    if (conn->is_asking) take_account(conn, is_whole);
    if (conn->answer.task) *asking_at(conn) = NULL;
    if (conn->server->owed.to == conn) conn->server->owed.to = NULL;
    el_answer_close(&conn->answer);
    el_conn_drop_body(conn);
    conn->reply = EL_REPLY_NONE;
    conn->is_asking = false;
}

/* The reply is all sent. */
static bool finish(el_conn *conn)
{
    const bool closes = conn->closes || conn->server->is_draining;
    forget_request(conn, true);
    if (conn->body_left > 0) { /* of what was refused: read first, or the reply may be lost */
        lws_set_timeout(conn->wsi, PENDING_TIMEOUT_HTTP_CONTENT, BODY_SECONDS);
        return true;
    }
    return !closes && lws_http_transaction_completed(conn->wsi) == 0;
}

static bool write_text(el_conn *conn)
{
    char length[24];
    packet p = packet_of(conn->server);
    snprintf(length, sizeof length, "%zu", conn->text_len);
    if (!add_head(conn, &p, conn->text_type, length)) return false;
    if (conn->is_stream) p.begin[7] = '1'; /* HTTP/1.0, says libwebsockets before an upgrade */
    if (!conn->is_head) add_bytes(&p, conn->text, conn->text_len);
    return send_packet(conn, &p) && finish(conn);
}

/* A long one: as much of it at a time as an answer. */
static bool write_bytes(el_conn *conn)
{
    char length[24];
    packet p = packet_of(conn->server);
    if (!conn->head_is_sent) {
        snprintf(length, sizeof length, "%zu", conn->bytes_left);
        if (!add_head(conn, &p, conn->text_type, length)) return false;
        conn->head_is_sent = true;
        if (conn->is_head || conn->status == 304) conn->bytes_left = 0;
    }
    const size_t len = conn->bytes_left < EL_SERVER_OUT ? conn->bytes_left : EL_SERVER_OUT;
    add_bytes(&p, conn->bytes, len);
    conn->bytes += len;
    conn->bytes_left -= len;
    if (!send_packet(conn, &p)) return false;
    if (conn->bytes_left == 0) return finish(conn);
    el_conn_want_write(conn);
    return true;
}

/* What there is of the answer now, framed. */
static bool write_some(el_conn *conn, packet *p)
{
    char head[24];
    unsigned char *frame = p->at;
    el_out out = {.at = (char *)p->at + (conn->is_chunked ? CHUNK_HEAD : 0), .room = EL_SERVER_OUT};
    const bool is_over = el_answer_write(&conn->answer, &out);
    if (out.used > 0 && conn->is_chunked) {
        snprintf(head, sizeof head, "%06x\r\n", (unsigned)out.used);
        memcpy(frame, head, CHUNK_HEAD);
        p->at += CHUNK_HEAD + out.used;
        add_bytes(p, "\r\n", 2);
    } else {
        p->at += out.used;
    }
    if (is_over && conn->is_chunked) add_bytes(p, "0\r\n\r\n", 5);
    return is_over;
}

/* What was there when it was last looked at. */
static bool write_seen(el_conn *conn)
{
    packet p = packet_of(conn->server);
    if (conn->answer.has_failed && !conn->head_is_sent) {
        el_conn_reply_problem(conn, &conn->answer.problem);
        return write_text(conn);
    }
    if (!conn->head_is_sent && !add_head(conn, &p, conn->answer.wire->content_type, NULL))
        return false;
    conn->head_is_sent = true;
    const bool is_over = write_some(conn, &p);
    if (conn->answer.has_failed) conn->closes = true;
    if (!send_packet(conn, &p)) return false;
    if (is_over) return finish(conn);
    if (el_answer_look(&conn->answer)) el_conn_want_write(conn); /* there was no room for more */
    return true;
}

/* What the thread that computes could not send. */
static bool write_owed(el_conn *conn)
{
    el_owed *owed = &conn->server->owed;
    if (owed->to != conn) return true;
    owed->to = NULL;
    return send_packet(conn, &(packet){owed->bytes, owed->bytes + owed->len, NULL});
}

static bool write_answer(el_conn *conn)
{
    return !el_answer_look(&conn->answer) || write_seen(conn);
}

bool el_conn_on_writable(el_conn *conn)
{
    conn->is_waiting = false;
    if (conn->is_whole) {
        conn->is_whole = false;
        return el_conn_on_body_end(conn);
    }
    if (conn->reply == EL_REPLY_TEXT) return write_text(conn);
    if (conn->reply == EL_REPLY_BYTES) return write_bytes(conn);
    if (conn->reply == EL_REPLY_ANSWER) return write_answer(conn);
    return true;
}

/* The next of a stream, as it was looked at: not its beginning, nor its end, after which there is
 * more to do than to write. */
static bool is_in_the_middle(const el_conn *conn)
{
    bool any_ended = conn->answer.has_failed;
    for (const el_answer *a = &conn->answer; a; a = a->next)
        any_ended |= a->has_ended;
    return conn->head_is_sent && !any_ended;
}

void el_conn_look(el_conn *conn)
{
    if (conn->reply != EL_REPLY_ANSWER) return;
    if (!write_owed(conn)) {
        el_conn_break(conn);
        return;
    }
    if (!el_answer_look(&conn->answer)) return;
    if (!is_in_the_middle(conn) || !el_conn_may_write(conn))
        el_conn_want_write(conn);
    else if (!write_seen(conn))
        el_conn_break(conn);
}

/* libwebsockets has nothing of it to send, and puts nothing around it: without TLS its write() is
 * the system's. Of an error it hears when the network tries again. */
bool el_conn_send(el_conn *conn)
{
    el_owed *owed = &conn->server->owed;
    if (conn->reply != EL_REPLY_ANSWER || !el_answer_look(&conn->answer)) return true;
    if (!is_in_the_middle(conn) || conn->is_waiting || conn->server->tls || owed->to) return false;
    unsigned char *begin = (unsigned char *)owed->room + LWS_PRE;
    packet p = {begin, begin, NULL};
    (void)write_some(conn, &p); /* in the middle: it is not over */
    const size_t len = (size_t)(p.at - begin);
    const ssize_t sent = len > 0 ? send(conn->socket, begin, len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    const size_t n = sent > 0 ? (size_t)sent : 0;
    if (n < len) {
        owed->to = conn;
        owed->bytes = begin + n;
        owed->len = len - n;
    }
    return n == len && !el_answer_look(&conn->answer);
}

void el_conn_on_close(el_conn *conn)
{
    forget_request(conn, false);
    if (conn->server->slot_conn == conn) conn->server->slot_conn = NULL;
    if (conn->is_stream) el_streams_lose(conn);
    conn->is_stream = conn->is_closing = false;
    conn->half = NULL;
    conn->text_len = 0;
    conn->wsi = NULL;
}

/* ---- heads --------------------------------------------------------------------------------- */

static bool has(const el_conn *conn, enum lws_token_indexes name)
{
    return lws_hdr_total_length(conn->wsi, name) > 0;
}

bool el_conn_wants_html(const el_conn *conn)
{
    char accept[512];
    header(conn, WSI_TOKEN_HTTP_ACCEPT, accept, sizeof accept);
    return strcasestr(accept, "text/html") != NULL;
}

static bool read_length(el_conn *conn)
{
    char text[24];
    const size_t len = header(conn, WSI_TOKEN_HTTP_CONTENT_LENGTH, text, sizeof text);
    conn->body_left = 0;
    conn->is_framed =
        !has(conn, WSI_TOKEN_HTTP_TRANSFER_ENCODING) && !has(conn, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    if (len == 0 || len > 15 || text[strspn(text, "0123456789")] != '\0') return false;
    conn->body_left = strtoull(text, NULL, 10);
    conn->is_framed = !has(conn, WSI_TOKEN_HTTP_TRANSFER_ENCODING);
    if (!conn->is_framed) conn->body_left = 0; /* nobody waits for what is refused anyway */
    return true;
}

/* "application/json", and what may follow. */
static bool is_json(const el_conn *conn)
{
    static const char json[] = "application/json";
    char type[128];
    header(conn, WSI_TOKEN_HTTP_CONTENT_TYPE, type, sizeof type);
    return strncasecmp(type, json, sizeof json - 1) == 0 &&
           (type[sizeof json - 1] == '\0' || strchr("; ", type[sizeof json - 1]));
}

/* And in no other way, nor with a length as well, of which one could be read for the other. */
static bool is_in_chunks(const el_conn *conn)
{
    char coding[16];
    header(conn, WSI_TOKEN_HTTP_TRANSFER_ENCODING, coding, sizeof coding);
    return strcasecmp(coding, "chunked") == 0 && conn->is_chunked &&
           !has(conn, WSI_TOKEN_HTTP_CONTENT_LENGTH);
}

static bool check_size(const el_conn *conn, uint64_t size, el_problem *problem)
{
    const uint64_t most = conn->server->options->max_body;
    if (size <= most) return true;
    return el_problem_set(problem, EL_PROBLEM_BODY, NULL,
                          "the body has %llu bytes%s; at most %llu are taken (--max-body)",
                          (unsigned long long)size, conn->comes_in_chunks ? " or more" : "",
                          (unsigned long long)most);
}

static bool check_body(el_conn *conn, bool has_length, el_problem *problem)
{
    conn->comes_in_chunks = is_in_chunks(conn);
    if (!conn->comes_in_chunks && (!has_length || !conn->is_framed))
        return el_problem_set(problem, EL_PROBLEM_LENGTH, NULL,
                              "a body needs its length: a header Content-Length, one number, or "
                              "Transfer-Encoding: chunked");
    if (!check_size(conn, conn->body_left, problem)) return false;
    if (!is_json(conn))
        return el_problem_set(problem, EL_PROBLEM_MEDIA, NULL,
                              "the body must be JSON: Content-Type: application/json");
    if (has(conn, WSI_TOKEN_HTTP_CONTENT_ENCODING))
        return el_problem_set(problem, EL_PROBLEM_MEDIA, NULL,
                              "a body is taken as it is: without Content-Encoding");
    return true;
}

static bool is_allowed(const el_conn *conn)
{
    char value[EL_KEY_BYTES + 16];
    const size_t len = header(conn, WSI_TOKEN_HTTP_AUTHORIZATION, value, sizeof value);
    return el_keys_allow(&conn->server->keys, value, len) ||
           (conn->route->serve == el_serve_stream && el_stream_has_key(conn));
}

/* Programs may leave it out; browsers, for whose pages it is looked at, never do. */
static bool check_host(const el_conn *conn, el_problem *problem)
{
    char host[256];
    if (!conn->server->checks_host || !has(conn, WSI_TOKEN_HOST)) return true;
    header(conn, WSI_TOKEN_HOST, host, sizeof host);
    if (el_hosts_have(&conn->server->hosts, host)) return true;
    return el_problem_set(
        problem, EL_PROBLEM_HOST, NULL,
        "this server is not asked as '%.100s' (the header Host): ask at "
        "127.0.0.1 or localhost, or start it with --allow-host NAME, or with keys",
        host);
}

/* What stands behind the path: it is gone when the body is there. */
static void read_action(el_conn *conn)
{
    static const char name[] = "action=";
    char text[sizeof name + EL_CONN_ACTION];
    const char *value = lws_get_urlarg_by_name(conn->wsi, name, text, sizeof text);
    snprintf(conn->action, sizeof conn->action, "%s", value ? value : "");
}

/* Where the path has a name, it is that of the one model. */
static bool check_model(const el_conn *conn, const char *path, size_t len, el_problem *problem)
{
    const char *place = strstr(conn->route->path, "{model}"), *model = conn->server->model;
    const size_t before = place ? (size_t)(place - conn->route->path) : 0, n = len - before;
    if (!place || (n == strlen(model) && memcmp(path + before, model, n) == 0)) return true;
    return el_problem_set(problem, EL_PROBLEM_MODEL, "model",
                          "model '%.*s' not found: this server has '%.100s'",
                          n < 100 ? (int)n : 100, path + before, model);
}

/* Everything that can be said before the body. */
static bool check_head(el_conn *conn, const char *path, size_t len, el_problem *problem)
{
    char *uri;
    int uri_len;
    const int method = lws_http_get_uri_and_method(conn->wsi, &uri, &uri_len);
    const bool has_length = read_length(conn);
    const el_route *route = el_route_find(path, len, &conn->number);
    conn->route = route;
    read_action(conn);
    conn->is_head = method == LWSHUMETH_HEAD;
    if (!check_host(conn, problem)) return false;
    conn->is_below_api = el_elsewhere_is_ollama(path);
    if (!route) return el_elsewhere(path, problem);
    if (method != (route->is_post ? LWSHUMETH_POST : LWSHUMETH_GET) &&
        (route->is_post || !conn->is_head))
        return el_problem_set(problem, EL_PROBLEM_METHOD, NULL, "%s wants %s", route->path,
                              route->is_post ? "POST" : "GET");
    if (route->needs_key && !is_allowed(conn))
        return el_problem_set(problem, EL_PROBLEM_KEY, NULL,
                              "a key is needed: Authorization: Bearer KEY");
    if (route->needs_model && !el_server_is_ready(conn->server, problem)) return false;
    if (!check_model(conn, path, len, problem)) return false;
    if (route->is_post) return check_body(conn, has_length, problem);
    if (conn->body_left == 0 && conn->is_framed) return true;
    return el_problem_set(problem, EL_PROBLEM_REQUEST, NULL, "%s takes no body", route->path);
}

/* The client's own name for it, or one of ours. */
static void name_request(el_conn *conn)
{
    static const char name[] = "x-request-id:";
    el_server *server = conn->server;
    const int len =
        lws_hdr_custom_copy(conn->wsi, conn->id, sizeof conn->id, name, sizeof name - 1);
    if (len <= 0 || !el_request_id_is_sane(conn->id, (size_t)len))
        el_request_id_make(conn->id, server->start_id, ++server->n_requests);
}

static void begin_request(el_conn *conn)
{
    char version[16];
    conn->is_asking = true;
    conn->head_is_sent = conn->is_waiting = conn->closes = conn->is_refused = false;
    conn->comes_in_chunks = conn->is_whole = false;
    conn->chunks = (el_chunks){.stage = 0};
    conn->retry_after = 0;
    conn->headers = NULL;
    name_request(conn);
    conn->text_type = "application/json";
    conn->asked_ns = el_clock_now();
    conn->body_until = conn->asked_ns + BODY_SECONDS * UINT64_C(1000000000);
    header(conn, WSI_TOKEN_HTTP, version, sizeof version);
    conn->is_chunked = strcmp(version, "HTTP/1.1") == 0;
}

/* curl waits for this before it sends a longer body. HTTP/1.0 does not know it. */
static bool go_on(const el_conn *conn)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char expected[16];
    packet p = packet_of(conn->server);
    header(conn, WSI_TOKEN_HTTP_EXPECT, expected, sizeof expected);
    if (!conn->is_chunked || strcasecmp(expected, "100-continue") != 0) return true;
    add_bytes(&p, line, sizeof line - 1);
    return lws_write(conn->wsi, p.begin, sizeof line - 1, LWS_WRITE_RAW) >= 0;
}

bool el_conn_on_head(el_conn *conn, const char *path, size_t len)
{
    el_problem problem;
    begin_request(conn);
    if (!check_head(conn, path, len, &problem)) {
        conn->is_refused = true;
        conn->closes = conn->body_left > 0 || !conn->is_framed ||
                       problem.kind == EL_PROBLEM_LENGTH || problem.kind == EL_PROBLEM_METHOD;
        el_conn_reply_problem(conn, &problem);
        return true;
    }
    conn->closes = conn->comes_in_chunks; /* libwebsockets does not see where they end */
    if (conn->route->is_post) return go_on(conn);
    conn->route->serve(conn);
    return true;
}

bool el_conn_on_upgrade(el_conn *conn, const char *path, size_t len)
{
    el_problem problem;
    begin_request(conn);
    conn->is_stream = true;
    if (check_head(conn, path, len, &problem) && el_stream_may_open(conn, &problem)) {
        conn->is_asking = false;
        conn->next_stream = 0;
        conn->text_len = 0;
        return true;
    }
    conn->closes = true;
    el_conn_reply_problem(conn, &problem);
    (void)write_text(conn);
    return false;
}

/* ---- bodies -------------------------------------------------------------------------------- */

static bool grow(el_conn *conn, size_t wanted)
{
    size_t room = conn->body_room > 0 ? conn->body_room : EL_CONN_BODY;
    while (room < wanted)
        room *= 2;
    if (room > conn->server->options->max_body) room = (size_t)conn->server->options->max_body;
    return resize_body(conn, room, el_server_shared(conn->server->options));
}

bool el_conn_keep(el_conn *conn, const char *bytes, size_t len)
{
    if (conn->body_len + len > conn->body_room && !grow(conn, conn->body_len + len)) return false;
    if (len > 0) memcpy(conn->body + conn->body_len, bytes, len);
    conn->body_len += len;
    return true;
}

/* The rest of it is thrown away. */
static void refuse_body(el_conn *conn, const el_problem *problem)
{
    el_conn_drop_body(conn);
    conn->is_refused = conn->closes = true;
    if (conn->comes_in_chunks) conn->body_left = DISCARD_MOST;
    el_conn_reply_problem(conn, problem);
}

/* False: others have all that is shared, with long bodies of theirs. */
static bool keep_body(el_conn *conn, const char *bytes, size_t len, el_problem *problem)
{
    if (el_conn_keep(conn, bytes, len)) return true;
    el_problem_set(problem, EL_PROBLEM_QUEUE, NULL,
                   "there is no room for another long body now: try again later");
    problem->retry_after = 1;
    return false;
}

/* Of one that is refused, the reply to which may be sent already. */
static bool throw_chunks_away(el_conn *conn, const char *at, const char *end)
{
    const char *piece;
    size_t len;
    el_chunk chunk;
    while ((chunk = el_chunks_next(&conn->chunks, &at, end, &piece, &len)) == EL_CHUNK_PIECE)
        conn->body_left -= len < conn->body_left ? len : conn->body_left;
    if (chunk != EL_CHUNK_NONE) conn->body_left = 0;
    return conn->body_left > 0 || conn->reply != EL_REPLY_NONE;
}

/* When it is whole it is served in the next turn of the loop: behind this one libwebsockets sets a
 * time for the rest of the body, of which it thinks that there is one. */
static bool take_chunks(el_conn *conn, const char *at, const char *end)
{
    el_problem problem;
    const char *piece;
    size_t len;
    el_chunk chunk;
    if (conn->is_whole || conn->reply != EL_REPLY_NONE) return false; /* more than one request */
    while ((chunk = el_chunks_next(&conn->chunks, &at, end, &piece, &len)) == EL_CHUNK_PIECE) {
        if (check_size(conn, conn->body_len + len, &problem) &&
            keep_body(conn, piece, len, &problem))
            continue;
        refuse_body(conn, &problem);
        return throw_chunks_away(conn, at, end);
    }
    if (chunk == EL_CHUNK_WRONG) {
        el_problem_set(&problem, EL_PROBLEM_REQUEST, NULL,
                       "the chunks of the body are not as HTTP has them");
        refuse_body(conn, &problem);
        conn->body_left = 0;
    } else if (chunk == EL_CHUNK_END) {
        conn->is_whole = true;
        lws_callback_on_writable(conn->wsi);
    }
    return at == end || conn->is_refused;
}

bool el_conn_on_body(el_conn *conn, const char *bytes, size_t len)
{
    if (el_clock_now() > conn->body_until) return false;
    if (conn->comes_in_chunks)
        return (conn->is_refused ? throw_chunks_away : take_chunks)(conn, bytes, bytes + len);
    if (conn->is_refused) { /* perhaps because nobody knows how long it is */
        conn->body_left -= len < conn->body_left ? len : conn->body_left;
        return conn->body_left <= DISCARD_MOST;
    }
    if (len > conn->body_left) return false;
    conn->body_left -= len;
    el_problem problem;
    if (!keep_body(conn, bytes, len, &problem)) refuse_body(conn, &problem);
    return true;
}

/* Since its head there was a model, and none takes requests now. */
static bool lost_its_model(const el_conn *conn, el_problem *problem)
{
    return conn->route->needs_model && conn->server->swap.is_exclusive &&
           !el_server_is_ready(conn->server, problem);
}

bool el_conn_on_body_end(el_conn *conn)
{
    el_problem problem;
    if (conn->is_refused) return conn->reply != EL_REPLY_NONE;          /* else it is sent: close */
    if (!conn->is_asking || conn->reply != EL_REPLY_NONE) return false; /* more than one request */
    conn->asked_ns = el_clock_now();
    if (lost_its_model(conn, &problem))
        el_conn_reply_problem(conn, &problem);
    else
        conn->route->serve(conn);
    if (conn->reply != EL_REPLY_BYTES) el_conn_drop_body(conn); /* these may be in its place */
    return true;
}
