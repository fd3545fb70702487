/* serve_api_version.c: GET /api/version: ours, and whose it is. */
#include "server/server_state.h"

void el_serve_api_version(el_conn *conn)
{
    el_out out = el_conn_text(conn);
    el_out_text(&out, "{\"version\":\"" EDGELLM_VERSION "+edgellm\"}");
    el_conn_reply(conn, 200, &out);
}
