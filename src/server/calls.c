#include "server/calls.h"

#include <string.h>

static const el_call_form forms[] = {
    {.name = "chatml",
     .marker = "<tool_call>",
     .head = "\n{\"name\": \"",
     .middle = "\", \"arguments\": ",
     .close = "}\n</tool_call>",
     .between = "\n",
     .most = EL_CALLS,
     .follows_text = true},
    {.name = "llama3",
     .marker = "{\"name\": \"",
     .head = "",
     .middle = "\", \"parameters\": ",
     .close = "}",
     .between = "",
     .most = 1,
     .quotes_results = true,
     .indent = 4},
};

const el_call_form *el_call_form_find(const char *name)
{
    for (size_t i = 0; name && i < sizeof forms / sizeof forms[0]; i++)
        if (strcmp(forms[i].name, name) == 0) return &forms[i];
    return NULL;
}

/* ---- text ---------------------------------------------------------------------------------- */

size_t el_calls_unhold(el_calls *calls, char *at)
{
    const size_t n_lines = calls->n_lines, n_begun = calls->n_begun;
    memset(at, '\n', n_lines);
    if (n_begun > 0) memcpy(at + n_lines, calls->form->marker, n_begun);
    calls->n_lines = calls->n_begun = 0;
    return n_lines + n_begun;
}

/* How many bytes at the end may be the beginning of the marker. */
static size_t begun(const el_calls *calls, const char *bytes, size_t len)
{
    const char *marker = calls->form->marker;
    const char *first = len > 0 ? memrchr(bytes, marker[0], len) : NULL;
    const size_t n = first ? (size_t)(bytes + len - first) : 0;
    return n < strlen(marker) && (n == 0 || memcmp(first, marker, n) == 0) ? n : 0;
}

static size_t lines_before(const char *bytes, size_t end)
{
    size_t n = 0;
    while (n < end && n < EL_CALLS_LINES && bytes[end - n - 1] == '\n')
        n++;
    return n;
}

/* Where the marker begins; `len`: it is not there whole. */
static size_t find(const el_calls *calls, const char *bytes, size_t len)
{
    const size_t n = strlen(calls->form->marker);
    const bool at_start = len >= n && memcmp(bytes, calls->form->marker, n) == 0;
    if (calls->only_first) return at_start && !calls->has_text ? 0 : len;
    const char *at = memmem(bytes, len, calls->form->marker, n);
    return at ? (size_t)(at - bytes) : len;
}

static size_t begin(el_calls *calls, const char *bytes, size_t at, size_t *call)
{
    const size_t text = at - (calls->form->follows_text ? lines_before(bytes, at) : 0);
    calls->stage = EL_CALLS_SKIP;
    calls->then = EL_CALLS_NAME;
    calls->to_skip = (uint32_t)(strlen(calls->form->marker) + strlen(calls->form->head));
    calls->has_text |= text > 0;
    *call = at;
    return text;
}

size_t el_calls_text(el_calls *calls, const char *bytes, size_t len, size_t *call)
{
    *call = len;
    if (!calls->form || len == 0) return len;
    const size_t at = find(calls, bytes, len);
    if (at < len) return begin(calls, bytes, at, call);
    size_t held = begun(calls, bytes, len);
    if (calls->only_first && (calls->has_text || held < len)) held = 0;
    calls->n_begun = (uint8_t)held;
    if (calls->form->follows_text && !calls->only_first)
        calls->n_lines = (uint8_t)lines_before(bytes, len - held);
    const size_t text = len - held - calls->n_lines;
    calls->has_text |= text > 0;
    return text;
}

/* ---- calls --------------------------------------------------------------------------------- */

static void skip(el_calls *calls, size_t n, el_calls_stage then)
{
    calls->stage = EL_CALLS_SKIP;
    calls->to_skip = (uint32_t)n;
    calls->then = (uint8_t)then;
}

static void skip_some(el_calls *calls, const char **at, const char *end)
{
    const size_t left = (size_t)(end - *at);
    const uint32_t n = calls->to_skip < left ? calls->to_skip : (uint32_t)left;
    *at += n;
    calls->to_skip -= n;
    if (calls->to_skip == 0) calls->stage = calls->then;
}

/* True: it is there whole. */
static bool read_name(el_calls *calls, const char **at, const char *end)
{
    while (*at < end && **at != '"') {
        if (calls->name_len < EL_TOOL_NAME) calls->name[calls->name_len++] = **at;
        ++*at;
    }
    if (*at == end) return false;
    calls->name[calls->name_len] = '\0';
    calls->name_len = calls->depth = 0;
    calls->n++;
    skip(calls, strlen(calls->form->middle), EL_CALLS_ARGUMENTS);
    return true;
}

/* One byte of the arguments; true: the last. */
static bool is_last(el_calls *calls, char c)
{
    if (calls->in_string) {
        const bool closes = c == '"' && !calls->is_escaped;
        calls->is_escaped = c == '\\' && !calls->is_escaped;
        calls->in_string = !closes;
        return false;
    }
    calls->in_string = c == '"';
    if (c == '{' || c == '[') calls->depth++;
    if (c == '}' || c == ']') calls->depth--;
    return calls->depth == 0;
}

static void read_arguments(el_calls *calls, const char **at, const char *end)
{
    const el_call_form *form = calls->form;
    while (*at < end) {
        if (!is_last(calls, *(*at)++)) continue;
        calls->ends = true;
        skip(calls,
             strlen(form->close) + strlen(form->between) + strlen(form->marker) +
                 strlen(form->head),
             EL_CALLS_NAME);
        return;
    }
}

el_call_part el_calls_next(el_calls *calls, const char **at, const char *end, const char **piece,
                           size_t *len)
{
    if (calls->ends) {
        calls->ends = false;
        calls->n_done++;
        return EL_CALL_ENDS;
    }
    while (*at < end) {
        if (calls->stage == EL_CALLS_SKIP) {
            skip_some(calls, at, end);
        } else if (calls->stage == EL_CALLS_NAME) {
            if (read_name(calls, at, end)) return EL_CALL_BEGINS;
        } else {
            *piece = *at;
            read_arguments(calls, at, end);
            *len = (size_t)(*at - *piece);
            return EL_CALL_ARGUMENTS;
        }
    }
    return EL_CALL_NONE;
}
