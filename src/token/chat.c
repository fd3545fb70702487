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
    const char *form;
    const char *open, *middle, *close; /* names of special tokens, which the template's text has */
    const char *gap, *end;
    bool trims;        /* white space around a content is left out */
    const char *dated; /* where the template has this text, a system message begins with `dates` */
    const char *dates;
    /* What may be called stands between these, at the end of the system message, or before what the
     * user says first; word for word as models of the family were taught. */
    const char *tools_before, *tools_after;
    bool tools_with_user;
    const char *tools_note; /* stands before `dates` then */
    /* What calls gave: the role, and what is around it; several in a row are one frame, a line end
     * between them. NULL: nothing is around it, and each is a frame. */
    const char *result_role, *result_before, *result_after;
    const char *answers; /* the role of answers, if not "assistant" */
    const char *joined;  /* a system message is no turn: it stands, and then this, before what the
                            next user's turn says; NULL: it is one */
};

static const el_chat_template rows[] = {
    /* ChatML: SmolLM, SmolLM2, Qwen, Yi; tools as Hermes and Qwen know them */
    {.form = "chatml",
     .open = "<|im_start|>",
     .close = "<|im_end|>",
     .gap = "\n",
     .end = "\n",
     .tools_before = "# Tools\n\nYou may call one or more functions to assist with the user query."
                     "\n\nYou are provided with function signatures within <tools></tools> XML "
                     "tags:\n<tools>\n",
     .tools_after = "\n</tools>\n\nFor each function call, return a json object with function name "
                    "and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
                    "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>",
     .result_role = "user",
     .result_before = "<tool_response>\n",
     .result_after = "\n</tool_response>"},
    /* Llama 3; from 3.1 on with dates, of which "today" is what the template says where nobody
     * tells it the day: answers are the same tomorrow */
    {.form = "llama3",
     .open = "<|start_header_id|>",
     .middle = "<|end_header_id|>",
     .close = "<|eot_id|>",
     .gap = "\n\n",
     .end = "",
     .trims = true,
     .dated = "Cutting Knowledge Date: December 2023",
     .dates = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n",
     .tools_before =
         "Given the following functions, please respond with a JSON for a function call "
         "with its proper arguments that best answers the given prompt.\n\nRespond in "
         "the format {\"name\": function name, \"parameters\": dictionary of argument "
         "name and its value}.Do not use variables.\n\n",
     .tools_after = "\n\n",
     .tools_with_user = true,
     .tools_note = "Environment: ipython\n",
     .result_role = "ipython"},
    /* Gemma 2 and 3, which know no tools. Templates of Gemma 2 refuse system messages: here they
     * are as in Gemma 3 */
    {.form = "gemma",
     .open = "<start_of_turn>",
     .close = "<end_of_turn>",
     .gap = "\n",
     .end = "\n",
     .trims = true,
     .answers = "model",
     .joined = "\n\n"},
};

const char *el_chat_form(const el_chat_template *row)
{
    return row ? row->form : NULL;
}

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
    const char *tools;   /* what may be called; NULL: nothing, or it was told */
    const char *pending; /* a system message that waits for the user's; NULL: none does */
    char *text;          /* (len) since the last token; there is room for the longest */
    size_t len;
} layout;

static void put_token(layout *out, uint32_t token)
{
    if (out->count < out->capacity) out->tokens[out->count] = token;
    out->count++;
}

/* The text since the last token. */
static edgellm_status put_text(layout *out, edgellm_error *err)
{
    const size_t len = out->len;
    out->len = 0;
    if (len == 0) return EDGELLM_OK;
    size_t used = out->count < out->capacity ? out->count : out->capacity;
    uint32_t *tokens = out->capacity > 0 ? out->tokens + used : NULL;
    size_t count;
    EL_TRY(el_tokenizer_encode(out->t, out->text, len, EDGELLM_TOKENIZE_PLAIN, tokens,
                               out->capacity - used, &count, err));
    out->count += count;
    return EDGELLM_OK;
}

static void add(layout *out, const char *text, size_t len)
{
    memcpy(out->text + out->len, text, len);
    out->len += len;
}

static void add_text(layout *out, const char *text)
{
    if (text != NULL) add(out, text, strlen(text));
}

