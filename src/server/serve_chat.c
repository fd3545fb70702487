/* serve_chat.c: POST /v1/chat/completions: messages, laid out by the model's chat template. */
#include "server/openai.h"

void el_serve_chat(el_conn *conn)
{
    el_openai_serve(conn, EL_ASK_CHAT);
}
