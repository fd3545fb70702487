/*
 * stream.c: a question to `edgellm serve` over its WebSocket, with libwebsockets; the answer's
 * messages are printed as they come, one a line: what one does with their JSON is up to its parser.
 *
 *     cc -o stream stream.c $(pkg-config --cflags --libs libwebsockets)
 *     ./stream 127.0.0.1 11435 "Why is the sky blue?"
 *
 * A key, if the server wants one: EDGELLM_API_KEY.
 */
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUEST = 4096, MESSAGE = 16384 };

typedef struct client {
    unsigned char request[LWS_PRE + REQUEST];
    size_t request_len;
    char message[MESSAGE]; /* as much of one as has come */
    size_t len;
    int result; /* 1: it goes on */
} client;

/* The inside of a JSON string. Returns false if there is no room. */
static int put_escaped(char *to, size_t room, const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        const int plain = *text != '"' && *text != '\\' && (unsigned char)*text >= 0x20;
        const int more = snprintf(to + n, room - n, plain ? "%c" : "\\u%04x", *text);
        if (more < 0 || (size_t)more >= room - n) return 0;
        n += (size_t)more;
    }
    return 1;
}

static int make_request(client *c, const char *question)
{
    char text[REQUEST / 2];
    char *at = (char *)c->request + LWS_PRE;
    if (!put_escaped(text, sizeof text, question)) return 0;
    c->request_len = (size_t)snprintf(
        at, REQUEST,
        "{\"type\":\"request\",\"id\":\"q\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}",
        text);
    return 1;
}

/* The key goes with the request for the WebSocket; *at is where headers end so far. */
static int add_key(struct lws *wsi, unsigned char **at, size_t room)
{
    static const unsigned char name[] = "Authorization:";
    char value[256];
    const char *key = getenv("EDGELLM_API_KEY");
    if (key == NULL) return 0;
    const int n = snprintf(value, sizeof value, "Bearer %s", key);
    if (n < 0 || (size_t)n >= sizeof value) return -1;
    return lws_add_http_header_by_name(wsi, name, (const unsigned char *)value, n, at, *at + room);
}

/* One message is whole. */
static void take(client *c)
{
    static const char done[] = "{\"type\":\"done\"", error[] = "{\"type\":\"error\"";
    printf("%.*s\n", (int)c->len, c->message);
    if (c->len > sizeof done && memcmp(c->message, done, sizeof done - 1) == 0) c->result = 0;
    if (c->len > sizeof error && memcmp(c->message, error, sizeof error - 1) == 0) c->result = 2;
    c->len = 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    client *c = lws_context_user(lws_get_context(wsi));
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return add_key(wsi, in, len) ? -1 : 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE: {
        const size_t n = c->request_len;
        c->request_len = 0;
        if (n == 0) return 0;
        return lws_write(wsi, c->request + LWS_PRE, n, LWS_WRITE_TEXT) < (int)n ? -1 : 0;
    }
    case LWS_CALLBACK_CLIENT_RECEIVE:
        if (len > sizeof c->message - c->len) return -1;
        memcpy(c->message + c->len, in, len);
        c->len += len;
        if (lws_is_final_fragment(wsi)) take(c);
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        fprintf(stderr, "no connection: %.*s\n", (int)len, in ? (const char *)in : "");
        c->result = 3;
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        if (c->result == 1) c->result = 3;
        return 0;
    default:
        return 0;
    }
}

int main(int argc, char **argv)
{
    static client c = {.result = 1};
    static const struct lws_protocols protocols[] = {
        {.name = "edgellm.v1", .callback = on_event, .rx_buffer_size = 4096}, {.name = NULL}};
    const struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN, .protocols = protocols, .user = &c, .gid = -1, .uid = -1};
    if (argc != 4 || !make_request(&c, argv[3])) {
        fprintf(stderr, "usage: stream HOST PORT QUESTION\n");
        return 2;
    }
    lws_set_log_level(0, NULL);
    struct lws_context *context = lws_create_context(&info);
    if (!context) return 3;
    const struct lws_client_connect_info to = {.context = context,
                                               .address = argv[1],
                                               .port = atoi(argv[2]),
                                               .path = "/v1/stream",
                                               .host = argv[1],
                                               .protocol = protocols[0].name};
    if (!lws_client_connect_via_info(&to)) c.result = 3;
    while (c.result == 1 && lws_service(context, 0) >= 0) {
    }
    lws_context_destroy(context);
    return c.result;
}