/* A frame up to its content. */
static edgellm_status put_open(layout *out, const char *role, edgellm_error *err)
{
    const bool is_renamed = out->row->answers != NULL && strcmp(role, "assistant") == 0;
    put_token(out, out->open);
    add_text(out, is_renamed ? out->row->answers : role);
    if (out->row->middle != NULL) {
        EL_TRY(put_text(out, err));
        put_token(out, out->middle);
    }
    add_text(out, out->row->gap);
    return EDGELLM_OK;
}

static edgellm_status put_close(layout *out, edgellm_error *err)
{
    EL_TRY(put_text(out, err));
    put_token(out, out->close);
    add_text(out, out->row->end);
    return put_text(out, err);
}

static void add_tools(layout *out)
{
    add_text(out, out->row->tools_before);
    add_text(out, out->tools);
    add_text(out, out->row->tools_after);
    out->tools = NULL;
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

static void add_content(layout *out, const char *content)
{
    size_t len = strlen(content);
    if (out->row->trims) content = trim(content, &len);
    add(out, content, len);
}

/* Puts the system message that waits before what a user says. */
static void add_pending(layout *out)
{
    add_text(out, out->pending);
    add_text(out, out->row->joined);
    out->pending = NULL;
}

static edgellm_status put_message(layout *out, const char *role, const char *content,
                                  edgellm_error *err)
{
    const bool is_user = strcmp(role, "user") == 0;
    EL_TRY(put_open(out, role, err));
    if (out->tools != NULL && is_user) add_tools(out);
    if (out->pending != NULL && is_user) add_pending(out);
    add_content(out, content);
    return put_close(out, err);
}

/* A system message that no user's follows is a user's turn of its own. */
static edgellm_status put_pending(layout *out, edgellm_error *err)
{
    const char *alone = out->pending;
    out->pending = NULL;
    return alone != NULL ? put_message(out, "user", alone, err) : EDGELLM_OK;
}

static edgellm_status put_turn(layout *out, const edgellm_message *message, edgellm_error *err)
{
    const bool waits = out->row->joined != NULL && strcmp(message->role, "system") == 0;
    if (waits || strcmp(message->role, "user") != 0) EL_TRY(put_pending(out, err));
    if (!waits) return put_message(out, message->role, message->content, err);
    out->pending = message->content;
    return EDGELLM_OK;
}

/* content NULL: there is none, but tools are told there. */
static edgellm_status put_system(layout *out, bool is_dated, const char *content,
                                 edgellm_error *err)
{
    EL_TRY(put_open(out, "system", err));
    if (is_dated && out->tools != NULL) add_text(out, out->row->tools_note);
    if (is_dated) add_text(out, out->row->dates);
    if (content != NULL) add_content(out, content);
    if (out->tools != NULL && !out->row->tools_with_user) {
        if (content != NULL) add_text(out, "\n\n");
        add_tools(out);
    }
    return put_close(out, err);
}

/* The template's own message, where nobody gave one. */
static edgellm_status put_default(layout *out, const char *source, edgellm_error *err)
{
    const char *begin, *end;
    char quote;
    if (!find_default(out->row, source, &begin, &end, &quote)) {
        const bool is_needed = out->tools != NULL && !out->row->tools_with_user;
        return is_needed ? put_system(out, false, NULL, err) : EDGELLM_OK;
    }
    char *content = malloc((size_t)(end - begin) + 1);
    if (content == NULL) return el_fail(err, EDGELLM_ERR_MEMORY, "chat: no memory");
    content[unescape(content, begin, end, quote != '\0')] = '\0';
    edgellm_status status = put_system(out, false, content, err);
    free(content);
    return status;
}

/* What a conversation begins with: *taken is set if that was its first message. */
static edgellm_status put_start(layout *out, const el_vocab *vocab, const edgellm_message *first,
                                bool *taken, edgellm_error *err)
{
    const el_chat_template *row = out->row;
    const char *source = vocab->chat_template;
    *taken = strcmp(first->role, "system") == 0 && row->joined == NULL;
    if (vocab->bos != EL_TOKEN_NONE && strstr(source, "bos_token") != NULL)
        put_token(out, vocab->bos);
    if (row->dated != NULL && strstr(source, row->dated) != NULL)
        return put_system(out, true, *taken ? first->content : "", err);
    if (*taken) return put_system(out, false, first->content, err);
    return put_default(out, source, err);
}

/* What calls gave: the message, and those that follow if they are one frame; *i stands on the last
 * of them then. */
static edgellm_status put_results(layout *out, const edgellm_message *messages, size_t n, size_t *i,
                                  edgellm_error *err)
{
    const el_chat_template *row = out->row;
    EL_TRY(put_open(out, row->result_role, err));
    for (;; ++*i) {
        add_text(out, row->result_before);
        add_text(out, messages[*i].content);
        add_text(out, row->result_after);
        if (row->result_before == NULL || *i + 1 == n || strcmp(messages[*i + 1].role, "tool") != 0)
            break;
        add_text(out, "\n");
    }
    return put_close(out, err);
}

static edgellm_status put_messages(layout *out, const edgellm_message *messages, size_t n,
                                   edgellm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const bool is_result = strcmp(messages[i].role, "tool") == 0;
        EL_TRY(is_result ? put_results(out, messages, n, &i, err)
                         : put_turn(out, &messages[i], err));
    }
    EL_TRY(put_pending(out, err));
    if (out->tools == NULL) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "chat: the tools are told with the first message of a user, and there is none");
}

