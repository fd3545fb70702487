/* serve_lora.c: GET /lora-adapters: the adapters that there are, by the ids that requests use, with
 * the scales of those requests that say nothing. Of their paths only the last part is told. */
#include <string.h>

#include "server/server_state.h"

void el_serve_lora(el_conn *conn)
{
    const edgellm_engine_options *engine = &conn->server->options->engine;
    el_out out = el_conn_text(conn);
    el_out_text(&out, "[");
    for (uint32_t i = 0; i < engine->n_adapters; i++) {
        const char *path = engine->adapters[i].path, *slash = strrchr(path, '/');
        el_out_print(&out, "%s{\"id\":%u,\"path\":", i == 0 ? "" : ",", i);
        el_out_string(&out, slash ? slash + 1 : path);
        el_out_text(&out, ",\"scale\":");
        el_out_real(&out, (double)engine->adapters[i].scale);
        el_out_text(&out, "}");
    }
    el_out_text(&out, "]");
    el_conn_reply(conn, 200, &out);
}
