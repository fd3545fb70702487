/* serve_models.c: GET /v1/models and /v1/models/{model}: the one model there is, and the memory it
 * was given. */
#include <inttypes.h>

#include "server/server_state.h"

/* In bytes, of all sessions. */
static void write_memory(const edgellm_memory_plan *m, el_out *out)
{
    const struct {
        const char *name;
        uint64_t bytes;
    } parts[] = {{"weights", m->weights}, {"tables", m->tables},   {"kv_cache", m->kv_cache},
                 {"scratch", m->scratch}, {"threads", m->threads}, {"program", m->program}};
    uint64_t server = m->total; /* what is left of it */
    el_out_print(out, ",\"memory\":{\"total\":%" PRIu64, m->total);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        el_out_print(out, ",\"%s\":%" PRIu64, parts[i].name, parts[i].bytes);
        server -= parts[i].bytes;
    }
    el_out_print(out, ",\"server\":%" PRIu64 "}", server);
}

static void write_model(const el_server *server, el_out *out)
{
    const edgellm_model_info *info = &server->now->info;
    el_out_text(out, "{\"id\":");
    el_out_string(out, server->model);
    el_out_print(out, ",\"object\":\"model\",\"created\":%" PRId64 ",\"owned_by\":\"edgellm\"",
                 server->started);
    el_out_text(out, ",\"meta\":{\"architecture\":");
    el_out_string(out, info->architecture);
    el_out_print(out,
                 ",\"n_vocab\":%u,\"n_ctx\":%u,\"n_ctx_train\":%u,\"n_embd\":%u,\"n_params\":"
                 "%" PRIu64 ",\"size\":%" PRIu64
                 ",\"kernel\":\"%s\",\"n_threads\":%u,\"n_sessions\":%u",
                 info->vocab, server->now->memory.context, info->context_trained, info->dim,
                 info->parameters, info->file_bytes, info->kernel, server->now->memory.n_threads,
                 server->options->sessions);
    write_memory(&server->now->memory, out);
    el_out_text(out, "}}");
}

void el_serve_models(el_conn *conn)
{
    el_out out = el_conn_text(conn);
    el_out_text(&out, "{\"object\":\"list\",\"data\":[");
    write_model(conn->server, &out);
    el_out_text(&out, "]}");
    el_conn_reply(conn, 200, &out);
}

void el_serve_model(el_conn *conn)
{
    el_out out = el_conn_text(conn);
    write_model(conn->server, &out);
    el_conn_reply(conn, 200, &out);
}
