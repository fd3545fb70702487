/* bench_http_openai.c: OpenAI's interface, which many servers have: /v1/completions, whose answer
 * is server-sent events. Counts come in one event more, if the server takes the field that asks
 * for it. */
#include <stdio.h>
#include <string.h>

#include "cli/bench_http_kinds.h"

#define MODELS "/v1/models"

/* Fields that not every server takes, the fullest set first. */
static const struct {
    bool ignore_eos, usage;
} sets[] = {{true, true}, {false, true}, {true, false}, {false, false}};

/* Ollama has this interface too, but its own tells more. */
static edgellm_status is_ollama(el_cli_http_server *server, bool *is, edgellm_error *err)
{
    el_cli_http_answer answer;
    json_t *root;
    EL_CLI_TRY(el_cli_http_get(server, "/api/version", &answer, &root, err));
    *is = json_object_get(root, "version") != NULL;
    json_decref(root);
    return *is ? el_cli_http_says_ollama(server, is, err) : EDGELLM_OK;
}

static edgellm_status greet(el_cli_http_server *server, edgellm_error *err)
{
    el_cli_http_answer answer;
    json_t *root;
    bool ollama = false;
    EL_CLI_TRY(el_cli_http_get(server, MODELS, &answer, &root, err));
    bool is = json_is_array(json_object_get(root, "data"));
    json_decref(root);
    if (!is) return el_cli_http_not_that(server, MODELS, &answer, err);
    const char *software = el_cli_http_software(server->http);
    snprintf(server->software, sizeof server->software,
             software[0] != '\0' ? "openai (%s)" : "openai%s", software);
    EL_CLI_TRY(is_ollama(server, &ollama, err));
    return ollama ? el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED, "it is Ollama") : EDGELLM_OK;
}

static json_t *body(const el_cli_http_server *server, const el_cli_http_request *request)
{
    json_t *o = json_pack("{s:s, s:s, s:b, s:I, s:I, s:f}", "model", server->model, "prompt",
                          request->prompt, "stream", 1, "max_tokens", (json_int_t)request->tokens,
                          "seed", (json_int_t)request->seed, "temperature", request->temperature);
    if (sets[server->fallback].ignore_eos) json_object_set_new(o, "ignore_eos", json_true());
    if (sets[server->fallback].usage) {
        json_object_set_new(o, "stream_options", json_pack("{s:b}", "include_usage", 1));
    }
    return o;
}

static edgellm_status read_event(const json_t *root, const el_cli_http_event *event,
                                 el_cli_http_result *result, el_cli_http_reading *reading,
                                 edgellm_error *err)
{
    const json_t *usage = json_object_get(root, "usage");
    const json_t *choices = json_object_get(root, "choices");
    const json_t *choice = json_array_get(choices, 0);
    const json_t *finish = json_object_get(choice, "finish_reason");
    bool finished = json_is_string(finish);
    if (!json_is_array(choices) && !json_is_object(usage)) {
        return el_cli_http_malformed(event, "neither \"choices\" nor \"usage\"", err);
    }
    if (choice != NULL && !finished && !json_is_string(json_object_get(choice, "text"))) {
        return el_cli_http_malformed(event, "a choice without \"text\"", err);
    }
    reading->token = choice != NULL && (!finished || el_cli_http_has_text(choice, "text"));
    result->tokens = el_cli_http_count(usage, "completion_tokens", result->tokens);
    result->prompt_tokens = el_cli_http_count(usage, "prompt_tokens", result->prompt_tokens);
    el_cli_http_keep_finish(result, finish);
    return EDGELLM_OK;
}

const el_cli_http_kind el_cli_http_openai = {
    .title = "server with OpenAI's interface",
    .ending = "/v1",
    .models = MODELS,
    .list = "data",
    .name = "id",
    .no_models = "have it load one",
    .generate = "/v1/completions",
    .form = EL_CLI_HTTP_SSE,
    .end_mark = "[DONE]",
    .fallbacks = sizeof sets / sizeof sets[0],
    .greet = greet,
    .body = body,
    .read = read_event,
};
