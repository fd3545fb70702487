/* texts.h: what routes that turn texts into tokens and back have in common. */
#ifndef EL_SERVER_TEXTS_H
#define EL_SERVER_TEXTS_H

#include "server/conn.h"

/* Room for as many tokens as a session holds, to be freed; NULL: the reply says that there is none.
 * *room: how many. */
uint32_t *el_texts_tokens(el_conn *conn, size_t *room);

/* The reply for a status of the library that is not OK. field: what it is about. */
void el_texts_reply_error(el_conn *conn, const char *field, const edgellm_error *err);

/* A text has more tokens than a session. */
void el_texts_reply_too_long(el_conn *conn, const char *field, size_t count);

/* {NAME: the text of the tokens, names of special ones included}. */
void el_texts_reply_text(el_conn *conn, const char *name, const uint32_t *tokens, size_t count,
                         const char *field);

/* Room for a long reply; where others have all that is shared, for one of EL_CONN_BODY bytes, which
 * most are content with. */
el_out el_texts_room(el_conn *conn);

/* Sends what was written there, or says that it was too much, or too much for now. */
void el_texts_reply_long(el_conn *conn, const el_out *out);

#endif
