/* serve_api_embed.c: POST /api/embed: texts as vectors. */
#include "server/ollama.h"

void el_serve_api_embed(el_conn *conn)
{
    static const el_endpoint endpoint = {.form = EL_ASK_OLLAMA_EMBED,
                                         .id = "ollama",
                                         .whole = &el_ollama_embedding,
                                         .streamed = &el_ollama_embedding,
                                         .check = el_ollama_check};
    el_request_serve(conn, &endpoint);
}
