/* serve_api_ps.c: GET /api/ps: the model is loaded, with all its sessions, and stays so. */
#include "server/ollama.h"
#include "server/server_state.h"

#define NEVER "9999-01-01T00:00:00Z" /* a date for those who want one */

void el_serve_api_ps(el_conn *conn)
{
    const el_server *server = conn->server;
    const edgellm_memory_plan *memory = &server->now->memory;
    el_out out = el_conn_text(conn);
    el_out_text(&out, "{\"models\":[");
    el_ollama_write_entry(server, memory->total, &out);
    el_ollama_write_details(server, &out);
    el_out_print(&out, ",\"expires_at\":\"" NEVER "\",\"size_vram\":0,\"context_length\":%u}]}",
                 memory->context);
    el_conn_reply(conn, 200, &out);
}
