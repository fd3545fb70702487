/* serve_embeddings.c: POST /v1/embeddings: texts as vectors. */
#include "server/openai.h"
#include "server/request.h"

void el_serve_embeddings(el_conn *conn)
{
    static const el_endpoint endpoint = {.form = EL_ASK_EMBED,
                                         .id = "embd",
                                         .whole = &el_openai_embedding,
                                         .streamed = &el_openai_embedding};
    el_request_serve(conn, &endpoint);
}
