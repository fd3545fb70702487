/* serve_tokenize.c: POST /tokenize: the tokens of a text, if wanted with what each says. */
#include <stdlib.h>

#include "server/request.h"
#include "server/server_state.h"
#include "server/texts.h"
#include "token/chars.h"

static const char field[] = "content";

static bool is_text(const char *bytes, size_t len)
{
    uint32_t code;
    for (size_t i = 0; i < len;) {
        const int n = el_chars_decode((const uint8_t *)bytes + i, len - i, &code);
        if (n <= 0) return false;
        i += (size_t)n;
    }
    return true;
}

/* A part of a character is a list of bytes, as llama.cpp's server has it. */
static void write_piece(const edgellm_engine *engine, uint32_t token, el_out *out)
{
    char piece[EDGELLM_STREAM_BYTES];
    edgellm_error err;
    size_t len = 0;
    (void)edgellm_detokenize(engine, &token, 1, true, piece, sizeof piece, &len, &err);
    if (len > sizeof piece) len = sizeof piece;
    el_out_print(out, "{\"id\":%u,\"piece\":", token);
    if (is_text(piece, len)) {
        el_out_text(out, "\"");
        el_out_escaped(out, piece, len);
        el_out_text(out, "\"}");
        return;
    }
    for (size_t i = 0; i < len; i++)
        el_out_print(out, "%c%u", i == 0 ? '[' : ',', (unsigned char)piece[i]);
    el_out_text(out, "]}");
}

static void reply_tokens(el_conn *conn, const uint32_t *tokens, size_t count)
{
    const el_server *server = conn->server;
    el_out out = el_texts_room(conn);
    el_out_text(&out, "{\"tokens\":[");
    for (size_t i = 0; i < count && !out.is_full; i++) {
        if (i > 0) el_out_text(&out, ",");
        if (server->ask.with_pieces)
            write_piece(server->now->engine, tokens[i], &out);
        else
            el_out_print(&out, "%u", tokens[i]);
    }
    el_out_text(&out, "]}");
    el_texts_reply_long(conn, &out);
}

static void reply(el_conn *conn)
{
    const el_ask *ask = &conn->server->ask;
    const unsigned flags = (ask->parse_special ? EDGELLM_TOKENIZE_SPECIAL : 0U) |
                           (ask->add_special ? EDGELLM_TOKENIZE_BOS : 0U);
    edgellm_error err;
    size_t room, count;
    uint32_t *tokens = el_texts_tokens(conn, &room);
    if (!tokens) return;
    if (edgellm_tokenize(conn->server->now->engine, ask->prompt, ask->prompt_len, flags, tokens,
                         room, &count, &err) != EDGELLM_OK)
        el_texts_reply_error(conn, field, &err);
    else if (count > room)
        el_texts_reply_too_long(conn, field, count);
    else
        reply_tokens(conn, tokens, count);
    free(tokens);
}

void el_serve_tokenize(el_conn *conn)
{
    static const el_endpoint endpoint = {.form = EL_ASK_TOKENIZE, .reply = reply};
    el_request_serve(conn, &endpoint);
}
