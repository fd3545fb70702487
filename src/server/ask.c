#include "server/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ask_lists.h"
#include "server/ask_tools.h"
#include "server/json_limits.h"

#define WRONG(...) el_problem_set(problem, EL_PROBLEM_REQUEST, __VA_ARGS__)

/* A row of the table of fields. `read` gets a value that is not null. */
typedef struct field {
    const char *name;
    unsigned forms; /* of el_ask_form, and OPTIONS */
    bool (*read)(el_ask *ask, const struct field *field, json_t *value, el_problem *problem);
    size_t at; /* in el_ask */
    double min, max;
} field;

/* ---- numbers and switches ------------------------------------------------------------------ */

static bool out_of_range(const field *f, el_problem *problem, const char *what)
{
    return WRONG(f->name, "'%s' must be %s from %.10g to %.16g", f->name, what, f->min, f->max);
}

/* A whole number, also one that a client writes as 5.0. */
static bool whole_of(const json_t *value, json_int_t *number)
{
    static const double most = 9007199254740992; /* from there on reals have no odd numbers */
    const double real = json_number_value(value);
    *number = json_is_integer(value) ? json_integer_value(value) : 0;
    if (!json_is_real(value)) return json_is_integer(value);
    if (!(real >= -most && real <= most) || real != (double)(json_int_t)real) return false;
    *number = (json_int_t)real;
    return true;
}

static bool read_float(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    const double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= f->min && number <= f->max))
        return out_of_range(f, problem, "a number");
    const float narrow = (float)number;
    memcpy((char *)ask + f->at, &narrow, sizeof narrow);
    return true;
}

static bool read_whole(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    json_int_t number;
    if (!whole_of(value, &number) || (double)number < f->min || (double)number > f->max)
        return out_of_range(f, problem, "a whole number");
    const uint32_t narrow = (uint32_t)number;
    memcpy((char *)ask + f->at, &narrow, sizeof narrow);
    return true;
}

static bool read_priority(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    json_int_t number;
    if (!whole_of(value, &number) || (double)number < f->min || (double)number > f->max)
        return out_of_range(f, problem, "a whole number");
    ask->priority = (int32_t)number;
    return true;
}

/* As llama.cpp and Ollama have it: -1 is all of the prompt. */
static bool read_keep(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    json_int_t number;
    if (!whole_of(value, &number) || number != -1) return read_whole(ask, f, value, problem);
    ask->n_keep = UINT32_MAX;
    return true;
}

/* As llama.cpp has it: -1 is as not given; so is 0 for top_k, which is off in either. */
static bool read_top_k(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    json_int_t number;
    if (whole_of(value, &number) && number == -1) {
        ask->sampler.top_k = 0;
        return true;
    }
    return read_whole(ask, f, value, problem);
}

/* As llama.cpp has it: -1 is all. */
static bool read_repeat_last(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    json_int_t number;
    if (whole_of(value, &number) && number == -1) {
        ask->sampler.repeat_last = (uint32_t)f->max;
        return true;
    }
    return read_whole(ask, f, value, problem);
}

/* As Ollama and llama.cpp's web page have it: -1 and -2 are as many as there is room for. */
static bool read_num_predict(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    json_int_t number;
    if (!whole_of(value, &number) || (number != -1 && number != -2))
        return read_whole(ask, f, value, problem);
    ask->max_tokens = 0;
    return true;
}

static bool read_seed(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    json_int_t number;
    if (!whole_of(value, &number) || number < -1)
        return WRONG(f->name, "'seed' must be a whole number, or -1: one by chance");
    ask->has_seed = number >= 0;
    ask->sampler.seed = number >= 0 ? (uint64_t)number : 0;
    return true;
}

static bool read_switch(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    const bool on = json_is_true(value);
    if (!json_is_boolean(value)) return WRONG(f->name, "'%s' must be true or false", f->name);
    memcpy((char *)ask + f->at, &on, sizeof on);
    return true;
}

static bool read_stream_options(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    const json_t *usage = json_object_get(value, "include_usage");
    if (!json_is_object(value) || (usage && !json_is_boolean(usage) && !json_is_null(usage)))
        return WRONG(f->name, "'stream_options' must be an object with include_usage, true or "
                              "false");
    ask->include_usage = json_is_true(usage);
    return true;
}

