/*
 * bench_http_main.c: the program `edgellm-bench-http`, which `edgellm bench` starts for each server
 * that is measured beside it: libcurl is linked here and nowhere else. A line of JSON in, a line
 * out:
 *
 *   at the start   {"hello": 1, "server": TEXT, "model": NAME, "pids": [...]}
 *   in             {"prompt": TEXT, "tokens": N, "seed": N, "temperature": X}
 *   out            {"start_ns": T, "token_ns": [T, ...], "tokens": N, "prompt_tokens": N or null,
 *                   "finish": WORD or null, "pids": [...]}
 *   or             {"error": TEXT} and, if the request went out, start_ns and token_ns of what came
 *
 * pids: the processes of this machine that serve it. Times are of CLOCK_MONOTONIC, in nanoseconds.
 * An error at the start ends the program, with exit code 3; after any other it goes on. It ends
 * with its input.
 */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_http_servers.h"
#include "cli/cli_line.h"
#include "cli/cli_output.h"
#include "cli/cli_program.h"

typedef struct bench_http_values {
    uint32_t backend;
    const char *url, *model;
    float timeout;
} bench_http_values;

/* ---- lines out ----------------------------------------------------------------------------- */

static json_t *served_by(const el_cli_http_server *server)
{
    el_cli_http_processes found;
    json_t *array = json_array();
    el_cli_http_served_by(server->http, &found);
    for (size_t i = 0; i < found.n; i++)
        json_array_append_new(array, json_integer(found.pid[i]));
    return array;
}

static edgellm_status print_hello(const el_cli_http_server *server, edgellm_error *err)
{
    json_t *o = json_object();
    json_object_set_new(o, "hello", json_integer(1));
    json_object_set_new(o, "server", el_cli_json_text(server->software, strlen(server->software)));
    json_object_set_new(o, "model", json_string(server->model));
    json_object_set_new(o, "pids", served_by(server));
    return el_cli_print_json_line(o, err);
}

/* result: NULL, if there was no request. */
static edgellm_status print_error(const edgellm_error *what, const el_cli_http_result *result,
                                  edgellm_error *err)
{
    json_t *o = json_object();
    json_object_set_new(o, "error", el_cli_json_text(what->message, strlen(what->message)));
    if (result != NULL && result->begun) {
        json_object_set_new(o, "start_ns", json_integer((json_int_t)result->start_ns));
        json_object_set(o, "token_ns", result->token_ns);
    }
    return el_cli_print_json_line(o, err);
}

static json_t *number_or_null(int64_t number)
{
    return number >= 0 ? json_integer(number) : json_null();
}

static edgellm_status print_result(const el_cli_http_server *server,
                                   const el_cli_http_result *result, edgellm_error *err)
{
    json_t *o = json_object();
    int64_t events = (int64_t)json_array_size(result->token_ns);
    const char *finish = result->finish;
    json_object_set_new(o, "start_ns", json_integer((json_int_t)result->start_ns));
    json_object_set(o, "token_ns", result->token_ns);
    json_object_set_new(o, "tokens", json_integer(result->tokens >= 0 ? result->tokens : events));
    json_object_set_new(o, "prompt_tokens", number_or_null(result->prompt_tokens));
    json_object_set_new(o, "finish",
                        finish[0] != '\0' ? el_cli_json_text(finish, strlen(finish)) : json_null());
    json_object_set_new(o, "pids", served_by(server));
    return el_cli_print_json_line(o, err);
}

/* ---- lines in ------------------------------------------------------------------------------ */

/* The texts stay in `root`. */
static edgellm_status read_request(json_t *root, const json_error_t *why,
                                   el_cli_http_request *request, edgellm_error *err)
{
    json_int_t tokens = 0, seed = 0;
    json_error_t wrong;
    if (root == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "a line of input is no JSON: %s", why->text);
    }
    if (json_unpack_ex(root, &wrong, 0, "{s:s, s:I, s?I, s?F}", "prompt", &request->prompt,
                       "tokens", &tokens, "seed", &seed, "temperature",
                       &request->temperature) != 0) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "a line of input is no request: %s", wrong.text);
    }
    if (tokens < 1 || tokens > EL_CLI_HTTP_TOKENS_MAX || seed < 0 || !(request->temperature >= 0)) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "a request is out of range: tokens 1 to %d, seed and temperature from 0",
                           EL_CLI_HTTP_TOKENS_MAX);
    }
    request->tokens = (uint64_t)tokens;
    request->seed = (uint64_t)seed;
    return EDGELLM_OK;
}

