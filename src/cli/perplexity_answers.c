#include "cli/perplexity_answers.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cli_output.h"

typedef struct conversation {
    edgellm_message *messages; /* (n) owned; their texts are the line's */
    size_t n;
    const char *answer; /* (len) */
    size_t len;
    bool ended;
} conversation;

typedef struct reader {
    el_cli_chunks *chunks;
    const edgellm_engine *engine;
    size_t line; /* 1, 2, ... */
    uint32_t end;
    bool has_end; /* there is a token that ends a turn */
} reader;

/* ---- a line -------------------------------------------------------------------------------- */

static edgellm_status bad_line(const reader *r, edgellm_status status, const char *what,
                               edgellm_error *err)
{
    edgellm_error why;
    snprintf(why.message, sizeof why.message, "%s", what); /* `what` may be err's own */
    return el_cli_fail(err, status, "%.150s, line %zu: %.300s", r->chunks->path, r->line,
                       why.message);
}

/* A text of a message, which ends with its first NUL; NULL: it is none. */
static const char *text_of(const json_t *message, const char *key)
{
    const json_t *text = json_object_get(message, key);
    const char *bytes = json_string_value(text);
    return bytes != NULL && strlen(bytes) == json_string_length(text) ? bytes : NULL;
}

static const char *take_messages(const json_t *list, conversation *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const json_t *message = json_array_get(list, i);
        c->messages[i] = (edgellm_message){text_of(message, "role"), text_of(message, "content")};
        if (c->messages[i].role == NULL || c->messages[i].content == NULL)
            return "a message has not both \"role\" and \"content\", texts without NUL";
    }
    return NULL;
}

/* What is wrong with it; NULL: nothing. */
static const char *take_row(const json_t *row, conversation *c)
{
    const json_t *answer = json_object_get(row, "answer"), *ended = json_object_get(row, "ended");
    if (c->n == 0) return "\"messages\" is not there, or no list of messages";
    const char *wrong = take_messages(json_object_get(row, "messages"), c);
    if (wrong != NULL) return wrong;
    if (!json_is_string(answer)) return "\"answer\" is not there, or no text";
    if (ended != NULL && !json_is_boolean(ended)) return "\"ended\" is neither true nor false";
    c->answer = json_string_value(answer);
    c->len = json_string_length(answer);
    c->ended = ended == NULL || json_is_true(ended);
    return c->len > 0 ? NULL : "the answer is empty: leave the line out";
}

/* ---- its tokens ---------------------------------------------------------------------------- */