/* ---- probabilities ------------------------------------------------------------------------- */

/* Of a text that goes on: how many others are told beside each token. */
static bool read_logprobs(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    ask->logprobs = true;
    return read_whole(ask, f, value, problem);
}

static bool read_logit_bias(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    (void)f;
    return el_ask_read_logit_bias(ask, value, problem);
}

static bool read_lora(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    (void)f;
    return el_ask_read_lora(ask, value, problem);
}

/* ---- what is not served -------------------------------------------------------------------- */

static bool read_one(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    json_int_t number;
    (void)ask;
    if (whole_of(value, &number) && number == 1) return true;
    return WRONG(f->name, "'%s' must be 1: one answer a request is all that is served", f->name);
}

/* What asks for nothing. */
static bool is_empty(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_number(value) && json_number_value(value) <= 0); /* -1 too */
}

static bool refuse(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    (void)ask;
    if (is_empty(value)) return true;
    return WRONG(f->name,
                 "'%s' is not served: the answer would be another than asked for; leave "
                 "it out",
                 f->name);
}

/* Text is all that there is. */
static bool read_modalities(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    const char *only = json_string_value(json_array_get(value, 0));
    if (only && json_array_size(value) == 1 && strcmp(only, "text") == 0) return true;
    return refuse(ask, f, value, problem);
}

/* Of the interface that tools had before. */
static bool refuse_tool_choice(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    const char *word = json_string_value(value);
    if (word && (strcmp(word, "none") == 0 || strcmp(word, "auto") == 0)) return true;
    return refuse(ask, f, value, problem);
}

/* ---- tools --------------------------------------------------------------------------------- */

static bool read_tools(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    (void)f;
    return el_ask_read_tools(ask, value, problem);
}

static bool read_tool_choice(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    (void)f;
    return el_ask_read_tool_choice(ask, value, problem);
}

/* ---- what an answer keeps to --------------------------------------------------------------- */

static bool set_keeps(el_ask *ask, const char *field_name, el_keeps keeps, el_problem *problem)
{
    if (ask->keeps != EL_KEEPS_NOTHING)
        return WRONG(field_name, "an answer keeps to one thing: '%s' or '%s'", ask->keeps_field,
                     field_name);
    ask->keeps = keeps;
    ask->keeps_field = field_name;
    return true;
}

static bool read_grammar(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    if (!json_is_string(value)) return WRONG(f->name, "'grammar' must be a string, in GBNF");
    ask->grammar = json_string_value(value);
    return json_string_length(value) == 0 || set_keeps(ask, f->name, EL_KEEPS_GRAMMAR, problem);
}

static bool set_schema(el_ask *ask, const char *name, const json_t *value, el_problem *problem)
{
    if (!json_is_object(value)) return WRONG(name, "'%s' must be a JSON schema, an object", name);
    ask->schema = value;
    return set_keeps(ask, name, EL_KEEPS_SCHEMA, problem);
}

/* As llama.cpp's server has it. */
static bool read_schema(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    return set_schema(ask, f->name, value, problem);
}

static bool read_response_format(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    const char *type = json_string_value(json_object_get(value, "type"));
    if (type && strcmp(type, "text") == 0) return true;
    if (type && strcmp(type, "json_object") == 0)
        return set_keeps(ask, f->name, EL_KEEPS_OBJECT, problem);
    if (type && strcmp(type, "json_schema") == 0)
        return set_schema(ask, "response_format.json_schema.schema",
                          json_object_get(json_object_get(value, "json_schema"), "schema"),
                          problem);
    return WRONG(f->name, "'response_format' must be an object with a 'type': text, json_object or "
                          "json_schema");
}

/* Ollama's. */
static bool read_format(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    const char *word = json_string_value(value);
    if (word && word[0] == '\0') return true;
    if (word && strcmp(word, "json") == 0) return set_keeps(ask, f->name, EL_KEEPS_OBJECT, problem);
    if (word) return WRONG(f->name, "'format' must be \"json\" or a JSON schema");
    return set_schema(ask, f->name, value, problem);
}

