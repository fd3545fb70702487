/* serve_stream.c: GET /v1/stream without an upgrade: what it wants. With one: stream.h. */
#include "server/conn.h"

void el_serve_stream(el_conn *conn)
{
    el_problem problem;
    el_problem_set(&problem, EL_PROBLEM_UPGRADE, NULL,
                   "%s is a WebSocket: it is opened with Upgrade: websocket", EL_STREAM_PATH);
    el_conn_reply_problem(conn, &problem);
}
