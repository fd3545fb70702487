#include "batch/envelope.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/json_limits.h"
#include "server/openai.h"

static const el_batch_url urls[] = {
    {"/v1/chat/completions", EL_ASK_CHAT, "chatcmpl", &el_openai_chat},
    {"/v1/completions", EL_ASK_COMPLETION, "cmpl", &el_openai_completion},
};

__attribute__((format(printf, 3, 4))) static bool wrong(el_envelope_fault *fault, const char *code,
                                                        const char *format, ...)
{
    va_list arguments;
    fault->code = code;
    va_start(arguments, format);
    vsnprintf(fault->message, sizeof fault->message, format, arguments);
    va_end(arguments);
    return false;
}

bool el_envelope_is_blank(const el_line *line)
{
    size_t i = 0;
    while (i < line->len && strchr(" \t\r", line->text[i]) && line->text[i] != '\0')
        i++;
    return i == line->len && !line->is_cut;
}

/* ---- fields -------------------------------------------------------------------------------- */

static bool read_custom_id(el_envelope *e, el_envelope_fault *fault)
{
    const json_t *value = json_object_get(e->root, "custom_id");
    const size_t len = json_string_length(value);
    if (!json_is_string(value) || len < 1 || len > EL_ENVELOPE_ID)
        return wrong(fault, "invalid_custom_id", "'custom_id' must be a string of 1 to %d bytes",
                     EL_ENVELOPE_ID);
    e->custom_id = json_string_value(value);
    return true;
}

static bool read_method(const el_envelope *e, el_envelope_fault *fault)
{
    const char *method = json_string_value(json_object_get(e->root, "method"));
    if (method && strcmp(method, "POST") == 0) return true;
    return wrong(fault, "invalid_method", "'method' must be POST");
}

static bool read_url(el_envelope *e, el_envelope_fault *fault)
{
    const char *url = json_string_value(json_object_get(e->root, "url"));
    for (size_t i = 0; url && i < sizeof urls / sizeof urls[0]; i++) {
        if (strcmp(url, urls[i].url) != 0) continue;
        e->url = &urls[i];
        return true;
    }
    return wrong(fault, "invalid_url", "'url' must be %s or %s", urls[0].url, urls[1].url);
}

static bool read_body(el_envelope *e, el_envelope_fault *fault)
{
    e->body = json_object_get(e->root, "body");
    if (json_is_object(e->body)) return true;
    return wrong(fault, "invalid_body", "'body' must be an object");
}

/* ---- the line ------------------------------------------------------------------------------ */

static bool parse(el_envelope *e, const el_line *line, el_envelope_fault *fault)
{
    json_error_t why;
    e->root = json_loadb(line->text, line->len, JSON_REJECT_DUPLICATES, &why);
    if (!e->root)
        return wrong(fault, "invalid_json_line", "the line is no JSON: column %d: %s", why.column,
                     why.text);
    if (!json_is_object(e->root))
        return wrong(fault, "invalid_json_line", "the line must be a JSON object");
    return true;
}

/* The body lies one level deeper than where it comes alone. */
static bool check_extent(const el_line *line, el_envelope_fault *fault)
{
    if (line->is_cut)
        return wrong(fault, "line_too_long", "the line has more than %zu bytes (--max-line)",
                     line->len);
    const el_json_extent extent = el_json_measure(line->text, line->len);
    if (extent.depth > EL_JSON_DEPTH + 1)
        return wrong(fault, "invalid_json_line", "the line nests deeper than %d",
                     EL_JSON_DEPTH + 1);
    if (extent.values > EL_JSON_VALUES)
        return wrong(fault, "invalid_json_line", "the line has more than %d values",
                     EL_JSON_VALUES);
    return true;
}

bool el_envelope_read(el_envelope *envelope, const el_line *line, el_envelope_fault *fault)
{
    *envelope = (el_envelope){0};
    return check_extent(line, fault) && parse(envelope, line, fault) &&
           read_custom_id(envelope, fault) && read_method(envelope, fault) &&
           read_url(envelope, fault) && read_body(envelope, fault);
}

void el_envelope_release(el_envelope *envelope)
{
    json_decref(envelope->root);
    *envelope = (el_envelope){0};
}
