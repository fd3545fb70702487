/* serve_api_tags.c: GET /api/tags: the one model there is. */
#include "server/ollama.h"
#include "server/server_state.h"

void el_serve_api_tags(el_conn *conn)
{
    const el_server *server = conn->server;
    el_out out = el_conn_text(conn);
    el_out_text(&out, "{\"models\":[");
    el_ollama_write_entry(server, server->now->info.file_bytes, &out);
    el_out_text(&out, "\"modified_at\":");
    el_ollama_write_time(el_ollama_modified(server), &out);
    el_out_text(&out, ",");
    el_ollama_write_details(server, &out);
    el_out_text(&out, "}]}");
    el_conn_reply(conn, 200, &out);
}
