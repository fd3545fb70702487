/* serve_api_chat.c: POST /api/chat: messages, laid out by the model's chat template. */
#include "server/ollama.h"

static void reply(el_conn *conn)
{
    el_ollama_reply_loaded(conn, "\"message\":{\"role\":\"assistant\",\"content\":\"\"}");
}

void el_serve_api_chat(el_conn *conn)
{
    static const el_endpoint endpoint = {.form = EL_ASK_OLLAMA_CHAT,
                                         .id = "ollama",
                                         .whole = &el_ollama_chat,
                                         .streamed = &el_ollama_chat_stream,
                                         .check = el_ollama_check,
                                         .reply = reply};
    el_request_serve(conn, &endpoint);
}
