#include "cli/bench_http_servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_http_kinds.h"
#include "cli/cli_output.h"

enum { URL_SHOWN = 150, SAID_BYTES = 160 };

/* Room for an answer that is none of tokens, such as a list of models. */
enum { LIST_BYTES = 4 << 20, LIST_READS = 65536 };

/* Room for a stream: for each token that is asked for, of which some 100 to 400 bytes come; for
 * each byte of the prompt, whose tokens Ollama sends back at the end; and for the rest. */
enum {
    STREAM_BYTES = 256 << 10,
    TOKEN_BYTES = 2048,
    PROMPT_BYTES = 8,
    STREAM_READS = 4096,
    TOKEN_READS = 8
};

enum { OLLAMA, OPENAI, KINDS };

static const el_cli_http_kind *const kinds[KINDS] = {&el_cli_http_ollama, &el_cli_http_openai};

const el_cli_choice el_cli_http_kind_names[] = {{"ollama", OLLAMA}, {"openai", OPENAI}, {NULL, 0}};

/* ---- answers ------------------------------------------------------------------------------- */

/* What a server says of an error, at any of the usual places; NULL: nothing. */
static const char *error_text(const json_t *answer)
{
    static const char *const names[] = {"error", "message", "detail"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const json_t *value = json_object_get(answer, names[i]);
        if (json_is_object(value)) value = json_object_get(value, "message");
        if (json_is_string(value)) return json_string_value(value);
    }
    return NULL;
}

static const char *advice(long status)
{
    static const struct {
        long status;
        const char *text;
    } rows[] = {
        {401, "; it asks for a key, and none is sent"},
        {403, "; it asks for a key, and none is sent"},
        {404, "; it knows no such route or model"},
        {503, "; it may still be loading: try again"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].status == status) return rows[i].text;
    }
    return "";
}

/* Another status than 200, with the server's own words. */
static edgellm_status refused(const el_cli_http_server *server, const char *path,
                              const el_cli_http_answer *answer, edgellm_error *err)
{
    json_t *root = json_loadb(answer->bytes, answer->size, JSON_ALLOW_NUL, NULL);
    const char *said = error_text(root);
    if (said == NULL) said = answer->size > 0 ? answer->bytes : "nothing more";
    edgellm_status status = el_cli_fail(err, EDGELLM_ERR_IO, "%.*s%s answers HTTP %ld: %.*s%s",
                                        URL_SHOWN, el_cli_http_url(server->http), path,
                                        answer->status, SAID_BYTES, said, advice(answer->status));
    json_decref(root);
    return status;
}

edgellm_status el_cli_http_get(el_cli_http_server *server, const char *path,
                               el_cli_http_answer *answer, json_t **root, edgellm_error *err)
{
    *root = NULL;
    EL_CLI_TRY(el_cli_http_ask(server->http, path, NULL, answer, err));
    if (answer->status == 200) {
        *root = json_loadb(answer->bytes, answer->size, JSON_ALLOW_NUL, NULL);
    }
    if (!el_cli_json_starved()) return EDGELLM_OK;
    json_decref(*root);
    *root = NULL;
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a server's answer");
}

edgellm_status el_cli_http_not_that(const el_cli_http_server *server, const char *path,
                                    const el_cli_http_answer *answer, edgellm_error *err)
{
    if (answer->status != 200 && answer->status != 404) return refused(server, path, answer, err);
    return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "%.*s is no %s: %s answers HTTP %ld, %s; is the URL right?", URL_SHOWN,
                       el_cli_http_url(server->http), server->kind->title, path, answer->status,
                       answer->status == 200 ? "but something else" : "there is none");
}

edgellm_status el_cli_http_malformed(const el_cli_http_event *event, const char *why,
                                     edgellm_error *err)
{
    size_t shown = event->len < SAID_BYTES ? event->len : SAID_BYTES;
    return el_cli_fail(err, EDGELLM_ERR_IO, "event %llu of the answer is malformed: %s: %.*s",
                       (unsigned long long)event->number, why, (int)shown, event->data);
}

edgellm_status el_cli_http_says_ollama(el_cli_http_server *server, bool *says, edgellm_error *err)
{
    el_cli_http_answer answer;
    EL_CLI_TRY(el_cli_http_ask(server->http, "/", NULL, &answer, err));
    *says = answer.status == 200 && strstr(answer.bytes, "Ollama is running") != NULL;
    return EDGELLM_OK;
}

int64_t el_cli_http_count(const json_t *object, const char *name, int64_t before)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0) return before;
    return json_integer_value(value);
}

bool el_cli_http_has_text(const json_t *object, const char *name)
{
    return json_string_length(json_object_get(object, name)) > 0;
}

void el_cli_http_keep_finish(el_cli_http_result *result, const json_t *word)
{
    const char *text = json_string_value(word);
    if (text != NULL) snprintf(result->finish, sizeof result->finish, "%s", text);
}

/* ---- meeting ------------------------------------------------------------------------------- */

