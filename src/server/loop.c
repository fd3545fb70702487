#include "server/loop.h"

#include <libwebsockets.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "server/server_state.h"
#include "server/stream.h"
#include "server/tls.h"

enum {
    HEAD_BYTES = 8192,    /* of a request */
    HEAD_SECONDS = 20,    /* for a request's head, and between pieces of its body */
    IDLE_SECONDS = 60,    /* between requests */
    OTHER_FILES = 16,     /* beside connections: signals, events, what libwebsockets has */
    SPARE_FILES = 48,     /* that whoever started it may have left open, where they are permitted */
    CHUNK_FRAME = 32,     /* bytes around a piece of an answer */
    MESSAGE_PIECE = 1024, /* bytes of a message that are looked at at once */
    ACCEPTED_MOST = 16,   /* connections taken in before anything else is looked at */
    MANY_OPEN = 1000, /* connections from which on the network rests, where it shares its core, */
    RESTS = 3,        /* so many times as long as it was busy, */
    REST_MOST_NS = 20000000 /* and no longer than that */
};

static el_server *server_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/* ---- what both threads have ---------------------------------------------------------------- */

void el_loop_enter(el_server *server)
{
    if (server->depth++ == 0) pthread_mutex_lock(&server->lock);
}

void el_loop_leave(el_server *server)
{
    if (--server->depth == 0) pthread_mutex_unlock(&server->lock);
}

/* Of all that there is to send. False: some of it is the network's to do. */
static bool send_all(el_server *server)
{
    bool all = server->n_streams == 0 && !server->owed.to;
    for (uint32_t i = 0; i < el_server_tasks(server->options); i++)
        if (server->asking[i]) all &= el_conn_send(server->asking[i]);
    return all;
}

void el_loop_show(void *context)
{
    el_server *server = context;
    bool all = false;
    if (server->shares_core && pthread_mutex_trylock(&server->lock) == 0) {
        all = send_all(server);
        pthread_mutex_unlock(&server->lock);
    }
    if (!all) el_loop_wake(server);
}

/* ---- connections --------------------------------------------------------------------------- */

static int verdict(bool goes_on)
{
    return goes_on ? 0 : -1;
}

/* To a WebSocket, at one path; anything else ends the connection. */
static int upgrade(struct lws *wsi, el_conn *conn, const char *to)
{
    static const char path[] = EL_STREAM_PATH;
    char *uri;
    int len;
    if (strcasecmp(to, "websocket") == 0 &&
        lws_http_get_uri_and_method(wsi, &uri, &len) == LWSHUMETH_GET &&
        (size_t)len == sizeof path - 1 && memcmp(uri, path, sizeof path - 1) == 0)
        return verdict(el_conn_on_upgrade(conn, uri, (size_t)len));
    (void)lws_return_http_status(wsi, HTTP_STATUS_BAD_REQUEST, "HTTP/1.1 without upgrade, please");
    return -1;
}

static void look_at_all(el_server *server)
{
    if (server->now) el_tasks_sweep(&server->now->tasks);
    if (server->earlier) el_tasks_sweep(&server->earlier->tasks);
    el_server_look_at_slots(server);
    for (uint32_t i = 0; i < el_server_tasks(server->options); i++)
        if (server->asking[i]) el_conn_look(server->asking[i]);
    el_streams_look(server);
}

static void closed(struct lws *wsi, el_conn *conn)
{
    if (!conn || conn->wsi != wsi) return;
    el_server *server = conn->server;
    const uint32_t place = (uint32_t)(conn - server->conns);
    lws_set_opaque_user_data(wsi, NULL);
    el_conn_on_close(conn);
    server->n_open--;
    if (place < server->first_free) server->first_free = place;
    /* Perhaps the last that was waited for; who is closed by a timer wakes nobody. */
    if (server->is_draining && !server->is_over) el_loop_wake(server);
}

static int on_connection(struct lws *wsi, el_conn *conn, enum lws_callback_reasons reason,
                         const char *in, size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        conn->wsi = wsi;
        conn->server->n_open++;
        return 0;
    case LWS_CALLBACK_HTTP:
        return verdict(el_conn_on_head(conn, in, len));
    case LWS_CALLBACK_HTTP_BODY:
        return verdict(el_conn_on_body(conn, in, len));
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return verdict(el_conn_on_body_end(conn));
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return verdict(el_conn_on_writable(conn));
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return upgrade(wsi, conn, in);
    case LWS_CALLBACK_RECEIVE:
        return verdict(el_stream_on_message(conn, in, len));
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        el_stream_on_farewell(conn, in, len);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return verdict(el_stream_on_writable(conn));
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_WSI_DESTROY:
        closed(wsi, conn);
        return 0;
    default:
        return 0;
    }
}

