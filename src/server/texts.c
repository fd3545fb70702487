#include "server/texts.h"

#include <stdlib.h>

#include "server/server_state.h"

uint32_t *el_texts_tokens(el_conn *conn, size_t *room)
{
    edgellm_error err = {EDGELLM_ERR_MEMORY, "no memory for the tokens"};
    *room = conn->server->now->memory.context;
    uint32_t *tokens = malloc(*room * sizeof *tokens);
    if (!tokens) el_texts_reply_error(conn, NULL, &err);
    return tokens;
}

void el_texts_reply_error(el_conn *conn, const char *field, const edgellm_error *err)
{
    const bool ours = err->status == EDGELLM_ERR_MEMORY;
    el_problem problem;
    el_problem_set(&problem, ours ? EL_PROBLEM_INTERNAL : EL_PROBLEM_REQUEST, ours ? NULL : field,
                   "%s", err->message);
    el_conn_reply_problem(conn, &problem);
}

void el_texts_reply_too_long(el_conn *conn, const char *field, size_t count)
{
    el_problem problem;
    el_problem_set(&problem, EL_PROBLEM_CONTEXT, field,
                   "the text has %zu tokens, the context of a session %u: ask in parts", count,
                   conn->server->now->memory.context);
    el_conn_reply_problem(conn, &problem);
}

el_out el_texts_room(el_conn *conn)
{
    const el_out out = el_conn_long_text(conn, el_server_long_text(conn->server));
    return out.at ? out : el_conn_long_text(conn, EL_CONN_BODY);
}

static void reply_later_please(el_conn *conn)
{
    el_problem problem;
    el_problem_set(&problem, EL_PROBLEM_QUEUE, NULL,
                   "there is no room for another long reply now: try again later");
    problem.retry_after = 1;
    el_conn_reply_problem(conn, &problem);
}

void el_texts_reply_long(el_conn *conn, const el_out *out)
{
    el_problem problem;
    if (!out->is_full) {
        el_conn_reply_bytes(conn, 200, out->at, out->used);
        return;
    }
    if (out->room < el_server_long_text(conn->server)) {
        reply_later_please(conn);
        return;
    }
    el_problem_set(&problem, EL_PROBLEM_BODY, NULL,
                   "the reply would have more than %zu bytes: ask in parts", out->room);
    el_conn_reply_problem(conn, &problem);
}

static void reply_text(el_conn *conn, const char *name, const char *text, size_t len)
{
    el_out out = el_texts_room(conn);
    el_out_print(&out, "{\"%s\":\"", name);
    el_out_escaped(&out, text, len);
    el_out_text(&out, "\"}");
    el_texts_reply_long(conn, &out);
}

void el_texts_reply_text(el_conn *conn, const char *name, const uint32_t *tokens, size_t count,
                         const char *field)
{
    const edgellm_engine *engine = conn->server->now->engine;
    edgellm_error err = {EDGELLM_ERR_MEMORY, "no memory for the text"};
    size_t len = 0;
    if (edgellm_detokenize(engine, tokens, count, true, NULL, 0, &len, &err) != EDGELLM_OK) {
        el_texts_reply_error(conn, field, &err);
        return;
    }
    char *text = malloc(len + 1);
    if (text &&
        edgellm_detokenize(engine, tokens, count, true, text, len, &len, &err) == EDGELLM_OK)
        reply_text(conn, name, text, len);
    else
        el_texts_reply_error(conn, field, &err);
    free(text);
}