/* Its kind was named wrong: says the right one, if there is one. `err` holds what it isn't. */
static edgellm_status other_kind(el_cli_http_server *server, edgellm_error *err)
{
    const el_cli_http_kind *named = server->kind;
    edgellm_error ignored = {EDGELLM_OK, ""};
    for (size_t i = 0; i < KINDS; i++) {
        server->kind = kinds[i];
        if (server->kind == named || server->kind->greet(server, &ignored) != EDGELLM_OK) continue;
        return el_cli_fail(err, EDGELLM_ERR_IO, "%.*s is no %s but %s: name it as '%s'", URL_SHOWN,
                           el_cli_http_url(server->http), named->title, server->software,
                           el_cli_http_kind_names[i].word);
    }
    err->status = EDGELLM_ERR_IO;
    return EDGELLM_ERR_IO;
}

static const char *name_at(const el_cli_http_server *server, const json_t *list, size_t i)
{
    const json_t *entry = json_array_get(list, i);
    const char *name = json_string_value(json_object_get(entry, server->kind->name));
    return name != NULL ? name : "";
}

/* "a" also means "a:latest", as Ollama has it. */
static bool is_meant(const char *wanted, const char *name)
{
    size_t len = strlen(wanted);
    if (strncmp(name, wanted, len) != 0) return false;
    return name[len] == '\0' || strcmp(name + len, ":latest") == 0;
}

/* "a, b, c", as many as fit. */
static void list_names(const el_cli_http_server *server, const json_t *list, char *text,
                       size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(list) && used < size; i++) {
        int n =
            snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", name_at(server, list, i));
        used += n > 0 ? (size_t)n : 0;
    }
}

static edgellm_status not_one(const el_cli_http_server *server, const char *wanted,
                              const json_t *list, edgellm_error *err)
{
    char names[SAID_BYTES];
    const char *url = el_cli_http_url(server->http);
    list_names(server, list, names, sizeof names);
    if (json_array_size(list) == 0) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "%.*s has no models: %s", URL_SHOWN, url,
                           server->kind->no_models);
    }
    if (wanted == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "%.*s has several models: name one of: %s",
                           URL_SHOWN, url, names);
    }
    return el_cli_fail(err, EDGELLM_ERR_USAGE, "%.*s has no model '%.80s': name one of: %s",
                       URL_SHOWN, url, wanted, names);
}

static edgellm_status choose(el_cli_http_server *server, const char *wanted, const json_t *list,
                             edgellm_error *err)
{
    size_t n = json_array_size(list);
    const char *chosen = n == 1 && wanted == NULL ? name_at(server, list, 0) : NULL;
    for (size_t i = 0; i < n && wanted != NULL && chosen == NULL; i++) {
        if (is_meant(wanted, name_at(server, list, i))) chosen = name_at(server, list, i);
    }
    if (chosen == NULL) return not_one(server, wanted, list, err);
    server->model = strdup(chosen);
    if (server->model != NULL) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a name");
}

static edgellm_status choose_model(el_cli_http_server *server, const char *wanted,
                                   edgellm_error *err)
{
    const char *route = server->kind->models;
    el_cli_http_answer answer;
    json_t *root;
    EL_CLI_TRY(el_cli_http_get(server, route, &answer, &root, err));
    const json_t *list = json_object_get(root, server->kind->list);
    edgellm_status status = json_is_array(list) ? choose(server, wanted, list, err)
                                                : el_cli_http_not_that(server, route, &answer, err);
    json_decref(root);
    return status;
}

edgellm_status el_cli_http_meet(el_cli_http_server *server, uint64_t kind, const char *url,
                                const char *model, double timeout, edgellm_error *err)
{
    server->kind = kinds[kind];
    EL_CLI_TRY(el_cli_http_open(&server->http, url, server->kind->ending, timeout, err));
    EL_CLI_TRY(el_cli_http_reserve(server->http, LIST_BYTES, LIST_READS, err));
    edgellm_status status = server->kind->greet(server, err);
    if (status == EDGELLM_ERR_UNSUPPORTED) return other_kind(server, err);
    return status == EDGELLM_OK ? choose_model(server, model, err) : status;
}

void el_cli_http_leave(el_cli_http_server *server)
{
    el_cli_http_close(server->http);
    free(server->model);
}

/* ---- generating ---------------------------------------------------------------------------- */

