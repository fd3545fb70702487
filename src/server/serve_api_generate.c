/* serve_api_generate.c: POST /api/generate: a prompt, laid out by the model's chat template unless
 * it is raw. */
#include "server/ollama.h"

static void reply(el_conn *conn)
{
    el_ollama_reply_loaded(conn, "\"response\":\"\"");
}

void el_serve_api_generate(el_conn *conn)
{
    static const el_endpoint endpoint = {.form = EL_ASK_OLLAMA_GENERATE,
                                         .id = "ollama",
                                         .whole = &el_ollama_generate,
                                         .streamed = &el_ollama_generate_stream,
                                         .check = el_ollama_check,
                                         .reply = reply};
    el_request_serve(conn, &endpoint);
}
