/* chat.c: see chat.h. */
#include "token/chat.h"

#include <stdlib.h>
#include <string.h>

#include "token/chars.h"

edgellm_status el_chat_open(el_chat *chat, const el_vocab *vocab, const char *name,
                            edgellm_error *err)
{
    el_chat c = {.vocab = vocab, .source = "", .row = el_chat_form_of(vocab)};
    const el_chat_template *own = c.row;
    if (name != NULL) EL_TRY(el_chat_form_named(&c.row, name, vocab, err));
    if (c.row != NULL && c.row == own) c.source = vocab->chat_template;
    for (size_t i = 0; i < EL_CHAT_TOKENS; i++) {
        const char *token = c.row != NULL ? c.row->tokens[i] : NULL;
        c.tokens[i] = token != NULL ? el_chat_form_token(vocab, token) : EL_TOKEN_NONE;
    }
    *chat = c;
    return EDGELLM_OK;
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
static bool find_default(const el_chat *chat, const char **begin, const char **end, char *quote)
{
    const char *open = chat->row->default_before, *at = chat->source;
    if (open == NULL) return false;
    while ((at = strstr(at, open)) != NULL) {
        char before = at > chat->source ? at[-1] : '\0';
        at += strlen(open);
        size_t skip = line_end(at);
        if (skip == 0) continue;
        *begin = at + skip;
        *quote = before == '\'' || before == '"' ? before : '\0';
        *end = default_end(*begin, *quote, chat->row->default_after);
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

/* ---- white space ---- */

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

/* The text from its first to behind its last character that is no space. */
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

/* ---- laying out ---- */

typedef struct layout {
    const el_chat *chat;
    const el_chat_template *row;
    const el_tokenizer *t;
    uint32_t *tokens;
    size_t capacity, count;
    const char *tools;   /* what may be called; NULL: nothing, or it was told */
    const char *pending; /* a system message that waits for the user's; NULL: none does */
    bool thinks, strips; /* strips: the last token takes in the white space behind it */
    char *text;          /* (len) since the last token; there is room for the longest */
    size_t len;
} layout;

static void put_token(layout *out, uint32_t token)
{
    out->strips = el_vocab_flags(out->chat->vocab, token) & EL_TOKEN_RSTRIP;
    if (out->count < out->capacity) out->tokens[out->count] = token;
    out->count++;
}

/* Without the white space that the tokens beside it take in. */
static const char *part_between(const layout *out, bool strips_before, size_t *len)
{
    const uint8_t *text = (const uint8_t *)out->text;
    size_t begin = 0, end = out->len;
    el_char c = el_chars_at(text, end);
    for (; out->strips && c.kind == EL_CHAR_SPACE; c = el_chars_at(text + begin, end - begin))
        begin += c.size;
    c = el_chars_before(text, begin, end);
    for (; strips_before && c.kind == EL_CHAR_SPACE; c = el_chars_before(text, begin, end))
        end -= c.size;
    *len = end - begin;
    return out->text + begin;
}

/* The text since the last token. */
static edgellm_status put_text(layout *out, bool strips_before, edgellm_error *err)
{
    size_t len;
    const char *text = part_between(out, strips_before, &len);
    out->len = 0;
    out->strips = false;
    if (len == 0) return EDGELLM_OK;
    size_t used = out->count < out->capacity ? out->count : out->capacity;
    uint32_t *tokens = out->capacity > 0 ? out->tokens + used : NULL;
    size_t count;
    EL_TRY(el_tokenizer_encode(out->t, text, len, EDGELLM_TOKENIZE_PLAIN, tokens,
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

/* The form's token that the text begins with; EL_TOKEN_NONE if there is none. */
static uint32_t token_at(const layout *out, const char *text, size_t *len)
{
    const char *const *names = out->row->tokens;
    for (size_t i = 0; i < EL_CHAT_TOKENS && names[i] != NULL; i++) {
        *len = strlen(names[i]);
        if (strncmp(text, names[i], *len) == 0) return out->chat->tokens[i];
    }
    return EL_TOKEN_NONE;
}

/* Files of before say nothing of white space. */
static bool drops_space(const layout *out)
{
    const el_vocab *vocab = out->chat->vocab;
    return out->row->drops_space && vocab->ranks != NULL && vocab->flags == NULL;
}

/* A part of a frame, in which names of the form's tokens are those tokens. */
static edgellm_status put_frame(layout *out, const char *text, edgellm_error *err)
{
    while (*text != '\0') {
        size_t len;
        const uint32_t token = token_at(out, text, &len);
        if (token == EL_TOKEN_NONE) {
            add(out, text++, 1);
            continue;
        }
        const unsigned flags = el_vocab_flags(out->chat->vocab, token);
        EL_TRY(put_text(out, flags & EL_TOKEN_LSTRIP, err));
        put_token(out, token);
        out->strips |= drops_space(out);
        text += len;
    }
    return EDGELLM_OK;
}

static void trim_from(layout *out, size_t start)
{
    size_t len = out->len - start;
    const char *kept = trim(out->text + start, &len);
    memmove(out->text + start, kept, len);
    out->len = start + len;
}

static void add_tools(layout *out)
{
    add_text(out, out->row->tools_before);
    add_text(out, out->tools);
    add_text(out, out->row->tools_after);
    out->tools = NULL;
}

/* What a user says, behind what was to be told with it. */
static void add_asked(layout *out, const char *content)
{
    const el_chat_template *row = out->row;
    if (out->tools != NULL) add_tools(out);
    size_t start = out->len;
    if (out->pending != NULL) {
        add_text(out, row->joined_before);
        add_text(out, out->pending);
        add_text(out, row->joined);
        if (row->joined_before == NULL) start = out->len;
        out->pending = NULL;
    }
    add_text(out, content);
    if (row->trims) trim_from(out, start);
}

static void add_content(layout *out, const char *content)
{
    const size_t start = out->len;
    add_text(out, content);
    if (out->row->trims) trim_from(out, start);
}

/* ---- turns ---- */

static edgellm_status put_asked(layout *out, const char *content, edgellm_error *err)
{
    EL_TRY(put_frame(out, out->row->user.before, err));
    add_asked(out, content);
    return put_frame(out, out->row->user.after, err);
}

/* A system message that no user's follows is a user's turn of its own. */
static edgellm_status put_pending(layout *out, edgellm_error *err)
{
    const char *alone = out->pending;
    out->pending = NULL;
    return alone != NULL ? put_asked(out, alone, err) : EDGELLM_OK;
}

/* content NULL: there is none, but tools are told there. */
static edgellm_status put_system(layout *out, bool is_dated, const char *content,
                                 edgellm_error *err)
{
    const el_chat_template *row = out->row;
    EL_TRY(put_frame(out, row->system.before, err));
    if (is_dated && out->tools != NULL) add_text(out, row->tools_note);
    if (is_dated) add_text(out, row->dates);
    if (content != NULL) add_content(out, content);
    if (out->tools != NULL && !row->tools_with_user) {
        if (content != NULL) add_text(out, "\n\n");
        add_tools(out);
    }
    return put_frame(out, row->system.after, err);
}

static bool is_left_out(const layout *out, const char *content)
{
    const char *skips = out->row->skips_empty;
    return skips != NULL && content[0] == '\0' && strstr(out->chat->source, skips) != NULL;
}

static edgellm_status put_later_system(layout *out, const char *content, edgellm_error *err)
{
    EL_TRY(put_pending(out, err));
    if (out->row->joined != NULL) {
        out->pending = content;
        return EDGELLM_OK;
    }
    if (is_left_out(out, content)) return EDGELLM_OK;
    EL_TRY(put_frame(out, out->row->system.before, err));
    add_content(out, content);
    return put_frame(out, out->row->system.after, err);
}

/* ---- answers ---- */

static const char *skip_lines(const char *text)
{
    return text + strspn(text, "\n");
}

/* What follows the last </think>; the whole if there is none. */
static const char *behind_thought(const char *content)
{
    static const char mark[] = "</think>";
    const char *said = content;
    for (const char *at = content; (at = strstr(at, mark)) != NULL;)
        said = skip_lines(at += sizeof mark - 1);
    return said;
}

/* What stands before the first </think>, behind the last <think> of that. */
static const char *thought_of(const char *content, size_t *len)
{
    static const char open[] = "<think>";
    const char *end = strstr(content, "</think>"), *begin = content;
    *len = 0;
    if (end == NULL) return content;
    while (end > content && end[-1] == '\n')
        end--;
    for (const char *at = content; (at = strstr(at, open)) != NULL && at < end;)
        begin = at += sizeof open - 1;
    if (begin > end) begin = end;
    while (begin < end && *begin == '\n')
        begin++;
    *len = (size_t)(end - begin);
    return begin;
}

/* Before the last question only what was said counts; behind it, between calls, what was thought
 * too. */
static void add_answer(layout *out, const char *content, bool is_behind_question, bool is_last)
{
    size_t len = 0;
    if (!out->thinks) {
        add_content(out, content);
        return;
    }
    const char *thought = thought_of(content, &len), *said = behind_thought(content);
    if (is_behind_question && (is_last || len > 0)) {
        add_text(out, "<think>\n");
        add(out, thought, len);
        add_text(out, "\n</think>\n\n");
        said = skip_lines(said);
    }
    add_text(out, said);
}

static bool is_result_text(const char *content)
{
    static const char open[] = "<tool_response>", close[] = "</tool_response>";
    const size_t len = strlen(content), n = sizeof close - 1;
    return strncmp(content, open, sizeof open - 1) == 0 && len >= n &&
           strcmp(content + len - n, close) == 0;
}

/* Where the user last asked; the last message if nobody did. */
static size_t last_question(const edgellm_message *messages, size_t n)
{
    for (size_t i = n; i-- > 0;)
        if (strcmp(messages[i].role, "user") == 0 && !is_result_text(messages[i].content)) return i;
    return n > 0 ? n - 1 : 0;
}

/* ---- a conversation ---- */

/* The template's own message, where nobody gave one. */
static edgellm_status put_default(layout *out, edgellm_error *err)
{
    const char *begin, *end;
    char quote;
    if (!find_default(out->chat, &begin, &end, &quote)) {
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

/* By the vocabulary's own template if that is how it is laid out, else by what the vocabulary says
 * of any text. */
static bool begins_with_bos(const el_chat *chat)
{
    if (chat->row->bos_is_in_frame || chat->vocab->bos == EL_TOKEN_NONE) return false;
    if (chat->source[0] == '\0') return chat->vocab->add_bos;
    return strstr(chat->source, "bos_token") != NULL;
}

/* What a conversation begins with: *taken is set if that was its first message. */
static edgellm_status put_start(layout *out, const edgellm_message *first, bool *taken,
                                edgellm_error *err)
{
    const el_chat_template *row = out->row;
    *taken = strcmp(first->role, "system") == 0 && row->joined == NULL;
    if (begins_with_bos(out->chat)) put_token(out, out->chat->vocab->bos);
    if (row->dated != NULL && strstr(out->chat->source, row->dated) != NULL)
        return put_system(out, true, *taken ? first->content : "", err);
    if (*taken && is_left_out(out, first->content)) return EDGELLM_OK;
    if (*taken) return put_system(out, false, first->content, err);
    return put_default(out, err);
}

/* What calls gave: the message, and those that follow if they are one frame; *i stands on the last
 * of them then. */
static edgellm_status put_results(layout *out, const edgellm_message *messages, size_t n, size_t *i,
                                  edgellm_error *err)
{
    const el_chat_template *row = out->row;
    EL_TRY(put_pending(out, err));
    EL_TRY(put_frame(out, row->result.before, err));
    for (;; ++*i) {
        add_text(out, row->each.before);
        add_text(out, messages[*i].content);
        add_text(out, row->each.after);
        if (row->each.before == NULL || *i + 1 == n || strcmp(messages[*i + 1].role, "tool") != 0)
            break;
        add_text(out, "\n");
    }
    return put_frame(out, row->result.after, err);
}

static edgellm_status put_answer(layout *out, const edgellm_message *messages, size_t n, size_t i,
                                 edgellm_error *err)
{
    EL_TRY(put_pending(out, err));
    EL_TRY(put_frame(out, out->row->answer.before, err));
    add_answer(out, messages[i].content, i > last_question(messages, n), i + 1 == n);
    return put_frame(out, out->row->answer.after, err);
}

static edgellm_status put_messages(layout *out, const edgellm_message *messages, size_t n,
                                   edgellm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *role = messages[i].role, *content = messages[i].content;
        if (strcmp(role, "tool") == 0)
            EL_TRY(put_results(out, messages, n, &i, err));
        else if (strcmp(role, "assistant") == 0)
            EL_TRY(put_answer(out, messages, n, i, err));
        else if (strcmp(role, "system") == 0)
            EL_TRY(put_later_system(out, content, err));
        else
            EL_TRY(put_asked(out, content, err));
    }
    EL_TRY(put_pending(out, err));
    if (out->tools == NULL) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "chat: the tools are told with the first message of a user, and there is none");
}

static edgellm_status put_all(layout *out, const edgellm_message *messages, size_t n,
                              unsigned flags, edgellm_error *err)
{
    const el_chat_template *row = out->row;
    bool taken = false;
    if (n > 0 && strcmp(messages[0].role, "tools") == 0) {
        out->tools = messages[0].content;
        messages++, n--;
    }
    if (flags & EDGELLM_CHAT_CONTINUE)
        EL_TRY(put_frame(out, row->answer.after, err));
    else if (n > 0)
        EL_TRY(put_start(out, &messages[0], &taken, err));
    EL_TRY(put_messages(out, messages + taken, n - taken, err));
    if (flags & EDGELLM_CHAT_OPEN_ANSWER)
        EL_TRY(put_frame(out, row->opening ? row->opening : row->answer.before, err));
    return put_text(out, false, err);
}

/* ---- checks ---- */

static edgellm_status check_role(const el_chat_template *row, size_t i, const char *role,
                                 unsigned flags, edgellm_error *err)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    if (row->tools_before == NULL && strncmp(role, "tool", 4) == 0)
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "chat: message %zu: the model's chat template (%s) knows no tools", i,
                       row->form);
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

static size_t sum_of(const char *const *texts, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += texts[i] != NULL ? strlen(texts[i]) : 0;
    return sum;
}

/* Bytes that the form may put around a content. */
static size_t bytes_around(const el_chat_template *row)
{
    const char *const texts[] = {row->system.before,
                                 row->system.after,
                                 row->user.before,
                                 row->user.after,
                                 row->answer.before,
                                 row->answer.after,
                                 row->result.before,
                                 row->result.after,
                                 row->each.before,
                                 row->each.after,
                                 row->joined_before,
                                 row->joined,
                                 "\n\n",
                                 "<think>\n\n</think>\n\n"};
    return sum_of(texts, sizeof texts / sizeof texts[0]);
}

static size_t bytes_at_start(const el_chat_template *row)
{
    const char *const texts[] = {row->dates, row->tools_before, row->tools_after, row->tools_note};
    return sum_of(texts, sizeof texts / sizeof texts[0]);
}

/* Bytes that the longest text between two tokens may have: not more than all there is, the default
 * message, an answer's closing and one's opening included. */
static edgellm_status measure(const el_chat *chat, const edgellm_message *messages,
                              size_t n_messages, unsigned flags, size_t *room, edgellm_error *err)
{
    const size_t around = bytes_around(chat->row);
    *room = strlen(chat->source) + bytes_at_start(chat->row) + 4 * around;
    for (size_t i = 0; i < n_messages; i++) {
        EL_TRY(check_role(chat->row, i, messages[i].role, flags, err));
        *room += strlen(messages[i].content) + around;
    }
    return EDGELLM_OK;
}

static edgellm_status no_template(const el_vocab *vocab, edgellm_error *err)
{
    if (vocab->chat_template[0] == '\0')
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED, "chat: the model has no chat template");
    return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                   "chat: the model's chat template is not one of those known (ChatML, Llama 3, "
                   "Gemma, Phi 3, BitNet, Zephyr, Falcon 3, Llama 2); one of them can be asked for "
                   "by its name");
}

edgellm_status el_chat_encode(const el_chat *chat, const el_tokenizer *t,
                              const edgellm_message *messages, size_t n_messages, unsigned flags,
                              uint32_t *tokens, size_t capacity, size_t *count, edgellm_error *err)
{
    const el_chat_template *row = chat->row;
    size_t room;
    if (row == NULL) return no_template(chat->vocab, err);
    EL_TRY(measure(chat, messages, n_messages, flags, &room, err));
    char *text = malloc(room);
    if (text == NULL)
        return el_fail(err, EDGELLM_ERR_MEMORY, "chat: no memory for messages of %zu bytes", room);
    layout out = {.chat = chat,
                  .row = row,
                  .t = t,
                  .tokens = tokens,
                  .capacity = capacity,
                  .thinks = row->thinks != NULL && strstr(chat->source, row->thinks) != NULL,
                  .text = text};
    edgellm_status status = put_all(&out, messages, n_messages, flags, err);
    free(text);
    if (status == EDGELLM_OK) *count = out.count;
    return status;
}
