/* openai.h: how answers look in OpenAI's interface. */
#ifndef EL_SERVER_OPENAI_H
#define EL_SERVER_OPENAI_H

#include "server/answer.h"

extern const el_wire el_openai_chat, el_openai_chat_stream;
extern const el_wire el_openai_completion, el_openai_completion_stream;

#endif