/* The model stays loaded, whatever it says; but it must say something that Ollama takes. */
static bool read_keep_alive(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    (void)ask;
    if (json_is_string(value) || json_is_number(value)) return true;
    return WRONG(f->name, "'%s' must be a number of seconds, or a text such as \"5m\"", f->name);
}

/* ---- stop ---------------------------------------------------------------------------------- */

static bool add_stop(el_ask *ask, const json_t *value, el_problem *problem)
{
    el_stop_list *stops = &ask->stops;
    const size_t len = json_string_length(value);
    if (!json_is_string(value) || len < 1 || len > EL_STOP_BYTES || stops->n == EL_STOPS)
        return WRONG("stop", "'stop' must be a string of 1 to %d bytes, or a list of at most %d",
                     EL_STOP_BYTES, EL_STOPS);
    memcpy(stops->text[stops->n], json_string_value(value), len);
    stops->len[stops->n++] = (uint32_t)len;
    return true;
}

static bool read_stop(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    size_t i;
    json_t *one;
    (void)f;
    ask->stops.n = 0;
    if (!json_is_array(value)) return add_stop(ask, value, problem);
    json_array_foreach(value, i, one) if (!add_stop(ask, one, problem)) return false;
    return true;
}

/* ---- prompt and messages ------------------------------------------------------------------- */

static bool read_text(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    const char *text = json_string_value(value);
    if (!text) return WRONG(f->name, "'%s' must be a string", f->name);
    memcpy((char *)ask + f->at, &text, sizeof text);
    return true;
}

static bool read_prompt(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    if (json_is_array(value) && json_array_size(value) == 1) value = json_array_get(value, 0);
    if (!json_is_string(value))
        return WRONG(f->name, "'prompt' must be a string, or a list of one string");
    ask->prompt = json_string_value(value);
    ask->prompt_len = json_string_length(value);
    return true;
}

static bool is_input(const json_t *value)
{
    return json_is_string(value) && json_string_length(value) > 0;
}

static bool read_input(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    const size_t n = json_is_array(value) ? json_array_size(value) : 1;
    bool all = n >= 1 && n <= EL_ASK_INPUTS;
    for (size_t i = 0; all && i < n; i++)
        all = is_input(json_is_array(value) ? json_array_get(value, i) : value);
    if (!all)
        return WRONG(f->name, "'input' must be a string, or a list of 1 to %d, none of them empty",
                     EL_ASK_INPUTS);
    ask->inputs = value;
    ask->n = (uint32_t)n;
    return true;
}

static bool read_encoding(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    const char *name = json_string_value(value);
    ask->base64 = name && strcmp(name, "base64") == 0;
    if (ask->base64 || (name && strcmp(name, "float") == 0)) return true;
    return WRONG(f->name, "'encoding_format' must be float or base64");
}

static bool read_content(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    if (!json_is_string(value)) return WRONG(f->name, "'content' must be a string");
    ask->prompt = json_string_value(value);
    ask->prompt_len = json_string_length(value);
    return true;
}

static bool read_ids(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    json_int_t id;
    if (!json_is_array(value)) return WRONG(f->name, "'tokens' must be a list of whole numbers");
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!whole_of(json_array_get(value, i), &id) || id < 0 || (double)id > f->max)
            return WRONG(f->name, "tokens[%zu] is no whole number from 0 to %.0f", i, f->max);
    ask->ids = value;
    return true;
}

/* The text of a part; NULL if it is something else. */
static const char *text_of_part(const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    if (!type || strcmp(type, "text") != 0) return NULL;
    return json_string_value(json_object_get(part, "text"));
}

/* How long the parts of a content are together; false: one of them is no text. */
static bool measure_parts(const json_t *parts, size_t *len)
{
    *len = 0;
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const char *text = text_of_part(json_array_get(parts, i));
        if (!text) return false;
        *len += strlen(text);
    }
    return true;
}

/* The parts, one after the other, in a new string; NULL: one is no text, or there is no memory. */
static json_t *join(const json_t *parts)
{
    json_malloc_t take;
    json_free_t give_back;
    size_t len;
    if (!measure_parts(parts, &len)) return NULL;
    json_get_alloc_funcs(&take, &give_back);
    char *whole = take(len + 1), *end = whole;
    if (!whole) return NULL;
    for (size_t i = 0; i < json_array_size(parts); i++)
        end = stpcpy(end, text_of_part(json_array_get(parts, i)));
    *end = '\0';
    json_t *value = json_stringn(whole, len);
    give_back(whole);
    return value;
}

