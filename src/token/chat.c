/* chat.c: see chat.h. */
#include "token/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "token/chars.h"
#include "token/lookup.h"

/*
 * A frame: every message is the token `open`, then the role, then the token `middle` if there is
 * one, then `gap` and the content, then the token `close`, then `end`; what stands between two
 * tokens is one text. An open answer is a frame as far as `gap`.
 */
struct el_chat_template {
    const char *open, *middle, *close; /* names of special tokens, which the template's text has */
    const char *gap, *end;
    bool trims;        /* white space around a content is left out */
    const char *dated; /* where the template has this text, a system message begins with `dates` */
    const char *dates;
    const char *answers; /* the role of answers, if not "assistant" */
    const char *joined;  /* a system message is no turn: it stands, and then this, before what the
                            next user's turn says; NULL: it is one */
};

static const el_chat_template rows[] = {
    /* ChatML: SmolLM, SmolLM2, Qwen, Yi */
    {"<|im_start|>", NULL, "<|im_end|>", "\n", "\n", false, NULL, NULL, NULL, NULL},
    /* Llama 3; from 3.1 on with dates, of which "today" is what the template says where nobody
     * tells it the day: answers are the same tomorrow */
    {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "\n\n", "", true,
     "Cutting Knowledge Date: December 2023",
     "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n", NULL, NULL},
    /* Gemma 2 and 3. Templates of Gemma 2 refuse system messages: here they are as in Gemma 3 */
    {"<start_of_turn>", NULL, "<end_of_turn>", "\n", "\n", true, NULL, NULL, "model", "\n\n"},
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

static bool is_used(const el_vocab *vocab, const char *name)
{
    return strstr(vocab->chat_template, name) != NULL && find_special(vocab, name) != EL_TOKEN_NONE;
}

const el_chat_template *el_chat_find(const el_vocab *vocab)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const el_chat_template *row = &rows[i];
        if (is_used(vocab, row->open) && is_used(vocab, row->close) &&
            (row->middle == NULL || is_used(vocab, row->middle)))
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
    if (row->middle != NULL) return false;
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
    const el_chat_template *row;
    uint32_t open, middle, close;
    uint32_t *tokens;
    size_t capacity, count;
    char *text;          /* room for the longest role, gap, dates, and content after another */
    const char *pending; /* a system message that waits for the user's; NULL: none does */
} layout;

static void put_token(layout *out, uint32_t token)
{
    if (out->count < out->capacity) out->tokens[out->count] = token;
    out->count++;
}

static edgellm_status put_text(layout *out, const char *text, size_t len, edgellm_error *err)
{
    if (len == 0) return EDGELLM_OK;
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
    return put_text(out, out->row->end, strlen(out->row->end), err);
}

static size_t append(char *text, size_t len, const char *more, size_t more_len)
{
    memcpy(text + len, more, more_len);
    return len + more_len;
}

/* What the template calls a role. */
static const char *name_of_role(const el_chat_template *row, const char *role)
{
    return row->answers != NULL && strcmp(role, "assistant") == 0 ? row->answers : role;
}

/* Puts the system message that waits before what a user says. */
static size_t append_pending(layout *out, size_t len)
{
    len = append(out->text, len, out->pending, strlen(out->pending));
    out->pending = NULL;
    return append(out->text, len, out->row->joined, strlen(out->row->joined));
}

/* A frame up to its content, which begins with `head`. */
static edgellm_status put_open(layout *out, const char *role, const char *head, const char *content,
                               size_t content_len, edgellm_error *err)
{
    const bool joins = out->pending != NULL && strcmp(role, "user") == 0;
    const char *name = name_of_role(out->row, role);
    size_t len = append(out->text, 0, name, strlen(name));
    put_token(out, out->open);
    if (out->row->middle != NULL) {
        EL_TRY(put_text(out, out->text, len, err));
        put_token(out, out->middle);
        len = 0;
    }
    len = append(out->text, len, out->row->gap, strlen(out->row->gap));
    len = append(out->text, len, head, strlen(head));
    if (joins) len = append_pending(out, len);
    len = append(out->text, len, content, content_len);
    return put_text(out, out->text, len, err);
}

