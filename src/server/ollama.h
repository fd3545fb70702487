/* ollama.h: what the endpoints of Ollama's interface share. */
#ifndef EL_SERVER_OLLAMA_H
#define EL_SERVER_OLLAMA_H

#include "server/request.h"

extern const el_wire el_ollama_chat, el_ollama_chat_stream;
extern const el_wire el_ollama_generate, el_ollama_generate_stream;
extern const el_wire el_ollama_embedding; /* embedding_wire.c */

/* {"model":NAME,"created_at":TIME, and nothing more yet. */
void el_ollama_write_head(const char *model, int64_t created, el_out *out);

/* A string: seconds since 1970 as RFC 3339 has it. */
void el_ollama_write_time(int64_t seconds, el_out *out);

/* What all entries of a list of models begin with: {"name", "model", "digest", "size". */
void el_ollama_write_entry(const el_server *server, uint64_t size, el_out *out);

/* "details":{...} */
void el_ollama_write_details(const el_server *server, el_out *out);

/* When the model's file was made, in seconds since 1970. */
int64_t el_ollama_modified(const el_server *server);

/* el_endpoint.check: is it this model, and is its context long enough? */
bool el_ollama_check(const el_server *server, el_ask *ask, el_problem *problem);

/* Nothing was asked for: the model is there. `empty`: the answer's text, as its endpoint has it. */
void el_ollama_reply_loaded(el_conn *conn, const char *empty);

#endif