/* Makes a string of a list of texts, in its place. */
static bool flatten_content(json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    if (!json_is_array(content)) return json_is_string(content);
    json_t *whole = join(content);
    return whole && json_object_set_new(message, "content", whole) == 0;
}

/* As the chat templates know them; NULL: unknown. */
static const char *role_of(const json_t *message)
{
    static const char *const roles[][2] = {{"system", "system"},
                                           {"developer", "system"},
                                           {"user", "user"},
                                           {"assistant", "assistant"},
                                           {"tool", "tool"}};
    const size_t n = sizeof roles / sizeof roles[0];
    const char *role = json_string_value(json_object_get(message, "role"));
    for (size_t i = 0; role && i < n; i++)
        if (strcmp(role, roles[i][0]) == 0) return roles[i][1];
    return NULL;
}

static bool check_unserved(const el_ask *ask, const json_t *message, el_problem *problem)
{
    char param[48];
    if (is_empty(json_object_get(message, "images"))) return true;
    snprintf(param, sizeof param, "messages[%u].images", ask->n_messages);
    return WRONG(param, "'images' are not served");
}

/* Where there are calls there need be no text. */
static const char *content_of(const el_ask *ask, json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    if (ask->calls[ask->n_messages] && (!content || json_is_null(content))) return "";
    return flatten_content(message) ? json_string_value(json_object_get(message, "content")) : NULL;
}

static bool add_message(el_ask *ask, json_t *message, el_problem *problem)
{
    char param[48];
    const char *role = role_of(message);
    snprintf(param, sizeof param, "messages[%u].role", ask->n_messages);
    if (!role)
        return WRONG(param, "a message needs a 'role': system, developer, user, assistant or tool");
    if (!check_unserved(ask, message, problem)) return false;
    if (!el_ask_read_calls(ask, message, role, problem)) return false;
    snprintf(param, sizeof param, "messages[%u].content", ask->n_messages);
    const char *content = content_of(ask, message);
    if (!content)
        return WRONG(param, "a message needs a 'content': a string, or a list of "
                            "{\"type\": \"text\", \"text\": ...}");
    ask->messages[ask->n_messages++] = (edgellm_message){role, content};
    return true;
}

static bool read_messages(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    size_t i;
    json_t *message;
    const size_t least = ask->form & (EL_ASK_CHAT | EL_ASK_STREAM | EL_ASK_TEMPLATE) ? 1 : 0;
    if (!json_is_array(value) || json_array_size(value) < least ||
        json_array_size(value) > EL_ASK_MESSAGES)
        return WRONG(f->name, "'messages' must be a list of %zu to %d messages", least,
                     EL_ASK_MESSAGES);
    json_array_foreach(value, i, message) if (!add_message(ask, message, problem)) return false;
    return true;
}

/* ---- messages of a WebSocket --------------------------------------------------------------- */

static const char *const acts[EL_ASK_ACTS] = {[EL_ASK_REQUEST] = "request",
                                              [EL_ASK_CANCEL] = "cancel",
                                              [EL_ASK_DEADLINE] = "deadline",
                                              [EL_ASK_RESUME] = "resume",
                                              [EL_ASK_PING] = "ping"};

static bool read_act(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    const char *name = json_string_value(value);
    for (int i = 0; name && i < EL_ASK_ACTS; i++) {
        ask->act = (el_ask_act)i;
        if (strcmp(name, acts[i]) == 0) return true;
    }
    ask->act = EL_ASK_ACTS;
    return WRONG(f->name, "'type' must be request, cancel, deadline, resume or ping");
}

static bool read_id(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    const size_t len = json_string_length(value);
    if (!json_is_string(value) || len < 1 || len > EL_ASK_ID_BYTES)
        return WRONG(f->name, "'id' must be a string of 1 to %d bytes", EL_ASK_ID_BYTES);
    ask->id = json_string_value(value);
    return true;
}

/* ---- the table ----------------------------------------------------------------------------- */

