/*
 * serve_web.c: the web page: web/index.html at / for browsers, what it needs at /web/NAME. They are
 * part of the program (cmake/embed.cmake). Nothing of the page comes from elsewhere, and its policy
 * lets nothing be loaded or asked elsewhere; keys are for what it asks, not for itself.
 */
#include <string.h>

#include "server/server_state.h"

extern const el_embedded el_web_index, el_web_style, el_web_theme, el_web_chat, el_web_stream,
    el_web_latency, el_web_facts, el_web_icon;

static const struct {
    const char *path;
    const el_embedded *file;
} files[] = {
    {"/", &el_web_index},
    {"/web/style.css", &el_web_style},
    {"/web/theme.js", &el_web_theme},
    {"/web/chat.js", &el_web_chat},
    {"/web/stream.js", &el_web_stream},
    {"/web/latency.js", &el_web_latency},
    {"/web/facts.js", &el_web_facts},
    {"/web/icon.svg", &el_web_icon},
};

static const el_header headers[] = {
    {"content-security-policy:",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
     "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"x-content-type-options:", "nosniff"},
    {"referrer-policy:", "no-referrer"},
    {"cache-control:", "no-cache"}, /* asked for again each time; 304 if nothing changed */
    {"vary:", "Accept"},
    {NULL, NULL},
};

static const el_embedded *find(const char *path)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(files[i].path, path) == 0) return files[i].file;
    return NULL;
}

void el_serve_web(el_conn *conn)
{
    const el_embedded *file = find(conn->route->path);
    el_problem problem;
    if (file && !conn->server->options->no_web) {
        el_conn_reply_file(conn, file, headers);
        return;
    }
    el_problem_set(&problem, EL_PROBLEM_ROUTE, NULL, "there is no %s here", conn->route->path);
    el_conn_reply_problem(conn, &problem);
}
