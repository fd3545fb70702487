/* serve_openapi.c: GET /openapi.json: all routes with their fields, as OpenAPI 3.1 describes them.
 */
#include "server/embedded.h"
#include "server/server_state.h"

void el_serve_openapi(el_conn *conn)
{
    const el_embedded *file = &el_embedded_openapi;
    conn->text_type = file->type;
    el_conn_reply_bytes(conn, 200, (const char *)file->bytes, file->len);
}