static bool read_options(el_ask *ask, const field *f, json_t *value, el_problem *problem);

enum {
    OPTIONS = 1 << 8,   /* of Ollama's object "options" */
    ENVELOPE = 1 << 9,  /* of a message of a WebSocket, whatever it wants */
    DEADLINE = 1 << 10, /* of one that wants another deadline */
    OPENAI = EL_ASK_CHAT | EL_ASK_COMPLETION | EL_ASK_STREAM,
    OLLAMA = EL_ASK_OLLAMA_CHAT | EL_ASK_OLLAMA_GENERATE,
    CHAT = EL_ASK_CHAT | EL_ASK_STREAM,
    COMPLETION = EL_ASK_COMPLETION | EL_ASK_STREAM,
    CHATS = CHAT | EL_ASK_OLLAMA_CHAT,
    TEXTS = COMPLETION | EL_ASK_OLLAMA_GENERATE,
    SAMPLING = OPENAI | OPTIONS,
    ANY = OPENAI | OLLAMA,
    EMBEDS = EL_ASK_EMBED | EL_ASK_OLLAMA_EMBED,
    SMALL = EL_ASK_TOKENIZE | EL_ASK_DETOKENIZE | EL_ASK_TEMPLATE | EL_ASK_SLOT,
    TOKENS_MAX = 1 << 24,
    DAY_MS = 86400000
};

#define AT(member)      offsetof(el_ask, member)
#define SAMPLER(member) offsetof(el_ask, sampler.member)

