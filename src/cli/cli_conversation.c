#include "cli/cli_conversation.h"

#include <stdlib.h>
#include <string.h>

/* ---- life --------------------------------------------------------------------------------- */

static void free_exchange(el_cli_exchange *e)
{
    free(e->user);
    free(e->answer);
}

static void forget(el_cli_conversation *c)
{
    for (size_t i = 0; i < c->n_exchanges; i++)
        free_exchange(&c->exchanges[i]);
    c->n_exchanges = c->n_tokens = c->opening = 0;
}

static edgellm_status cut(el_cli_conversation *c, size_t n_tokens, edgellm_error *err)
{
    uint32_t position = edgellm_session_position(c->session);
    if (n_tokens >= position) return EDGELLM_OK;
    const edgellm_status status = edgellm_session_truncate(c->session, (uint32_t)n_tokens, err);
    /* what a window has left behind is computed again */
    return status == EDGELLM_ERR_CONTEXT ? edgellm_session_truncate(c->session, 0, err) : status;
}

static edgellm_status set_system(el_cli_conversation *c, const char *system, edgellm_error *err)
{
    char *copy = system != NULL ? strdup(system) : NULL;
    if (system != NULL && copy == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the system message");
    }
    free(c->system);
    c->system = copy;
    return EDGELLM_OK;
}

edgellm_status el_cli_conversation_reset(el_cli_conversation *c, const char *system,
                                         edgellm_error *err)
{
    if (system != c->system) EL_CLI_TRY(set_system(c, system, err));
    forget(c);
    return cut(c, 0, err);
}

edgellm_status el_cli_conversation_open(el_cli_conversation *c, const el_cli_model *model,
                                        const char *system, edgellm_error *err)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    *c = (el_cli_conversation){
        .engine = model->engine, .session = model->session, .context = plan.context};
    c->tokens = calloc((size_t)plan.context + 1, sizeof *c->tokens);
    if (c->tokens == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the tokens");
    return set_system(c, system, err);
}

void el_cli_conversation_close(el_cli_conversation *c)
{
    forget(c);
    free(c->system);
    free(c->tokens);
    free(c->exchanges);
    *c = (el_cli_conversation){.n_tokens = 0};
}

edgellm_status el_cli_conversation_add(el_cli_conversation *c, size_t start, char *user,
                                       char *answer, edgellm_error *err)
{
    el_cli_exchange added = {start, user, answer};
    if (c->n_exchanges == c->room) {
        size_t room = c->room > 0 ? 2 * c->room : 16;
        el_cli_exchange *more = realloc(c->exchanges, room * sizeof *more);
        if (more != NULL) {
            c->exchanges = more;
            c->room = room;
        }
    }
    if (user == NULL || answer == NULL || c->n_exchanges == c->room) {
        free_exchange(&added);
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the message");
    }
    c->exchanges[c->n_exchanges++] = added;
    return EDGELLM_OK;
}

/* ---- asking ------------------------------------------------------------------------------- */

/* A question laid out: with the system message, as the first, and as what follows an answer. */
typedef struct question {
    el_cli_tokens first, next;
    size_t opening; /* tokens of the system message, in `first` */
    size_t closing; /* tokens that end the answer before, in `next` */
} question;

static edgellm_status lay_out_question(const el_cli_conversation *c, const char *text, question *q,
                                       edgellm_error *err)
{
    const edgellm_message messages[] = {{"system", c->system}, {"user", text}};
    const size_t skip = c->system == NULL;
    EL_CLI_TRY(
        edgellm_chat_prompt(c->engine, NULL, 0, EDGELLM_CHAT_CONTINUE, NULL, 0, &q->closing, err));
    EL_CLI_TRY(el_cli_lay_out(c->engine, messages + skip, 2 - skip, EDGELLM_CHAT_OPEN_ANSWER,
                              &q->first, err));
    EL_CLI_TRY(el_cli_lay_out(c->engine, messages + 1, 1,
                              EDGELLM_CHAT_OPEN_ANSWER | EDGELLM_CHAT_CONTINUE, &q->next, err));
    q->opening = q->first.count - (q->next.count - q->closing);
    return EDGELLM_OK;
}

/* Tokens of the conversation with the question if the first `drop` exchanges are dropped. */
static size_t needed(const el_cli_conversation *c, const question *q, size_t drop)
{
    if (drop == c->n_exchanges) return q->first.count;
    return c->opening + (c->n_tokens - c->exchanges[drop].start) + q->next.count;
}

/* The fewest exchanges to drop so that no more than `limit` tokens are needed; else all. */
static size_t fewest(const el_cli_conversation *c, const question *q, size_t limit)
{
    size_t drop = 0;
    while (drop < c->n_exchanges && needed(c, q, drop) > limit)
        drop++;
    return drop;
}

static size_t to_drop(const el_cli_conversation *c, const question *q, size_t reserve)
{
    const size_t limit = reserve < c->context ? c->context - reserve : 1, spare = c->context / 4;
    size_t drop = fewest(c, q, limit);
    if (drop == 0 || limit <= spare) return drop;
    size_t more = fewest(c, q, limit - spare);
    return more < c->n_exchanges ? more : drop;
}

