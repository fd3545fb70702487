/* serve_models.c: GET /v1/models: the one model there is. */
#include <inttypes.h>

#include "server/server_state.h"

void el_serve_models(el_conn *conn)
{
    const el_server *server = conn->server;
    const edgellm_model_info *info = &server->compute.info;
    el_out out = el_conn_text(conn);
    el_out_text(&out, "{\"object\":\"list\",\"data\":[{\"id\":");
    el_out_string(&out, server->model);
    el_out_print(&out, ",\"object\":\"model\",\"created\":%" PRId64 ",\"owned_by\":\"edgellm\"",
                 server->started);
    el_out_text(&out, ",\"meta\":{\"architecture\":");
    el_out_string(&out, info->architecture);
    el_out_print(&out,
                 ",\"n_vocab\":%u,\"n_ctx\":%u,\"n_ctx_train\":%u,\"n_embd\":%u,\"n_params\":"
                 "%" PRIu64 ",\"size\":%" PRIu64 "}}]}",
                 info->vocab, server->compute.memory.context, info->context_trained, info->dim,
                 info->parameters, info->file_bytes);
    el_conn_reply(conn, 200, &out);
}