static int on_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len)
{
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
        if (server_of(wsi)->tls) el_tls_use(server_of(wsi)->tls, user);
        return 0;
    }
    el_conn *conn = lws_get_opaque_user_data(wsi);
    if (!conn) return 0;
    el_server *server = conn->server;
    el_loop_enter(server);
    const int result = on_connection(wsi, conn, reason, in, len);
    el_loop_leave(server);
    return result;
}

/* ---- the listening socket ------------------------------------------------------------------ */

static el_conn *free_conn(el_server *server)
{
    const uint32_t n = server->options->connections;
    while (server->first_free < n && server->conns[server->first_free].wsi)
        server->first_free++;
    return server->first_free < n ? &server->conns[server->first_free] : NULL;
}

/* More than there is room for: a word, if it goes out at once. */
static void turn_away(int fd)
{
    static const char words[] = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"
                                "content-length: 0\r\nconnection: close\r\n\r\n";
    (void)send(fd, words, sizeof words - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

/* What is said in plain text on a port with TLS is no handshake, and ends there. */
static lws_adoption_type type_of(const el_server *server)
{
    const lws_adoption_type plain = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP;
    return server->tls ? plain | LWS_ADOPT_ALLOW_SSL : plain;
}

static void take_in(el_server *server, int fd)
{
    el_conn *conn = free_conn(server);
    if (!conn) {
        server->metrics.turned_away++;
        if (server->tls)
            close(fd); /* a word would take a handshake */
        else
            turn_away(fd);
        return;
    }
    const lws_adopt_desc_t taken = {
        .vh = server->vhost, .type = type_of(server), .fd.sockfd = fd, .opaque = conn};
    conn->server = server;
    server->metrics.connections++;
    el_peer_name(fd, conn->peer, sizeof conn->peer);
    (void)lws_adopt_descriptor_vhost_via_info(&taken); /* if it fails the socket is closed */
}

static int on_listener(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                       size_t len)
{
    (void)user, (void)in, (void)len;
    if (reason != LWS_CALLBACK_RAW_RX_FILE) return 0;
    el_server *server = server_of(wsi);
    el_loop_enter(server);
    for (int i = 0; i < ACCEPTED_MOST; i++) {
        const int fd = el_listener_accept(&server->listener);
        if (fd < 0) break;
        take_in(server, fd);
    }
    el_loop_leave(server);
    return 0;
}

/* ---- signals ------------------------------------------------------------------------------- */

static int on_signal(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    struct signalfd_siginfo signal;
    (void)user, (void)in, (void)len;
    if (reason != LWS_CALLBACK_RAW_RX_FILE) return 0;
    el_server *server = server_of(wsi);
    if (read(server->signals, &signal, sizeof signal) != (ssize_t)sizeof signal) return 0;
    el_loop_enter(server);
    if (signal.ssi_signo == SIGHUP)
        el_server_look_again(server);
    else
        el_server_drain(server);
    el_loop_leave(server);
    return 0;
}

/* ---- the thread that computes -------------------------------------------------------------- */

/* All protocols hear of it: one that has this alone, or each token would be looked for twice. */
static int on_wake(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len)
{
    (void)user, (void)in, (void)len;
    if (reason != LWS_CALLBACK_EVENT_WAIT_CANCELLED) return 0;
    el_server *server = server_of(wsi);
    el_loop_enter(server);
    look_at_all(server);
    el_loop_leave(server);
    return 0;
}

/* ---- the loop ------------------------------------------------------------------------------ */

/* What a WebSocket asks for is looked up among these names: no client can ask for one with a space.
 * The first is also that of a WebSocket that asks for none. */
static const struct lws_protocols protocols[] = {
    {.name = "a request", .callback = on_http, .rx_buffer_size = MESSAGE_PIECE},
    {.name = "edgellm.v1", .callback = on_http, .rx_buffer_size = MESSAGE_PIECE},
    {.name = "the listener", .callback = on_listener},
    {.name = "the signals", .callback = on_signal},
    {.name = "the wakes", .callback = on_wake},
    {.name = NULL},
};

static bool watch(const el_server *server, int fd, const char *protocol)
{
    lws_sock_file_fd_type file = {.filefd = fd};
    return lws_adopt_descriptor_vhost(server->vhost, LWS_ADOPT_RAW_FILE_DESC, file, protocol,
                                      NULL) != NULL;
}

static struct lws_context_creation_info info_of(el_server *server, unsigned files)
{
    const uint64_t tls =
        LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
    return (struct lws_context_creation_info){
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .user = server,
        .gid = -1,
        .uid = -1,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | (server->tls ? tls : 0),
        .alpn = "http/1.1",
        .server_string = "edgellm",
        .max_http_header_data2 = HEAD_BYTES,
        .max_http_header_pool2 = server->options->connections,
        .fd_limit_per_thread = files,
        .timeout_secs = HEAD_SECONDS,
        .timeout_secs_ah_idle = HEAD_SECONDS,
        .keepalive_timeout = IDLE_SECONDS,
        .retry_and_idle_policy = server->heart,
    };
}

/* A file for each connection must be there before the first. No more are permitted either: where
 * libwebsockets is told of fewer than the system's bound, it looks through all connections for each
 * event of one. */
static edgellm_status permit_files(const el_server *server, unsigned *files, edgellm_error *err)
{
    struct rlimit limit = {0};
    const rlim_t wanted = server->options->connections + OTHER_FILES, many = wanted + SPARE_FILES;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    const rlim_t had = limit.rlim_cur;
    limit.rlim_cur = many < limit.rlim_max ? many : limit.rlim_max;
    *files = (unsigned)limit.rlim_cur;
    if (wanted <= limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) == 0) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_IO,
                   "%u connections need %llu open files, %llu are permitted: fewer --connections, "
                   "or more files (ulimit -n)",
                   server->options->connections, (unsigned long long)wanted,
                   (unsigned long long)had);
}