static edgellm_status drop_exchanges(el_cli_conversation *c, size_t drop, edgellm_error *err)
{
    if (drop == 0) return EDGELLM_OK;
    const bool all = drop == c->n_exchanges;
    const size_t from = all ? c->n_tokens : c->exchanges[drop].start, by = from - c->opening;
    memmove(c->tokens + c->opening, c->tokens + from, (c->n_tokens - from) * sizeof *c->tokens);
    c->n_tokens -= by;
    for (size_t i = 0; i < drop; i++)
        free_exchange(&c->exchanges[i]);
    c->n_exchanges -= drop;
    memmove(c->exchanges, c->exchanges + drop, c->n_exchanges * sizeof *c->exchanges);
    for (size_t i = 0; i < c->n_exchanges; i++)
        c->exchanges[i].start -= by;
    return cut(c, c->opening, err);
}

/* Before the first question: the cache keeps what it shares with the system message. That may be
 * less than its tokens: where they end, and the message itself, may come from a file. */
static edgellm_status keep_opening(el_cli_conversation *c, const question *q, edgellm_error *err)
{
    const size_t position = edgellm_session_position(c->session);
    size_t same = 0;
    while (same < position && same < q->opening && c->tokens[same] == q->first.ids[same])
        same++;
    c->n_tokens = 0;
    c->opening = q->opening;
    return cut(c, same, err);
}

static edgellm_status put_question(el_cli_conversation *c, const question *q, const char *text,
                                   edgellm_error *err)
{
    const bool first = c->n_exchanges == 0;
    const el_cli_tokens *tokens = first ? &q->first : &q->next;
    const size_t start = first ? q->opening : c->n_tokens + q->closing;
    EL_CLI_TRY(el_cli_conversation_add(c, start, strdup(text), strdup(""), err));
    if (first) EL_CLI_TRY(keep_opening(c, q, err));
    c->asked_at = c->n_tokens;
    memcpy(c->tokens + c->n_tokens, tokens->ids, tokens->count * sizeof *tokens->ids);
    c->n_tokens += tokens->count;
    return EDGELLM_OK;
}

static edgellm_status ask(el_cli_conversation *c, const question *q, const char *text,
                          size_t reserve, size_t *dropped, edgellm_error *err)
{
    if (q->first.count >= c->context) {
        return el_cli_fail(err, EDGELLM_ERR_CONTEXT,
                           "the message and the system message have %zu tokens, the context holds "
                           "%u: shorten the message or start with a larger context (-c)",
                           q->first.count, c->context);
    }
    *dropped = to_drop(c, q, reserve);
    EL_CLI_TRY(drop_exchanges(c, *dropped, err));
    return put_question(c, q, text, err);
}

edgellm_status el_cli_conversation_ask(el_cli_conversation *c, const char *text, size_t reserve,
                                       size_t *dropped, edgellm_error *err)
{
    question q = {.opening = 0};
    edgellm_status status = lay_out_question(c, text, &q, err);
    if (status == EDGELLM_OK) status = ask(c, &q, text, reserve, dropped, err);
    free(q.first.ids);
    free(q.next.ids);
    return status;
}

el_cli_tokens el_cli_conversation_ahead(const el_cli_conversation *c)
{
    size_t position = edgellm_session_position(c->session);
    return (el_cli_tokens){c->tokens + position, c->n_tokens - position};
}

/* ---- answers ------------------------------------------------------------------------------ */

void el_cli_conversation_withdraw(el_cli_conversation *c)
{
    el_cli_exchange *last = &c->exchanges[--c->n_exchanges];
    c->n_tokens = c->asked_at;
    free_exchange(last);
    (void)cut(c, c->n_tokens, NULL); /* cannot fail: no further than the position */
}

/* The last exchange gets its text. */
static edgellm_status set_answer(el_cli_conversation *c, const uint32_t *tokens, size_t n,
                                 edgellm_error *err)
{
    el_cli_bytes text;
    EL_CLI_TRY(el_cli_detokenize(c->engine, tokens, n, false, &text, err));
    el_cli_exchange *last = &c->exchanges[c->n_exchanges - 1];
    free(last->answer);
    last->answer = text.text;
    return EDGELLM_OK;
}

edgellm_status el_cli_conversation_answer(el_cli_conversation *c, const uint32_t *tokens, size_t n,
                                          edgellm_error *err)
{
    EL_CLI_TRY(set_answer(c, tokens, n, err));
    memcpy(c->tokens + c->n_tokens, tokens, n * sizeof *tokens);
    c->n_tokens += n;
    return EDGELLM_OK;
}

edgellm_status el_cli_conversation_shifted(el_cli_conversation *c, const uint32_t *tokens, size_t n,
                                           bool all_computed, size_t *dropped, edgellm_error *err)
{
    const size_t earlier = c->n_exchanges - 1;
    EL_CLI_TRY(set_answer(c, tokens, n, err));
    for (size_t i = 0; i < earlier; i++)
        free_exchange(&c->exchanges[i]);
    c->exchanges[0] = c->exchanges[earlier];
    c->exchanges[0].start = c->opening;
    c->n_exchanges = 1;
    c->n_tokens = edgellm_session_position(c->session);
    memcpy(c->tokens, edgellm_session_tokens(c->session), c->n_tokens * sizeof *c->tokens);
    if (!all_computed) c->tokens[c->n_tokens++] = tokens[n - 1];
    *dropped += earlier;
    return EDGELLM_OK;
}