static edgellm_status ask_once(el_cli_http_server *server, const el_cli_http_request *request,
                               el_cli_http_answer *answer, edgellm_error *err)
{
    char *body = el_cli_json_dump(server->kind->body(server, request), JSON_COMPACT);
    if (body == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a request");
    edgellm_status status =
        el_cli_http_ask(server->http, server->kind->generate, body, answer, err);
    free(body);
    return status;
}

/* A server that does not take all fields is asked with fewer, from then on. */
static edgellm_status ask(el_cli_http_server *server, const el_cli_http_request *request,
                          el_cli_http_answer *answer, edgellm_error *err)
{
    const unsigned before = server->fallback;
    for (;;) {
        EL_CLI_TRY(ask_once(server, request, answer, err));
        if (answer->status != 400 && answer->status != 422) return EDGELLM_OK;
        if (++server->fallback == server->kind->fallbacks) break;
    }
    server->fallback = before; /* so it wasn't the fields */
    return EDGELLM_OK;
}

static edgellm_status read_json(const el_cli_http_server *server, const el_cli_http_event *event,
                                el_cli_http_result *result, el_cli_http_reading *reading,
                                edgellm_error *err)
{
    json_error_t why;
    json_t *root = json_loadb(event->data, event->len, JSON_ALLOW_NUL, &why);
    const json_t *error = json_object_get(root, "error");
    edgellm_status status;
    if (root == NULL) {
        status = el_cli_http_malformed(event, why.text, err);
    } else if (event->error || (error != NULL && !json_is_null(error))) {
        const char *text = error_text(root);
        status = el_cli_fail(err, EDGELLM_ERR_IO, "%.*s reports, in event %llu: %.*s", URL_SHOWN,
                             el_cli_http_url(server->http), (unsigned long long)event->number,
                             SAID_BYTES, text != NULL ? text : "an error");
    } else {
        status = server->kind->read(root, event, result, reading, err);
    }
    json_decref(root);
    return status;
}

static edgellm_status read_event(const el_cli_http_server *server, const el_cli_http_event *event,
                                 el_cli_http_result *result, bool *ended, edgellm_error *err)
{
    const char *mark = server->kind->end_mark;
    el_cli_http_reading reading = {false, false};
    *ended =
        mark != NULL && event->len == strlen(mark) && memcmp(event->data, mark, event->len) == 0;
    if (*ended) return EDGELLM_OK;
    EL_CLI_TRY(read_json(server, event, result, &reading, err));
    *ended = reading.ended;
    if (reading.token) json_array_append_new(result->token_ns, json_integer((json_int_t)event->ns));
    return EDGELLM_OK;
}

/* `broken`: the last event may lack its end, and is none then. */
static edgellm_status read_events(const el_cli_http_server *server,
                                  const el_cli_http_answer *answer, bool broken,
                                  el_cli_http_result *result, bool *ended, edgellm_error *err)
{
    el_cli_http_events events = {.form = server->kind->form,
                                 .bytes = answer->bytes,
                                 .size = answer->size,
                                 .reads = answer->reads,
                                 .n_reads = answer->n_reads};
    el_cli_http_event event;
    while (!*ended && el_cli_http_next(&events, &event)) {
        if (broken && !event.whole) break;
        EL_CLI_TRY(read_event(server, &event, result, ended, err));
    }
    if (*ended || result->finish[0] != '\0') return EDGELLM_OK;
    if (events.number > 0) {
        return el_cli_fail(err, EDGELLM_ERR_IO,
                           "%.*s ended its answer half way, after event %llu; see its own log",
                           URL_SHOWN, el_cli_http_url(server->http),
                           (unsigned long long)events.number);
    }
    return el_cli_fail(err, EDGELLM_ERR_IO, "%.*s%s answers without any event, but: %.*s",
                       URL_SHOWN, el_cli_http_url(server->http), server->kind->generate, SAID_BYTES,
                       answer->size > 0 ? answer->bytes : "nothing");
}

static edgellm_status generate(el_cli_http_server *server, const el_cli_http_request *request,
                               el_cli_http_result *result, edgellm_error *err)
{
    el_cli_http_answer answer = {0};
    edgellm_error unread = {EDGELLM_OK, ""};
    bool ended = false;
    edgellm_status status = ask(server, request, &answer, err);
    result->begun = answer.begun;
    result->start_ns = answer.start_ns;
    if (status == EDGELLM_OK && answer.status != 200) {
        return refused(server, server->kind->generate, &answer, err);
    }
    if (answer.status != 200) return status;
    bool broken = status != EDGELLM_OK;
    edgellm_status read = read_events(server, &answer, broken, result, &ended, &unread);
    if (ended) return EDGELLM_OK; /* however the connection fared after that */
    if (!broken) *err = unread;
    return broken ? status : read;
}

edgellm_status el_cli_http_generate(el_cli_http_server *server, const el_cli_http_request *request,
                                    el_cli_http_result *result, edgellm_error *err)
{
    size_t tokens = (size_t)request->tokens;
    size_t bytes = STREAM_BYTES + TOKEN_BYTES * tokens + PROMPT_BYTES * strlen(request->prompt);
    *result = (el_cli_http_result){
        .token_ns = json_array(), .tokens = -1, .prompt_tokens = -1, .finish = ""};
    EL_CLI_TRY(el_cli_http_reserve(server->http, bytes, STREAM_READS + TOKEN_READS * tokens, err));
    edgellm_status status = generate(server, request, result, err);
    if (!el_cli_json_starved()) return status;
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a server's answer");
}

void el_cli_http_release(el_cli_http_result *result)
{
    json_decref(result->token_ns);
    result->token_ns = NULL;
}