/* Does what a line asks and prints a line. Errors: those that end the program. */
static edgellm_status obey(el_cli_http_server *server, const char *line, edgellm_error *err)
{
    json_error_t why;
    el_cli_http_request request = {0};
    el_cli_http_result result = {0};
    edgellm_error failed = {EDGELLM_OK, ""};
    json_t *root = json_loads(line, 0, &why);
    edgellm_status status = read_request(root, &why, &request, &failed);
    if (status == EDGELLM_OK) status = el_cli_http_generate(server, &request, &result, &failed);
    if (status == EDGELLM_ERR_INTERRUPTED || status == EDGELLM_ERR_MEMORY) {
        *err = failed;
    } else if (status == EDGELLM_OK) {
        status = print_result(server, &result, err);
    } else {
        status = print_error(&failed, &result, err);
    }
    el_cli_http_release(&result);
    json_decref(root);
    return status;
}

static edgellm_status serve(el_cli_http_server *server, el_cli_line_source *source,
                            edgellm_error *err)
{
    for (;;) {
        el_cli_line line = {EL_CLI_LINE_END, NULL};
        edgellm_error bad = {EDGELLM_OK, ""};
        edgellm_status status = source->read(source, "", &line, &bad);
        if (status == EDGELLM_ERR_USAGE) { /* this line alone */
            EL_CLI_TRY(print_error(&bad, NULL, err));
            continue;
        }
        if (status != EDGELLM_OK) {
            *err = bad;
            return status;
        }
        if (line.event == EL_CLI_LINE_END) return EDGELLM_OK;
        if (line.event != EL_CLI_LINE_TEXT) return EDGELLM_ERR_INTERRUPTED;
        status = obey(server, line.text, err);
        free(line.text);
        EL_CLI_TRY(status);
    }
}

/* ---- the program --------------------------------------------------------------------------- */

/* The parent reads why; nothing is left to say on standard error. */
static edgellm_status cannot_meet(edgellm_status status, edgellm_error *err)
{
    edgellm_error why = *err;
    err->message[0] = '\0';
    if (status == EDGELLM_ERR_INTERRUPTED) return status;
    EL_CLI_TRY(print_error(&why, NULL, err));
    return EDGELLM_ERR_IO;
}

static edgellm_status meet_and_serve(const bench_http_values *v, edgellm_error *err)
{
    el_cli_http_server server = {0};
    el_cli_line_source *source = NULL;
    edgellm_status status =
        el_cli_http_meet(&server, v->backend, v->url, v->model, (double)v->timeout, err);
    if (status != EDGELLM_OK) {
        status = cannot_meet(status, err);
    } else {
        status = el_cli_plain_open(&source, false, err);
    }
    if (source != NULL) status = print_hello(&server, err);
    if (source != NULL && status == EDGELLM_OK) status = serve(&server, source, err);
    if (source != NULL) source->close(source);
    el_cli_http_leave(&server);
    return status;
}

static edgellm_status bench_http(const void *values, char **operands, int n_operands,
                                 edgellm_error *err)
{
    const bench_http_values *v = values;
    (void)operands, (void)n_operands;
    if (v->url == NULL) return el_cli_fail(err, EDGELLM_ERR_USAGE, "--url URL is missing");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "libcurl does not start");
    }
    edgellm_status status = meet_and_serve(v, err);
    curl_global_cleanup();
    return status;
}

#define FIELD(member) offsetof(bench_http_values, member)

static const el_cli_option options[] = {
    {"backend", 0, EL_CLI_CHOICE, FIELD(backend), "KIND", "openai",
     "ollama: Ollama's own interface; openai: that of OpenAI, which many servers have", 0, 0,
     el_cli_http_kind_names},
    {"url", 0, EL_CLI_TEXT, FIELD(url), "URL", NULL, "where the server is: http://localhost:8080",
     0, 0, NULL},
    {"model", 0, EL_CLI_TEXT, FIELD(model), "NAME", NULL,
     "the model, as the server calls it (default: the only one)", 0, 0, NULL},
    {"timeout", 0, EL_CLI_FLOAT, FIELD(timeout), "SECONDS", "120",
     "gives an answer up when nothing comes for so long", 0.1, 86400, NULL},
    {0},
};

static const el_cli_command command = {
    .name = "bench-http",
    .synopsis = "bench (which starts: edgellm-bench-http --backend KIND --url URL [options])",
    .about = "Times the tokens of a server's streamed answers: requests are lines of JSON on\n"
             "standard input, times lines on standard output.\n",
    .examples = "  echo '{\"prompt\": \"Hello\", \"tokens\": 16}' |\n"
                "      edgellm-bench-http --backend ollama --url http://localhost:11434\n",
    .options = options,
    .values_size = sizeof(bench_http_values),
    .max_operands = 0,
    .run = bench_http,
};

int main(int argc, char **argv)
{
    edgellm_error err = {EDGELLM_OK, ""};
    el_cli_begin();
    return el_cli_end(el_cli_run_command(&command, argc, argv, &err), &err);
}
