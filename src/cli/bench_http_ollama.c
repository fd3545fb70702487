/* bench_http_ollama.c: Ollama's own interface: an event is a line of JSON, the last has the counts.
 */
#include <stdio.h>

#include "cli/bench_http_kinds.h"

#define VERSION "/api/version"

/* Ratios are taken against what calls itself Ollama only, not against all that can be asked so. */
static edgellm_status name(el_cli_http_server *server, const char *version, edgellm_error *err)
{
    bool itself = false;
    EL_CLI_TRY(el_cli_http_says_ollama(server, &itself, err));
    const char *other = el_cli_http_software(server->http);
    if (itself)
        snprintf(server->software, sizeof server->software, "ollama %s", version);
    else
        snprintf(server->software, sizeof server->software, "%s, as Ollama %s",
                 other[0] != '\0' ? other : "a server", version);
    return EDGELLM_OK;
}

static edgellm_status greet(el_cli_http_server *server, edgellm_error *err)
{
    el_cli_http_answer answer;
    json_t *root;
    EL_CLI_TRY(el_cli_http_get(server, VERSION, &answer, &root, err));
    const char *version = json_string_value(json_object_get(root, "version"));
    edgellm_status status = version != NULL ? name(server, version, err)
                                            : el_cli_http_not_that(server, VERSION, &answer, err);
    json_decref(root);
    return status;
}

static json_t *body(const el_cli_http_server *server, const el_cli_http_request *request)
{
    return json_pack("{s:s, s:s, s:b, s:b, s:{s:I, s:I, s:f}}", "model", server->model, "prompt",
                     request->prompt, "stream", 1, "raw", 0, "options", "num_predict",
                     (json_int_t)request->tokens, "seed", (json_int_t)request->seed, "temperature",
                     request->temperature);
}

static edgellm_status read_event(const json_t *root, const el_cli_http_event *event,
                                 el_cli_http_result *result, el_cli_http_reading *reading,
                                 edgellm_error *err)
{
    reading->ended = json_is_true(json_object_get(root, "done"));
    if (!reading->ended && !json_is_string(json_object_get(root, "response"))) {
        return el_cli_http_malformed(event, "no \"response\"", err);
    }
    reading->token = !reading->ended || el_cli_http_has_text(root, "response") ||
                     el_cli_http_has_text(root, "thinking");
    result->tokens = el_cli_http_count(root, "eval_count", result->tokens);
    result->prompt_tokens = el_cli_http_count(root, "prompt_eval_count", result->prompt_tokens);
    el_cli_http_keep_finish(result, json_object_get(root, "done_reason"));
    return EDGELLM_OK;
}

const el_cli_http_kind el_cli_http_ollama = {
    .title = "Ollama",
    .ending = "/api",
    .models = "/api/tags",
    .list = "models",
    .name = "name",
    .no_models = "ollama pull MODEL",
    .generate = "/api/generate",
    .form = EL_CLI_HTTP_LINES,
    .fallbacks = 1,
    .greet = greet,
    .body = body,
    .read = read_event,
};
