#include "server/ask_tools.h"

#include <stdio.h>
#include <string.h>

#define WRONG(...) el_problem_set(problem, EL_PROBLEM_REQUEST, __VA_ARGS__)

enum { PARAM = 96 };

static bool is_name(const json_t *value)
{
    static const char characters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const char *name = json_string_value(value);
    const size_t len = json_string_length(value);
    return name && len >= 1 && len <= EL_TOOL_NAME && strspn(name, characters) == len;
}

static const json_t *function_of(const json_t *value)
{
    const json_t *type = json_object_get(value, "type");
    const char *word = json_string_value(type);
    const json_t *function = json_object_get(value, "function");
    const bool is_function = !type || json_is_null(type) || (word && strcmp(word, "function") == 0);
    return is_function && json_is_object(function) ? function : NULL;
}

/* ---- tools --------------------------------------------------------------------------------- */

static bool is_said(const json_t *schema, const char *keyword)
{
    const json_t *value = json_object_get(schema, keyword);
    return value && !json_is_null(value);
}

/* Is it more than what may stand there for nothing: {}, [], false or 0? */
static bool is_filled(const json_t *schema, const char *keyword)
{
    const json_t *value = json_object_get(schema, keyword);
    return json_is_true(value) || json_object_size(value) > 0 || json_array_size(value) > 0 ||
           json_is_string(value) || json_number_value(value) != 0;
}

/* It asks for no arguments: an object of which no member is named, and that may be empty. */
static bool takes_nothing(const json_t *schema)
{
    static const char *const said[] = {"enum",  "const", "anyOf", "oneOf",
                                       "allOf", "$ref",  "not",   "if"};
    static const char *const filled[] = {"properties", "additionalProperties", "required",
                                         "minProperties"};
    if (!schema || json_is_null(schema)) return true;
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
        if (is_said(schema, said[i])) return false;
    for (size_t i = 0; i < sizeof filled / sizeof filled[0]; i++)
        if (is_filled(schema, filled[i])) return false;
    return true;
}

/* Arguments are always an object. */
static bool is_of_object(const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    const char *word = json_string_value(type);
    if (!type) return json_object_size(schema) == 0 || json_object_get(schema, "properties");
    return word && strcmp(word, "object") == 0;
}

static bool has_tool(const el_ask *ask, const char *name)
{
    for (uint32_t i = 0; i < ask->n_tools; i++)
        if (strcmp(ask->tools[i].name, name) == 0) return true;
    return false;
}

static bool add_tool(el_ask *ask, const json_t *value, el_problem *problem)
{
    char param[PARAM];
    const json_t *function = function_of(value), *name = json_object_get(function, "name");
    const json_t *schema = json_object_get(function, "parameters");
    const json_t *described = json_object_get(function, "description");
    const int len = snprintf(param, sizeof param, "tools[%u].function", ask->n_tools);
    if (!function)
        return WRONG(param, "a tool must be {\"type\": \"function\", \"function\": {...}}");
    snprintf(param + len, sizeof param - (size_t)len, ".name");
    if (!is_name(name))
        return WRONG(param, "a tool's 'name' must have 1 to %d of the characters a-z A-Z 0-9 _ -",
                     EL_TOOL_NAME);
    if (has_tool(ask, json_string_value(name)))
        return WRONG(param, "there is another tool with the name '%s'", json_string_value(name));
    snprintf(param + len, sizeof param - (size_t)len, ".description");
    if (described && !json_is_null(described) && !json_is_string(described))
        return WRONG(param, "a tool's 'description' must be a string");
    snprintf(param + len, sizeof param - (size_t)len, ".parameters");
    if (schema && !json_is_null(schema) && (!json_is_object(schema) || !is_of_object(schema)))
        return WRONG(param, "a tool's 'parameters' must be a JSON schema of an object: {\"type\": "
                            "\"object\", \"properties\": {...}}");
    ask->tools[ask->n_tools++] = (el_tool){.name = json_string_value(name),
                                           .parameters = takes_nothing(schema) ? NULL : schema,
                                           .whole = value};
    return true;
}

bool el_ask_read_tools(el_ask *ask, const json_t *value, el_problem *problem)
{
    ask->n_tools = 0;
    if (!json_is_array(value) || json_array_size(value) > EL_TOOLS)
        return WRONG("tools", "'tools' must be a list of at most %d", EL_TOOLS);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!add_tool(ask, json_array_get(value, i), problem)) return false;
    return true;
}

