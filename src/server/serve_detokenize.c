/* serve_detokenize.c: POST /detokenize: the text of tokens. */
#include <stdlib.h>

#include "server/request.h"
#include "server/server_state.h"
#include "server/texts.h"

static const char field[] = "tokens";

static void reply(el_conn *conn)
{
    const json_t *ids = conn->server->ask.ids;
    size_t room;
    const size_t count = json_array_size(ids);
    uint32_t *tokens = el_texts_tokens(conn, &room);
    if (!tokens) return;
    for (size_t i = 0; i < count && i < room; i++)
        tokens[i] = (uint32_t)json_number_value(json_array_get(ids, i));
    if (count > room)
        el_texts_reply_too_long(conn, field, count);
    else
        el_texts_reply_text(conn, "content", tokens, count, field);
    free(tokens);
}

void el_serve_detokenize(el_conn *conn)
{
    static const el_endpoint endpoint = {.form = EL_ASK_DETOKENIZE, .reply = reply};
    el_request_serve(conn, &endpoint);
}
