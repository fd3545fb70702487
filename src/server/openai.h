/* openai.h: how answers look in OpenAI's interface. */
#ifndef EL_SERVER_OPENAI_H
#define EL_SERVER_OPENAI_H

#include "server/answer.h"

extern const el_wire el_openai_chat, el_openai_chat_stream;
extern const el_wire el_openai_completion, el_openai_completion_stream;
extern const el_wire el_openai_embedding; /* embedding_wire.c */

/* Members that an answer ends with: "usage", if wanted, "timings" and "deadline", if there is one.
 */
void el_openai_write_end(const el_answer *answer, bool usage, el_out *out);

/* What a call begins with, behind its brace and up to its arguments, which are a string. */
void el_openai_write_call(const el_answer *answer, const el_calls *calls, el_out *out);

/* ,"logits_hash":..., of an answer that has ended, if it is wanted. */
void el_openai_write_hash(const el_answer *answer, el_out *out);

#endif