static edgellm_status append(el_cli_tokens *all, const uint32_t *ids, size_t n, edgellm_error *err)
{
    uint32_t *more = realloc(all->ids, (all->count + n) * sizeof *more);
    if (more == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the tokens");
    memcpy(more + all->count, ids, n * sizeof *ids);
    all->ids = more;
    all->count += n;
    return EDGELLM_OK;
}

static edgellm_status add_chunk(el_cli_chunks *c, el_cli_chunk chunk, edgellm_error *err)
{
    el_cli_chunk *more = realloc(c->list, (c->count + 1) * sizeof *more);
    if (more == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the answers");
    more[c->count++] = chunk;
    c->list = more;
    return EDGELLM_OK;
}

static edgellm_status add_tokens(reader *r, const el_cli_tokens *prompt,
                                 const el_cli_tokens *answer, bool ended, edgellm_error *err)
{
    el_cli_tokens *all = &r->chunks->tokens;
    const bool adds_end = ended && r->has_end;
    const size_t begin = all->count, count = prompt->count + answer->count + adds_end;
    if (prompt->count == 0 || answer->count == 0)
        return bad_line(r, EDGELLM_ERR_FORMAT, "the vocabulary has no token for any of it", err);
    if (count > r->chunks->context) {
        char what[160];
        snprintf(what, sizeof what,
                 "the conversation has %zu tokens, but the context holds %u: give a larger one "
                 "with -c, or leave the line out",
                 count, r->chunks->context);
        return bad_line(r, EDGELLM_ERR_CONTEXT, what, err);
    }
    EL_CLI_TRY(append(all, prompt->ids, prompt->count, err));
    EL_CLI_TRY(append(all, answer->ids, answer->count, err));
    if (adds_end) EL_CLI_TRY(append(all, &r->end, 1, err));
    return add_chunk(r->chunks, (el_cli_chunk){begin, (uint32_t)count, (uint32_t)prompt->count - 1},
                     err);
}

static edgellm_status lay_out(reader *r, const conversation *c, edgellm_error *err)
{
    el_cli_tokens prompt = {NULL, 0}, answer = {NULL, 0};
    edgellm_status status =
        el_cli_lay_out(r->engine, c->messages, c->n, EDGELLM_CHAT_OPEN_ANSWER, &prompt, err);
    if (status == EDGELLM_ERR_USAGE) bad_line(r, status, err->message, err);
    if (status == EDGELLM_OK) {
        status =
            el_cli_tokenize(r->engine, c->answer, c->len, EDGELLM_TOKENIZE_PLAIN, &answer, err);
    }
    if (status == EDGELLM_OK) status = add_tokens(r, &prompt, &answer, c->ended, err);
    free(prompt.ids);
    free(answer.ids);
    return status;
}

/* ---- all lines ----------------------------------------------------------------------------- */

static edgellm_status add_row(reader *r, const json_t *row, edgellm_error *err)
{
    conversation c = {.n = json_array_size(json_object_get(row, "messages"))};
    c.messages = calloc(c.n + 1, sizeof *c.messages);
    if (c.messages == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for messages");
    const char *wrong = take_row(row, &c);
    edgellm_status status =
        wrong != NULL ? bad_line(r, EDGELLM_ERR_FORMAT, wrong, err) : lay_out(r, &c, err);
    free(c.messages);
    return status;
}

static edgellm_status add_line(reader *r, const char *text, size_t len, edgellm_error *err)
{
    json_error_t why;
    json_t *row = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    edgellm_status status = EDGELLM_OK;
    if (el_cli_json_starved()) {
        status = el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a conversation");
    } else if (row == NULL) {
        status = bad_line(r, EDGELLM_ERR_FORMAT, why.text, err);
    } else {
        status = add_row(r, row, err);
    }
    json_decref(row);
    return status;
}

/* What closes an answer is the token that ends it, and what the template has beside it. */
static edgellm_status find_end(reader *r, edgellm_error *err)
{
    const edgellm_message none = {NULL, NULL};
    el_cli_tokens close;
    EL_CLI_TRY(el_cli_lay_out(r->engine, &none, 0, EDGELLM_CHAT_CONTINUE, &close, err));
    for (size_t i = 0; i < close.count && !r->has_end; i++) {
        r->end = close.ids[i];
        r->has_end = edgellm_is_end(r->engine, r->end);
    }
    free(close.ids);
    return EDGELLM_OK;
}

static bool is_blank(const char *text, size_t len)
{
    size_t blank = 0;
    while (blank < len && strchr(" \t\r", text[blank]) != NULL && text[blank] != '\0')
        blank++;
    return blank == len;
}

edgellm_status el_cli_answers_cut(el_cli_chunks *chunks, const edgellm_engine *engine,
                                  edgellm_error *err)
{
    reader r = {.chunks = chunks, .engine = engine};
    const char *at = chunks->text, *end = at + chunks->len;
    EL_CLI_TRY(find_end(&r, err));
    while (at < end && (chunks->most == 0 || chunks->count < chunks->most)) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        const size_t len = (size_t)((feed != NULL ? feed : end) - at);
        r.line++;
        if (!is_blank(at, len)) EL_CLI_TRY(add_line(&r, at, len, err));
        at += len + (feed != NULL);
    }
    if (chunks->count > 0) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_USAGE, "%.200s has no conversation", chunks->path);
}