static const field fields[] = {
    {"id", ENVELOPE, read_id, 0, 0, 0}, /* first: what is wrong with others is told with it */
    {"type", ENVELOPE, read_act, 0, 0, 0},
    {"resume", ENVELOPE, read_text, AT(resume), 0, 0},
    {"from", ENVELOPE, read_whole, AT(from), 0, TOKENS_MAX},
    {"model", ANY | EL_ASK_OLLAMA_SHOW | EMBEDS, read_text, AT(model), 0, 0},
    {"name", EL_ASK_OLLAMA_SHOW, read_text, AT(model), 0, 0},
    {"messages", CHATS | EL_ASK_TEMPLATE, read_messages, 0, 0, 0},
    {"content", EL_ASK_TOKENIZE, read_content, 0, 0, 0},
    {"add_special", EL_ASK_TOKENIZE, read_switch, AT(add_special), 0, 0},
    {"parse_special", EL_ASK_TOKENIZE, read_switch, AT(parse_special), 0, 0},
    {"with_pieces", EL_ASK_TOKENIZE, read_switch, AT(with_pieces), 0, 0},
    {"tokens", EL_ASK_DETOKENIZE, read_ids, 0, 0, TOKENS_MAX},
    {"filename", EL_ASK_SLOT, read_text, AT(filename), 0, 0},
    {"prompt", COMPLETION, read_prompt, 0, 0, 0},
    {"prompt", EL_ASK_OLLAMA_GENERATE, read_text, AT(prompt), 0, 0},
    {"system", EL_ASK_OLLAMA_GENERATE, read_text, AT(system), 0, 0},
    {"raw", EL_ASK_OLLAMA_GENERATE, read_switch, AT(raw), 0, 0},
    {"input", EMBEDS, read_input, 0, 0, 0},
    {"encoding_format", EL_ASK_EMBED, read_encoding, 0, 0, 0},
    {"dimensions", EMBEDS, read_whole, AT(dimensions), 1, TOKENS_MAX},
    {"options", OLLAMA | EL_ASK_OLLAMA_EMBED, read_options, 0, 0, 0},
    {"keep_alive", OLLAMA | EL_ASK_OLLAMA_EMBED, read_keep_alive, 0, 0, 0},
    {"max_tokens", OPENAI, read_num_predict, AT(max_tokens), 1, TOKENS_MAX},
    {"max_completion_tokens", CHAT, read_num_predict, AT(max_tokens), 1, TOKENS_MAX},
    {"num_predict", OPTIONS, read_num_predict, AT(max_tokens), 0, TOKENS_MAX},
    {"n_predict", OPENAI, read_num_predict, AT(max_tokens), 1, TOKENS_MAX},
    {"num_ctx", OPTIONS, read_whole, AT(num_ctx), 0, TOKENS_MAX},
    {"temperature", SAMPLING, read_float, SAMPLER(temperature), 0, 100},
    {"top_p", SAMPLING, read_float, SAMPLER(top_p), 1e-6, 1},
    {"top_k", SAMPLING, read_top_k, SAMPLER(top_k), 0, 16777216},
    {"min_p", SAMPLING, read_float, SAMPLER(min_p), 0, 1},
    {"typical_p", SAMPLING, read_float, SAMPLER(typical_p), 1e-6, 1},
    {"repeat_penalty", SAMPLING, read_float, SAMPLER(repeat_penalty), 1e-3, 100},
    {"repeat_last_n", SAMPLING, read_repeat_last, SAMPLER(repeat_last), 0, 1048576},
    {"presence_penalty", SAMPLING, read_float, SAMPLER(presence_penalty), -100, 100},
    {"frequency_penalty", SAMPLING, read_float, SAMPLER(frequency_penalty), -100, 100},
    {"seed", SAMPLING, read_seed, 0, 0, 0},
    {"stop", SAMPLING, read_stop, 0, 0, 0},
    {"stream", ANY, read_switch, AT(stream), 0, 0},
    {"stream_options", OPENAI, read_stream_options, 0, 0, 0},
    {"ignore_eos", ANY | OPTIONS, read_switch, AT(ignore_eos), 0, 0},
    {"deadline_ms", ANY | OPTIONS | DEADLINE | EMBEDS, read_whole, AT(deadline_ms), 1, DAY_MS},
    {"priority", ANY | OPTIONS | EMBEDS, read_priority, 0, -100, 100},
    {"shift", ANY | OPTIONS, read_switch, AT(shift), 0, 0},
    {"n_keep", OPENAI, read_keep, AT(n_keep), 0, TOKENS_MAX},
    {"num_keep", OPTIONS, read_keep, AT(n_keep), 0, TOKENS_MAX},
    {"n", EL_ASK_CHAT | EL_ASK_COMPLETION, read_whole, AT(n), 1, EL_ASK_CHOICES},
    {"n", EL_ASK_STREAM, read_one, 0, 0, 0},
    {"best_of", COMPLETION, read_one, 0, 0, 0},
    {"response_format", OPENAI, read_response_format, 0, 0, 0},
    {"tools", CHATS, read_tools, 0, 0, 0},
    {"tool_choice", CHATS | OPTIONS, read_tool_choice, 0, 0, 0},
    {"parallel_tool_calls", CHATS | OPTIONS, read_switch, AT(many_calls), 0, 0},
    {"functions", CHAT, refuse, 0, 0, 0},
    {"function_call", CHAT, refuse_tool_choice, 0, 0, 0},
    {"logprobs", CHAT | OLLAMA, read_switch, AT(logprobs), 0, 0},
    {"logprobs", EL_ASK_COMPLETION, read_logprobs, AT(top_logprobs), 0, EL_ASK_COMPLETION_TOP},
    {"top_logprobs", EL_ASK_CHAT | OLLAMA, read_whole, AT(top_logprobs), 0, EDGELLM_TOP_LOGPROBS},
    {"top_logprobs", COMPLETION, refuse, 0, 0, 0},
    {"logit_bias", OPENAI, read_logit_bias, 0, 0, 0},
    {"lora", ANY | OPTIONS | EMBEDS, read_lora, 0, 0, 0},
    {"logits_hash", OPENAI, read_switch, AT(logits_hash), 0, 0},
    {"grammar", OPENAI, read_grammar, 0, 0, 0},
    {"json_schema", OPENAI, read_schema, 0, 0, 0},
    {"suffix", TEXTS, refuse, 0, 0, 0},
    {"echo", COMPLETION, refuse, 0, 0, 0},
    {"audio", CHAT, refuse, 0, 0, 0},
    {"modalities", CHAT, read_modalities, 0, 0, 0},
    {"web_search_options", CHAT, refuse, 0, 0, 0},
    {"mirostat", SAMPLING, refuse, 0, 0, 0},
    {"dry_multiplier", OPENAI, refuse, 0, 0, 0},
    {"xtc_probability", OPENAI, refuse, 0, 0, 0},
    {"dynatemp_range", OPENAI, refuse, 0, 0, 0},
    {"top_n_sigma", OPENAI, refuse, 0, 0, 0},
    {"samplers", OPENAI, refuse, 0, 0, 0},
    {"n_probs", OPENAI, refuse, 0, 0, 0},
    {"t_max_predict_ms", OPENAI, refuse, 0, 0, 0},
    {"format", OLLAMA, read_format, 0, 0, 0},
    {"think", OLLAMA, refuse, 0, 0, 0},
    {"template", EL_ASK_OLLAMA_GENERATE, refuse, 0, 0, 0},
    {"images", EL_ASK_OLLAMA_GENERATE, refuse, 0, 0, 0},
    {"context", EL_ASK_OLLAMA_GENERATE, refuse, 0, 0, 0},
};

