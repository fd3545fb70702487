/* openai.h: what the endpoints of OpenAI's interface share. */
#ifndef EL_SERVER_OPENAI_H
#define EL_SERVER_OPENAI_H

#include "server/ask.h"
#include "server/conn.h"

/* Reads the body, lays the tokens out, hands the task over, and makes the reply. */
void el_openai_serve(el_conn *conn, el_ask_form form);

extern const el_wire el_openai_chat, el_openai_chat_stream;
extern const el_wire el_openai_completion, el_openai_completion_stream;

#endif