static edgellm_status put_all(layout *out, const el_vocab *vocab, const edgellm_message *messages,
                              size_t n, unsigned flags, edgellm_error *err)
{
    bool taken = false;
    if (n > 0 && strcmp(messages[0].role, "tools") == 0) {
        out->tools = messages[0].content;
        messages++, n--;
    }
    if (flags & EDGELLM_CHAT_CONTINUE)
        EL_TRY(put_close(out, err));
    else if (n > 0)
        EL_TRY(put_start(out, vocab, &messages[0], &taken, err));
    EL_TRY(put_messages(out, messages + taken, n - taken, err));
    if (!(flags & EDGELLM_CHAT_OPEN_ANSWER)) return EDGELLM_OK;
    EL_TRY(put_open(out, "assistant", err));
    return put_text(out, err);
}

static edgellm_status check_role(const el_chat_template *row, size_t i, const char *role,
                                 unsigned flags, edgellm_error *err)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    if (row->tools_before == NULL && strncmp(role, "tool", 4) == 0)
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "chat: message %zu: the model's chat template knows no tools", i);
    for (size_t k = 0; k < sizeof roles / sizeof roles[0]; k++) {
        if (strcmp(role, roles[k]) == 0) return EDGELLM_OK;
    }
    if (strcmp(role, "tools") != 0)
        return el_fail(
            err, EDGELLM_ERR_USAGE,
            "chat: message %zu has the role \"%.40s\", not system, user, assistant, tool "
            "or tools",
            i, role);
    if (i == 0 && !(flags & EDGELLM_CHAT_CONTINUE)) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "chat: message %zu: tools are told once, before all that is said", i);
}

/* Bytes of what the form says itself in one frame, and behind it. */
static size_t own_bytes(const el_chat_template *row)
{
    const char *const texts[] = {row->gap,          row->end,         row->dates,
                                 row->tools_before, row->tools_after, row->tools_note,
                                 row->result_role,  row->joined};
    size_t sum = sizeof "assistant" + 2; /* a line end or two before the tools */
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        sum += texts[i] != NULL ? strlen(texts[i]) : 0;
    return sum;
}

/* Bytes that the longest frame may need as text: results, and tools with what is said, share one,
 * so all messages together, the default one included. */
static edgellm_status measure(const el_chat_template *row, const char *source,
                              const edgellm_message *messages, size_t n_messages, unsigned flags,
                              size_t *room, edgellm_error *err)
{
    const size_t around =
        row->result_before ? strlen(row->result_before) + strlen(row->result_after) + 1 : 0;
    *room = strlen(source) + own_bytes(row);
    for (size_t i = 0; i < n_messages; i++) {
        EL_TRY(check_role(row, i, messages[i].role, flags, err));
        *room += strlen(messages[i].content) + around;
    }
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
    EL_TRY(measure(row, vocab->chat_template, messages, n_messages, flags, &room, err));

    char *text = malloc(room);
    if (text == NULL)
        return el_fail(err, EDGELLM_ERR_MEMORY, "chat: no memory for messages of %zu bytes", room);
    layout out = {.t = t, .row = row, .tokens = tokens, .capacity = capacity, .text = text};
    out.open = find_special(vocab, row->open);
    out.middle = row->middle ? find_special(vocab, row->middle) : EL_TOKEN_NONE;
    out.close = find_special(vocab, row->close);
    edgellm_status status = put_all(&out, vocab, messages, n_messages, flags, err);
    free(text);
    if (status == EDGELLM_OK) *count = out.count;
    return status;
}
