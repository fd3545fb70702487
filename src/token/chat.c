/* chat.c: see chat.h. */
#include "token/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "token/lookup.h"

/*
 * A frame: every message is the token `open`, then role, "\n" and content as one text, then the
 * token `close`, then "\n" as a text; an open answer is `open` and "assistant\n".
 */
struct el_chat_template {
    const char *open, *close; /* names of special tokens; both stand in the template's text */
};

static const el_chat_template rows[] = {
    {"<|im_start|>", "<|im_end|>"}, /* ChatML: SmolLM, SmolLM2, Qwen, Yi */
};

/* ---- recognising ---- */

/* Only special tokens make a frame: those are what the text of a message cannot become. */
static uint32_t find_special(const el_vocab *vocab, const char *name)
{
    size_t name_len = strlen(name);
    for (uint32_t id = 0; id < vocab->n_tokens; id++) {
        size_t len;
        const uint8_t *bytes = el_vocab_bytes(vocab, id, &len);
        if (len == name_len && memcmp(bytes, name, len) == 0 && el_vocab_is_special(vocab, id))
            return id;
    }
    return EL_TOKEN_NONE;
}

const el_chat_template *el_chat_find(const el_vocab *vocab)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const el_chat_template *row = &rows[i];
        if (strstr(vocab->chat_template, row->open) == NULL ||
            strstr(vocab->chat_template, row->close) == NULL)
            continue;
        if (find_special(vocab, row->open) != EL_TOKEN_NONE &&
            find_special(vocab, row->close) != EL_TOKEN_NONE)
            return row;
    }
    return NULL;
}

/* ---- the template's own system message ---- */

/* Length of "\n" at `text`, written as a line end or as in a string literal; 0 if neither. */
static size_t line_end(const char *text)
{
    if (text[0] == '\n') return 1;
    return text[0] == '\\' && text[1] == 'n' ? 2 : 0;
}

/*
 * The end of a default message that starts at `text`: where `close` stands before the string
 * literal is over. `quote` is the literal's quote, or 0 for text outside of Jinja's braces.
 * NULL if the text does not run up to `close`.
 */
static const char *default_end(const char *text, char quote, const char *close)
{
    for (; *text != '\0'; text++) {
        if (strncmp(text, close, strlen(close)) == 0) return text;
        if (quote != 0 && *text == quote) return NULL;
        if (quote == 0 && *text == '{') return NULL;
        if (quote != 0 && *text == '\\' && text[1] != '\0') text++;
    }
    return NULL;
}

/* Finds the default message in the template's source: [*begin, *end) and the quote around it. */
static bool find_default(const el_chat_template *row, const char *source, const char **begin,
                         const char **end, char *quote)
{
    const char *at = source;
    while ((at = strstr(at, row->open)) != NULL) {
        char before = at > source ? at[-1] : '\0';
        at += strlen(row->open);
        if (strncmp(at, "system", 6) != 0) continue;
        size_t skip = line_end(at + 6);
        if (skip == 0) continue;
        *begin = at + 6 + skip;
        *quote = before == '\'' || before == '"' ? before : '\0';
        *end = default_end(*begin, *quote, row->close);
        if (*end != NULL) return true;
    }
    return false;
}

/* Copies a piece of Jinja source with its escapes undone; returns the number of bytes. */
static size_t unescape(char *out, const char *begin, const char *end, bool literal)
{
    static const char from[] = "nrt", to[] = "\n\r\t";
    char *start = out;
    while (begin < end) {
        char c = *begin++;
        if (literal && c == '\\' && begin < end) {
            c = *begin++;
            const char *known = c != '\0' ? strchr(from, c) : NULL;
            if (known != NULL) c = to[known - from];
        }
        *out++ = c;
    }
    return (size_t)(out - start);
}

/* ---- laying out ---- */

typedef struct layout {
    const el_tokenizer *t;
    uint32_t open, close;
    uint32_t *tokens;
    size_t capacity, count;
    char *text; /* room for the longest "role\ncontent" */
} layout;

static void put_token(layout *out, uint32_t token)
{
    if (out->count < out->capacity) out->tokens[out->count] = token;
    out->count++;
}

