/* serve_apply_template.c: POST /apply-template: messages as the chat template lays them out, up to
 * the beginning of the answer. What reads as a special token in a message is text there, too. */
#include <stdlib.h>

#include "server/request.h"
#include "server/server_state.h"
#include "server/texts.h"

static const char field[] = "messages";

static void reply(el_conn *conn)
{
    const el_ask *ask = &conn->server->ask;
    edgellm_error err;
    size_t room, count;
    uint32_t *tokens = el_texts_tokens(conn, &room);
    if (!tokens) return;
    if (edgellm_chat_prompt(conn->server->now->engine, ask->messages, ask->n_messages,
                            EDGELLM_CHAT_OPEN_ANSWER, tokens, room, &count, &err) != EDGELLM_OK)
        el_texts_reply_error(conn, field, &err);
    else if (count > room)
        el_texts_reply_too_long(conn, field, count);
    else
        el_texts_reply_text(conn, "prompt", tokens, count, field);
    free(tokens);
}

void el_serve_apply_template(el_conn *conn)
{
    static const el_endpoint endpoint = {.form = EL_ASK_TEMPLATE, .reply = reply};
    el_request_serve(conn, &endpoint);
}