/* ---- reading ------------------------------------------------------------------------------- */

static bool read_fields(el_ask *ask, const json_t *object, unsigned forms, el_problem *problem)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const field *f = &fields[i];
        json_t *value = json_object_get(object, f->name);
        if (!(f->forms & forms) || !value || json_is_null(value)) continue;
        if (!f->read(ask, f, value, problem)) return false;
    }
    return true;
}

/* What is wrong within is told with its whole name. */
static bool read_options(el_ask *ask, const field *f, json_t *value, el_problem *problem)
{
    char param[sizeof problem->param];
    if (!json_is_object(value)) return WRONG(f->name, "'options' must be an object");
    if (read_fields(ask, value, OPTIONS, problem)) return true;
    snprintf(param, sizeof param, "options.%.100s", problem->param);
    memcpy(problem->param, param, sizeof param);
    return false;
}

static bool check_openai(const el_ask *ask, el_problem *problem)
{
    if (ask->form == EL_ASK_CHAT && ask->n_messages == 0)
        return WRONG("messages", "'messages' is missing");
    if (ask->form == EL_ASK_COMPLETION && !ask->prompt)
        return WRONG("prompt", "'prompt' is missing");
    return true;
}

static bool check_small(const el_ask *ask, el_problem *problem)
{
    if (ask->form == EL_ASK_TOKENIZE && !ask->prompt)
        return WRONG("content", "'content' is missing");
    if (ask->form == EL_ASK_DETOKENIZE && !ask->ids) return WRONG("tokens", "'tokens' is missing");
    if (ask->form == EL_ASK_TEMPLATE && ask->n_messages == 0)
        return WRONG("messages", "'messages' is missing");
    return true;
}

/* A prompt of Ollama's that is not raw is what a user says. */
static bool check_ollama(el_ask *ask, el_problem *problem)
{
    const bool has_system = ask->system && ask->system[0] != '\0';
    if (!ask->model) return WRONG("model", "'model' is missing");
    ask->prompt_len = ask->prompt ? strlen(ask->prompt) : 0;
    if (ask->raw && has_system)
        return WRONG("system", "'system' is for a prompt that is laid out, not for a 'raw' one");
    if (ask->raw || ask->prompt_len == 0) return true;
    if (has_system) ask->messages[ask->n_messages++] = (edgellm_message){"system", ask->system};
    ask->messages[ask->n_messages++] = (edgellm_message){"user", ask->prompt};
    return true;
}

/* A request is read as the others are, once it is known that it is one. */
static bool read_request(el_ask *ask, el_problem *problem)
{
    if (!read_fields(ask, ask->root, EL_ASK_STREAM, problem)) return false;
    if (ask->n_messages > 0 && ask->prompt)
        return WRONG("prompt", "a request has 'messages' or a 'prompt', not both");
    if (ask->n_messages == 0 && !ask->prompt)
        return WRONG("messages", "a request needs 'messages' or a 'prompt'");
    if (ask->n_messages == 0 && ask->n_tools > 0)
        return WRONG("tools", "'tools' are for 'messages', not for a 'prompt'");
    return true;
}