bool el_ask_read_tool_choice(el_ask *ask, const json_t *value, el_problem *problem)
{
    static const char *const words[] = {
        [EL_TOOLS_AUTO] = "auto", [EL_TOOLS_NONE] = "none", [EL_TOOLS_REQUIRED] = "required"};
    const char *word = json_string_value(value);
    const json_t *name = json_object_get(function_of(value), "name");
    for (int i = 0; word && i <= EL_TOOLS_REQUIRED; i++) {
        ask->tool_choice = (el_tool_choice)i;
        if (strcmp(word, words[i]) == 0) return true;
    }
    if (!json_is_string(name))
        return WRONG("tool_choice", "'tool_choice' must be none, auto, required, or {\"type\": "
                                    "\"function\", \"function\": {\"name\": ...}}");
    ask->tool_choice = EL_TOOLS_ONE;
    ask->tool_wanted = json_string_value(name);
    return true;
}

/* ---- messages ------------------------------------------------------------------------------ */

/* Arguments are an object, or, as OpenAI has it, its text. */
static bool check_call(const el_ask *ask, const json_t *call, size_t number, el_problem *problem)
{
    char param[PARAM];
    const json_t *function = function_of(call);
    const json_t *arguments = json_object_get(function, "arguments");
    const int len = snprintf(param, sizeof param, "messages[%u].tool_calls[%zu].function",
                             ask->n_messages, number);
    if (!function)
        return WRONG(param, "a call must be {\"type\": \"function\", \"function\": {...}}");
    snprintf(param + len, sizeof param - (size_t)len, ".name");
    if (!is_name(json_object_get(function, "name")))
        return WRONG(param, "a call needs the 'name' of a tool");
    snprintf(param + len, sizeof param - (size_t)len, ".arguments");
    if (arguments && !json_is_null(arguments) && !json_is_object(arguments) &&
        !json_is_string(arguments))
        return WRONG(param, "'arguments' must be an object, or its text");
    return true;
}

static bool is_told(const json_t *value)
{
    return value && !json_is_null(value) && !(json_is_array(value) && json_array_size(value) == 0);
}

/* OpenAI's results say whose they are; here they belong to the calls before them by their order. */
static bool check_result(const el_ask *ask, const json_t *message, el_problem *problem)
{
    char param[PARAM];
    snprintf(param, sizeof param, "messages[%u].tool_call_id", ask->n_messages);
    if (!(ask->form & (EL_ASK_CHAT | EL_ASK_STREAM))) return true;
    if (json_is_string(json_object_get(message, "tool_call_id"))) return true;
    return WRONG(param, "what a tool gave needs a 'tool_call_id': the 'id' of its call");
}

bool el_ask_read_calls(el_ask *ask, const json_t *message, const char *role, el_problem *problem)
{
    char param[PARAM];
    const json_t *calls = json_object_get(message, "tool_calls");
    const size_t n = json_array_size(calls);
    if (strcmp(role, "tool") == 0 && !check_result(ask, message, problem)) return false;
    ask->has_calls |= strcmp(role, "tool") == 0;
    ask->calls[ask->n_messages] = NULL;
    if (!is_told(calls)) return true;
    snprintf(param, sizeof param, "messages[%u].tool_calls", ask->n_messages);
    if (!json_is_array(calls) || n > EL_CALLS || strcmp(role, "assistant") != 0)
        return WRONG(param,
                     "'tool_calls' must be a list of at most %d calls, in a message of the "
                     "assistant",
                     EL_CALLS);
    for (size_t i = 0; i < n; i++)
        if (!check_call(ask, json_array_get(calls, i), i, problem)) return false;
    ask->calls[ask->n_messages] = calls;
    ask->has_calls = true;
    return true;
}

/* ---- all together -------------------------------------------------------------------------- */

static bool find_wanted(el_ask *ask, el_problem *problem)
{
    for (uint32_t i = 0; i < ask->n_tools; i++) {
        ask->tool = i;
        if (strcmp(ask->tools[i].name, ask->tool_wanted) == 0) return true;
    }
    return WRONG("tool_choice", "'tool_choice' wants '%.64s', and no tool has that name",
                 ask->tool_wanted);
}

bool el_ask_check_tools(el_ask *ask, el_problem *problem)
{
    if (ask->n_tools == 0 && ask->tool_choice >= EL_TOOLS_REQUIRED)
        return WRONG("tool_choice", "'tool_choice' wants a call, and there are no 'tools'");
    if (ask->tool_choice == EL_TOOLS_ONE && !find_wanted(ask, problem)) return false;
    if (!el_ask_may_call(ask)) return true;
    if (ask->ignore_eos)
        return WRONG("ignore_eos", "'ignore_eos' goes on past the end that an answer with 'tools' "
                                   "has: leave one out");
    if (ask->keeps == EL_KEEPS_GRAMMAR)
        return WRONG("tools", "an answer keeps to one thing: '%s' or 'tools'", ask->keeps_field);
    return true;
}
