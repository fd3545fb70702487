/* serve_root.c: GET /: is anybody there? Clients of Ollama look at the status only. */
#include "server/server_state.h"

void el_serve_root(el_conn *conn)
{
    el_out out = el_conn_text(conn);
    el_out_text(&out, "EdgeLLM is running\n");
    conn->text_type = "text/plain";
    el_conn_reply(conn, 200, &out);
}
