/* serve_root.c: GET /: is anybody there? Browsers get the page; clients of Ollama look at the
 * status only. */
#include "server/server_state.h"

void el_serve_root(el_conn *conn)
{
    if (!conn->server->options->no_web && el_conn_wants_html(conn)) {
        el_serve_web(conn);
        return;
    }
    el_out out = el_conn_text(conn);
    el_out_text(&out, "EdgeLLM is running\n");
    conn->text_type = "text/plain";
    el_conn_reply(conn, 200, &out);
}