static edgellm_status put_text(layout *out, const char *text, size_t len, edgellm_error *err)
{
    size_t used = out->count < out->capacity ? out->count : out->capacity;
    uint32_t *tokens = out->capacity > 0 ? out->tokens + used : NULL;
    size_t count;
    EL_TRY(el_tokenizer_encode(out->t, text, len, EDGELLM_TOKENIZE_PLAIN, tokens,
                               out->capacity - used, &count, err));
    out->count += count;
    return EDGELLM_OK;
}

static edgellm_status put_close(layout *out, edgellm_error *err)
{
    put_token(out, out->close);
    return put_text(out, "\n", 1, err);
}

/* Whole frame; out->text holds "role\ncontent" of `len` bytes. */
static edgellm_status put_frame(layout *out, size_t len, edgellm_error *err)
{
    put_token(out, out->open);
    EL_TRY(put_text(out, out->text, len, err));
    return put_close(out, err);
}

static edgellm_status put_default(layout *out, const el_chat_template *row, const char *source,
                                  edgellm_error *err)
{
    const char *begin, *end;
    char quote;
    if (!find_default(row, source, &begin, &end, &quote)) return EDGELLM_OK;
    memcpy(out->text, "system\n", 7);
    size_t len = unescape(out->text + 7, begin, end, quote != '\0');
    return put_frame(out, 7 + len, err);
}

static edgellm_status put_message(layout *out, const edgellm_message *message, edgellm_error *err)
{
    size_t role = strlen(message->role), content = strlen(message->content);
    memcpy(out->text, message->role, role);
    out->text[role] = '\n';
    memcpy(out->text + role + 1, message->content, content);
    return put_frame(out, role + 1 + content, err);
}

static edgellm_status put_all(layout *out, const el_chat_template *row, const char *source,
                              const edgellm_message *messages, size_t n_messages, unsigned flags,
                              edgellm_error *err)
{
    if (flags & EDGELLM_CHAT_CONTINUE)
        EL_TRY(put_close(out, err));
    else if (n_messages > 0 && strcmp(messages[0].role, "system") != 0)
        EL_TRY(put_default(out, row, source, err));
    for (size_t i = 0; i < n_messages; i++)
        EL_TRY(put_message(out, &messages[i], err));
    if (!(flags & EDGELLM_CHAT_OPEN_ANSWER)) return EDGELLM_OK;
    put_token(out, out->open);
    return put_text(out, "assistant\n", 10, err);
}

static bool is_role(const char *role)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (strcmp(role, roles[i]) == 0) return true;
    }
    return false;
}

/* Bytes that the longest message may need as text, the default one included. */
static edgellm_status measure(const char *source, const edgellm_message *messages,
                              size_t n_messages, size_t *room, edgellm_error *err)
{
    *room = strlen(source);
    for (size_t i = 0; i < n_messages; i++) {
        if (!is_role(messages[i].role))
            return el_fail(err, EDGELLM_ERR_USAGE,
                           "chat: message %zu has the role \"%.40s\", not system, user or "
                           "assistant",
                           i, messages[i].role);
        size_t content = strlen(messages[i].content);
        if (content > *room) *room = content;
    }
    *room += sizeof "assistant\n";
    return EDGELLM_OK;
}

edgellm_status el_chat_encode(const el_tokenizer *t, const el_vocab *vocab,
                              const edgellm_message *messages, size_t n_messages, unsigned flags,
                              uint32_t *tokens, size_t capacity, size_t *count, edgellm_error *err)
{
    const el_chat_template *row = el_chat_find(vocab);
    if (row == NULL)
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       vocab->chat_template[0] != '\0'
                           ? "chat: the model's chat template is not one of those known (ChatML)"
                           : "chat: the model has no chat template");
    size_t room;
    EL_TRY(measure(vocab->chat_template, messages, n_messages, &room, err));

    char *text = malloc(room);
    if (text == NULL)
        return el_fail(err, EDGELLM_ERR_MEMORY, "chat: no memory for a message of %zu bytes", room);
    layout out = {.t = t, .tokens = tokens, .capacity = capacity, .text = text};
    out.open = find_special(vocab, row->open);
    out.close = find_special(vocab, row->close);
    edgellm_status status =
        put_all(&out, row, vocab->chat_template, messages, n_messages, flags, err);
    free(text);
    if (status == EDGELLM_OK) *count = out.count;
    return status;
}
