/* serve_chat.c: POST /v1/chat/completions: messages, laid out by the model's chat template. */
#include "server/openai.h"
#include "server/request.h"

void el_serve_chat(el_conn *conn)
{
    static const el_endpoint endpoint = {.form = EL_ASK_CHAT,
                                         .id = "chatcmpl",
                                         .whole = &el_openai_chat,
                                         .streamed = &el_openai_chat_stream};
    el_request_serve(conn, &endpoint);
}
