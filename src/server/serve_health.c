/* serve_health.c: GET /health: is the model there? As llama.cpp's server tells it. */
#include "server/server_state.h"

void el_serve_health(el_conn *conn)
{
    el_problem problem;
    if (!el_server_is_ready(conn->server, &problem)) {
        el_conn_reply_problem(conn, &problem);
        return;
    }
    el_out out = el_conn_text(conn);
    el_out_text(&out, "{\"status\":\"ok\"}");
    el_conn_reply(conn, 200, &out);
}
