#include "server/tool_layout.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/json_limits.h"

/* Texts are written one behind the other, each with its NUL; where they lie is known at the end. */
typedef struct writing {
    el_tool_layout *layout;
    const el_call_form *form;
    FILE *file;
    size_t at[EL_ASK_MESSAGES + 1]; /* (n_messages) + 1 of each that is in `file`; 0: elsewhere */
    bool has_failed;
} writing;

/* Escapes of control characters, which come one by one, have small letters in templates. */
static int put_piece(const char *piece, size_t len, void *file)
{
    char escape[6];
    if (len == sizeof escape && piece[0] == '\\') {
        for (size_t i = 0; i < len; i++)
            escape[i] = (char)tolower((unsigned char)piece[i]);
        piece = escape;
    }
    return fwrite(piece, 1, len, file) == len ? 0 : -1;
}

/* As templates write it: ", " and ": ", and no escapes that are not needed. */
static void put_json(writing *w, const json_t *value, size_t indent)
{
    const size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(15) | JSON_INDENT(indent);
    w->has_failed |= json_dump_callback(value, put_piece, w->file, flags) != 0;
}

/* A message whose text follows, if content is NULL. */
static void begin(writing *w, const char *role, const char *content)
{
    const uint32_t i = w->layout->n_messages++;
    const long at = ftell(w->file);
    w->at[i] = content || at < 0 ? 0 : (size_t)at + 1;
    w->layout->messages[i] = (edgellm_message){role, content};
}

static void end(writing *w)
{
    fputc('\0', w->file);
}

static void put_tools(writing *w, const el_ask *ask)
{
    begin(w, "tools", NULL);
    for (uint32_t i = 0; i < ask->n_tools; i++) {
        if (i > 0) fputs(w->form->indent > 0 ? "\n\n" : "\n", w->file);
        put_json(w, ask->tools[i].whole, w->form->indent);
    }
    end(w);
}

static const char *string_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* Is it JSON of an object? Empty: of one without members. */
static bool check_text(uint32_t message, size_t call, const char *text, el_problem *problem)
{
    char param[96];
    json_error_t why = {.text = ""};
    const size_t len = strlen(text);
    const bool is_deep = el_json_measure(text, len).depth > EL_JSON_DEPTH;
    json_t *value = is_deep ? NULL : json_loadb(text, len, 0, &why);
    const bool is_object = json_is_object(value);
    const bool has_no_room =
        !value && !is_deep && json_error_code(&why) == json_error_out_of_memory;
    json_decref(value);
    if (is_object) return true;
    snprintf(param, sizeof param, "messages[%u].tool_calls[%zu].function.arguments", message, call);
    if (has_no_room)
        return el_problem_set(problem, EL_PROBLEM_BODY, param,
                              "the calls in the messages are too long to be read");
    return el_problem_set(problem, EL_PROBLEM_REQUEST, param,
                          "'arguments' must be the text of a JSON object");
}

/* Text of arguments stays as it is: with the spaces that the model had put there it is the same
 * tokens again. */
static bool put_arguments(writing *w, uint32_t message, size_t call, const json_t *arguments,
                          el_problem *problem)
{
    const char *text = json_string_value(arguments);
    if (json_is_object(arguments)) {
        put_json(w, arguments, 0);
        return true;
    }
    if (!text || text[0] == '\0') text = "{}";
    if (!check_text(message, call, text, problem)) return false;
    fputs(text, w->file);
    return true;
}

static bool put_calls(writing *w, const el_ask *ask, uint32_t message, el_problem *problem)
{
    const el_call_form *form = w->form;
    const json_t *calls = ask->calls[message];
    const char *content = ask->messages[message].content;
    begin(w, "assistant", NULL);
    if (form->follows_text && content[0] != '\0') fprintf(w->file, "%s\n", content);
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *function = json_object_get(json_array_get(calls, i), "function");
        fprintf(w->file, "%s%s%s%s%s", i > 0 ? form->between : "", form->marker, form->head,
                string_of(function, "name"), form->middle);
        if (!put_arguments(w, message, i, json_object_get(function, "arguments"), problem))
            return false;
        fputs(form->close, w->file);
    }
    end(w);
    return true;
}

static void put_quoted(writing *w, const char *content)
{
    json_t *value = json_string(content);
    begin(w, "tool", NULL);
    w->has_failed |= !value;
    if (value) put_json(w, value, 0);
    json_decref(value);
    end(w);
}

static bool put_all(writing *w, const el_ask *ask, el_problem *problem)
{
    if (el_ask_may_call(ask)) put_tools(w, ask);
    for (uint32_t i = 0; i < ask->n_messages; i++) {
        const edgellm_message *message = &ask->messages[i];
        const bool is_result = strcmp(message->role, "tool") == 0;
        if (ask->calls[i]) {
            if (!put_calls(w, ask, i, problem)) return false;
        } else if (is_result && w->form->quotes_results) {
            put_quoted(w, message->content);
        } else {
            begin(w, message->role, message->content);
        }
    }
    return true;
}

bool el_tool_layout_make(el_tool_layout *layout, const el_ask *ask, const el_call_form *form,
                         el_problem *problem)
{
    size_t len;
    writing w = {.layout = layout, .form = form};
    layout->text = NULL;
    layout->n_messages = 0;
    if (!form)
        return el_problem_set(problem, EL_PROBLEM_REQUEST, ask->n_tools > 0 ? "tools" : "messages",
                              "the model has no chat template in which there are tools");
    w.file = open_memstream(&layout->text, &len);
    if (!w.file)
        return el_problem_set(problem, EL_PROBLEM_INTERNAL, NULL, "no memory for a prompt");
    const bool is_right = put_all(&w, ask, problem);
    w.has_failed |= ferror(w.file) != 0;
    w.has_failed |= fclose(w.file) != 0;
    if (!is_right) return false;
    if (w.has_failed)
        return el_problem_set(problem, EL_PROBLEM_INTERNAL, NULL, "no memory for a prompt");
    for (uint32_t i = 0; i < layout->n_messages; i++)
        if (w.at[i] > 0) layout->messages[i].content = layout->text + w.at[i] - 1;
    return true;
}

void el_tool_layout_release(el_tool_layout *layout)
{
    free(layout->text);
    layout->text = NULL;
}