/* WebSockets are asked whether they are there; who gives no answer to two of these is not. */
static void *make_heart(uint32_t seconds)
{
    lws_retry_bo_t *heart = calloc(1, sizeof *heart);
    if (!heart) return NULL;
    heart->secs_since_valid_ping = (uint16_t)seconds;
    heart->secs_since_valid_hangup = (uint16_t)(2 * seconds);
    return heart;
}

edgellm_status el_loop_open(el_server *server, edgellm_error *err)
{
    unsigned files;
    EL_TRY(permit_files(server, &files, err));
    server->heart = make_heart(server->options->heartbeat_s);
    const struct lws_context_creation_info info = info_of(server, files);
    lws_set_log_level(0, NULL);
    server->out = malloc(LWS_PRE + EL_LOOP_HEAD + CHUNK_FRAME + EL_SERVER_OUT);
    server->owed.room = calloc(1, LWS_PRE + CHUNK_FRAME + EL_SERVER_OUT);
    server->timer = calloc(1, sizeof(lws_sorted_usec_list_t));
    if (!server->out || !server->owed.room || !server->timer || !server->heart)
        return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for what is sent");
    server->context = lws_create_context(&info);
    server->vhost = server->context ? lws_create_vhost(server->context, &info) : NULL;
    if (server->vhost && watch(server, server->listener.fd, "the listener") &&
        watch(server, server->signals, "the signals"))
        return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY,
                   "libwebsockets cannot start: no memory, or too few "
                   "files may be open (ulimit -n)");
}

static uint64_t busy_ns(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* Each event of one connection takes time for all of them, of poll() and of libwebsockets' list of
 * timers: thousands that are idle, but for their pings, would take the core from the thread that
 * computes. What comes meanwhile is dealt with together. */
static void rest(uint64_t busy)
{
    const uint64_t ns = RESTS * busy < REST_MOST_NS ? RESTS * busy : REST_MOST_NS;
    const struct timespec some = {.tv_nsec = (long)ns};
    (void)nanosleep(&some, NULL);
}

void el_loop_step(el_server *server)
{
    const bool rests = server->shares_core && server->n_open >= MANY_OPEN;
    const uint64_t before = rests ? busy_ns() : 0;
    (void)lws_service(server->context, 0);
    if (rests) rest(busy_ns() - before);
}

void el_loop_wake(void *server)
{
    lws_cancel_service(((el_server *)server)->context);
}

bool el_loop_is_quiet(const el_server *server)
{
    for (uint32_t i = 0; i < server->options->connections; i++) {
        const el_conn *conn = &server->conns[i];
        if (conn->wsi && (conn->is_asking || conn->is_stream || lws_partial_buffered(conn->wsi)))
            return false;
    }
    return true;
}

/* Waking is all. */
static void on_time(lws_sorted_usec_list_t *timer)
{
    (void)timer;
}

void el_loop_wake_at(el_server *server, uint64_t ns)
{
    const uint64_t now = el_clock_now();
    const lws_usec_t us = ns > now ? (lws_usec_t)((ns - now) / 1000 + 1) : 1;
    lws_sul_schedule(server->context, 0, server->timer, on_time, us);
}

void el_loop_close(el_server *server)
{
    if (server->context) lws_context_destroy(server->context);
    free(server->timer);
    free(server->heart);
    free(server->owed.room);
    free(server->out);
}