/* What Python takes for white space, which templates trim. */
static bool is_space(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0x9, 0xD},       {0x1C, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
        {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

static const char *trim(const char *text, size_t *len)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t begin = 0, end = 0; /* of the last character that is none */
    bool started = false;
    for (size_t at = 0; at < *len;) {
        uint32_t code = 0;
        int size = el_chars_decode(bytes + at, *len - at, &code);
        const bool space = size > 0 && is_space(code);
        const size_t next = at + (size > 0 ? (size_t)size : 1);
        if (!space && !started) begin = at;
        started |= !space;
        if (!space) end = next;
        at = next;
    }
    *len = started ? end - begin : 0;
    return text + begin;
}

static edgellm_status put_message(layout *out, const char *role, const char *head,
                                  const char *content, edgellm_error *err)
{
    size_t len = strlen(content);
    if (out->row->trims) content = trim(content, &len);
    EL_TRY(put_open(out, role, head, content, len, err));
    return put_close(out, err);
}

/* A system message that no user's follows is a user's turn of its own. */
static edgellm_status put_pending(layout *out, edgellm_error *err)
{
    const char *alone = out->pending;
    out->pending = NULL;
    return alone != NULL ? put_message(out, "user", "", alone, err) : EDGELLM_OK;
}

static edgellm_status put_turn(layout *out, const edgellm_message *message, edgellm_error *err)
{
    const bool waits = out->row->joined != NULL && strcmp(message->role, "system") == 0;
    if (waits || strcmp(message->role, "user") != 0) EL_TRY(put_pending(out, err));
    if (!waits) return put_message(out, message->role, "", message->content, err);
    out->pending = message->content;
    return EDGELLM_OK;
}

/* The template's own message, where nobody gave one. */
static edgellm_status put_default(layout *out, const char *source, edgellm_error *err)
{
    const char *begin, *end;
    char quote;
    if (!find_default(out->row, source, &begin, &end, &quote)) return EDGELLM_OK;
    char *content = malloc((size_t)(end - begin) + 1);
    if (content == NULL) return el_fail(err, EDGELLM_ERR_MEMORY, "chat: no memory");
    const size_t len = unescape(content, begin, end, quote != '\0');
    edgellm_status status = put_open(out, "system", "", content, len, err);
    free(content);
    return status == EDGELLM_OK ? put_close(out, err) : status;
}

/* What a conversation begins with: *taken is set if that was its first message. */
static edgellm_status put_start(layout *out, const el_vocab *vocab, const edgellm_message *first,
                                bool *taken, edgellm_error *err)
{
    const el_chat_template *row = out->row;
    const char *source = vocab->chat_template;
    const bool given = strcmp(first->role, "system") == 0 && row->joined == NULL;
    if (vocab->bos != EL_TOKEN_NONE && strstr(source, "bos_token") != NULL)
        put_token(out, vocab->bos);
    *taken = given;
    if (row->dated != NULL && strstr(source, row->dated) != NULL)
        return put_message(out, "system", row->dates, given ? first->content : "", err);
    if (given) return put_message(out, "system", "", first->content, err);
    return put_default(out, source, err);
}

static edgellm_status put_all(layout *out, const el_vocab *vocab, const edgellm_message *messages,
                              size_t n_messages, unsigned flags, edgellm_error *err)
{
    bool taken = false;
    if (flags & EDGELLM_CHAT_CONTINUE)
        EL_TRY(put_close(out, err));
    else if (n_messages > 0)
        EL_TRY(put_start(out, vocab, &messages[0], &taken, err));
    for (size_t i = taken; i < n_messages; i++)
        EL_TRY(put_turn(out, &messages[i], err));
    EL_TRY(put_pending(out, err));
    if (!(flags & EDGELLM_CHAT_OPEN_ANSWER)) return EDGELLM_OK;
    return put_open(out, "assistant", "", "", 0, err);
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
static edgellm_status measure(const el_chat_template *row, const char *source,
                              const edgellm_message *messages, size_t n_messages, size_t *room,
                              edgellm_error *err)
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
    if (row->joined != NULL) *room += *room + strlen(row->joined);
    *room += sizeof "assistant" + strlen(row->gap) + (row->dates ? strlen(row->dates) : 0);
    return EDGELLM_OK;
}

edgellm_status el_chat_encode(const el_tokenizer *t, const el_vocab *vocab,
                              const edgellm_message *messages, size_t n_messages, unsigned flags,
                              uint32_t *tokens, size_t capacity, size_t *count, edgellm_error *err)
{
    const el_chat_template *row = el_chat_find(vocab);
    if (row == NULL)
        return el_fail(
            err, EDGELLM_ERR_UNSUPPORTED,
            vocab->chat_template[0] != '\0'
                ? "chat: the model's chat template is not one of those known (ChatML, Llama 3, "
                  "Gemma)"
                : "chat: the model has no chat template");
    size_t room;
    EL_TRY(measure(row, vocab->chat_template, messages, n_messages, &room, err));

    char *text = malloc(room);
    if (text == NULL)
        return el_fail(err, EDGELLM_ERR_MEMORY, "chat: no memory for a message of %zu bytes", room);
    layout out = {.t = t, .row = row, .tokens = tokens, .capacity = capacity, .text = text};
    out.open = find_special(vocab, row->open);
    out.middle = row->middle ? find_special(vocab, row->middle) : EL_TOKEN_NONE;
    out.close = find_special(vocab, row->close);
    edgellm_status status = put_all(&out, vocab, messages, n_messages, flags, err);
    free(text);
    if (status == EDGELLM_OK) *count = out.count;
    return status;
}