static bool read_message(el_ask *ask, el_problem *problem)
{
    ask->act = EL_ASK_ACTS;
    if (!read_fields(ask, ask->root, ENVELOPE, problem)) return false;
    if (ask->act == EL_ASK_ACTS) return WRONG("type", "'type' is missing");
    if (!ask->id && ask->act <= EL_ASK_DEADLINE) return WRONG("id", "'id' is missing");
    if (!ask->resume && ask->act == EL_ASK_RESUME) return WRONG("resume", "'resume' is missing");
    if (ask->act == EL_ASK_REQUEST) return read_request(ask, problem);
    if (ask->act != EL_ASK_DEADLINE) return true;
    if (!read_fields(ask, ask->root, DEADLINE, problem)) return false;
    return ask->deadline_ms > 0 || WRONG("deadline_ms", "'deadline_ms' is missing");
}

static bool check_embed(const el_ask *ask, el_problem *problem)
{
    if (ask->form == EL_ASK_OLLAMA_EMBED && !ask->model)
        return WRONG("model", "'model' is missing");
    return ask->inputs || WRONG("input", "'input' is missing");
}

static bool read_all(el_ask *ask, el_problem *problem)
{
    if (ask->form == EL_ASK_STREAM) return read_message(ask, problem);
    if (!read_fields(ask, ask->root, (unsigned)ask->form, problem)) return false;
    if (el_ask_is_embed(ask)) return check_embed(ask, problem);
    if (ask->form & SMALL) return check_small(ask, problem);
    return ask->form & OPENAI ? check_openai(ask, problem) : check_ollama(ask, problem);
}

static bool check_logprobs(const el_ask *ask, el_problem *problem)
{
    if (ask->top_logprobs == 0 || ask->logprobs) return true;
    return WRONG("top_logprobs", "'top_logprobs' needs 'logprobs': true");
}

/* A grammar has an end. */
static bool check_keeps(const el_ask *ask, el_problem *problem)
{
    if (ask->keeps == EL_KEEPS_NOTHING || !ask->ignore_eos) return true;
    return WRONG("ignore_eos", "'ignore_eos' goes on past the end that '%s' has: leave one out",
                 ask->keeps_field);
}

static bool parse(el_ask *ask, const char *body, size_t len, el_problem *problem)
{
    json_error_t why;
    if (len == 0) return WRONG(NULL, "the body is empty: it must be a JSON object");
    ask->root = json_loadb(body, len, JSON_REJECT_DUPLICATES, &why);
    if (!ask->root && json_error_code(&why) == json_error_out_of_memory)
        return el_problem_set(problem, EL_PROBLEM_INTERNAL, NULL, "no memory for the body");
    if (!ask->root)
        return WRONG(NULL, "the body is no JSON: line %d, column %d: %s", why.line, why.column,
                     why.text);
    if (!json_is_object(ask->root)) return WRONG(NULL, "the body must be a JSON object");
    return true;
}

static bool read_checked(el_ask *ask, el_problem *problem)
{
    return read_all(ask, problem) && check_logprobs(ask, problem) && check_keeps(ask, problem) &&
           el_ask_check_tools(ask, problem);
}

static void begin(el_ask *ask, el_ask_form form, json_t *root)
{
    memset(ask, 0, sizeof *ask);
    ask->form = form;
    ask->root = root;
    ask->stream = (form & OLLAMA) != 0; /* unless it says otherwise */
    ask->many_calls = true;             /* likewise */
    ask->parse_special = true;
    ask->n_keep = EL_ASK_KEEP;
    ask->sampler = edgellm_sampler_defaults();
    ask->n = 1;
}

bool el_ask_read(el_ask *ask, el_ask_form form, const char *body, size_t len, el_problem *problem)
{
    const el_json_extent extent = el_json_measure(body, len);
    begin(ask, form, NULL);
    if (extent.depth > EL_JSON_DEPTH)
        return WRONG(NULL, "the body nests deeper than %d", EL_JSON_DEPTH);
    if (extent.values > EL_JSON_VALUES)
        return el_problem_set(problem, EL_PROBLEM_BODY, NULL, "the body has more than %d values",
                              EL_JSON_VALUES);
    return parse(ask, body, len, problem) && read_checked(ask, problem);
}

bool el_ask_read_object(el_ask *ask, el_ask_form form, json_t *object, el_problem *problem)
{
    begin(ask, form, object);
    return read_checked(ask, problem);
}

void el_ask_release(el_ask *ask)
{
    json_decref(ask->root);
    ask->root = NULL;
}
