/*
 * routes.h: what can be asked for. One const table; a new endpoint is a file with its function and
 * a row of it.
 */
#ifndef EL_SERVER_ROUTES_H
#define EL_SERVER_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/problem.h"

#define EL_STREAM_PATH "/v1/stream" /* a WebSocket (stream.h) */

typedef struct el_conn el_conn;

typedef struct el_route {
    const char *path; /* "{id}" at its end: a number; "{model}": the name of the model */
    bool is_post;     /* it has a body of JSON; else it is GET */
    bool needs_key;   /* where there are keys */
    bool needs_model; /* 503 while it is loaded, and while the server shuts down */
    /* Called when all of the request is there; it gives one reply (conn.h). */
    void (*serve)(el_conn *conn);
    /* How its errors look. NULL: as OpenAI's. */
    void (*write_problem)(const el_problem *problem, el_out *out);
} el_route;

/* NULL: there is none. *number: where its path has one. */
const el_route *el_route_find(const char *path, size_t len, uint32_t *number);

/* Each, by its number from 0 on; NULL: no more. */
const el_route *el_route_at(size_t number);

void el_serve_health(el_conn *conn);
void el_serve_metrics(el_conn *conn);
void el_serve_openapi(el_conn *conn);
void el_serve_models(el_conn *conn);
void el_serve_model(el_conn *conn);
void el_serve_chat(el_conn *conn);
void el_serve_completions(el_conn *conn);
void el_serve_embeddings(el_conn *conn);
void el_serve_stream(el_conn *conn);
void el_serve_slots(el_conn *conn);
void el_serve_slot(el_conn *conn);
void el_serve_lora(el_conn *conn);
void el_serve_props(el_conn *conn);
void el_serve_tokenize(el_conn *conn);
void el_serve_detokenize(el_conn *conn);
void el_serve_apply_template(el_conn *conn);
void el_serve_root(el_conn *conn);
void el_serve_web(el_conn *conn);
void el_serve_api_version(el_conn *conn);
void el_serve_api_tags(el_conn *conn);
void el_serve_api_show(el_conn *conn);
void el_serve_api_ps(el_conn *conn);
void el_serve_api_generate(el_conn *conn);
void el_serve_api_chat(el_conn *conn);
void el_serve_api_embed(el_conn *conn);

#endif
