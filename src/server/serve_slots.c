/* serve_slots.c: GET /slots: what each session holds, as of the last turn. Nothing of its text. */
#include "server/server_state.h"

void el_serve_slots(el_conn *conn)
{
    const el_server *server = conn->server;
    const el_slots *slots = &server->now->slots;
    el_out out = el_conn_text(conn);
    for (uint32_t i = 0; i < server->options->sessions; i++)
        el_out_print(&out,
                     "%s{\"id\":%u,\"n_ctx\":%u,\"is_processing\":%s,\"n_past\":%u,\"cache_n\":%u}",
                     i == 0 ? "[" : ",", i, server->now->memory.context,
                     atomic_load(&slots->seen[i].is_taken) ? "true" : "false",
                     atomic_load(&slots->seen[i].tokens), atomic_load(&slots->seen[i].held));
    el_out_text(&out, "]");
    el_conn_reply(conn, 200, &out);
}
