/*
 * bench_http_servers.h: one server that answers prompts in streams: which it is, which model, and
 * the times of an answer's tokens. Kinds of servers are rows (bench_http_kinds.h).
 */
#ifndef EL_CLI_BENCH_HTTP_SERVERS_H
#define EL_CLI_BENCH_HTTP_SERVERS_H

#include <jansson.h>

#include "cli/bench_http_client.h"
#include "cli/cli_options.h"

typedef struct el_cli_http_kind el_cli_http_kind;

/* For an option: a kind's word and its number. Ends with a row without word. */
extern const el_cli_choice el_cli_http_kind_names[];

/* Start with {0}; close in any case. */
typedef struct el_cli_http_server {
    const el_cli_http_kind *kind;
    el_cli_http *http;
    char software[128]; /* "ollama 0.5.1" */
    char *model;
    unsigned fallback; /* which of the kind's sets of fields is sent: this server refused those
                          before it */
} el_cli_http_server;

#define EL_CLI_HTTP_TOKENS_MAX 65536 /* that one request may ask for */

typedef struct el_cli_http_request {
    const char *prompt;
    uint64_t tokens, seed;
    double temperature;
} el_cli_http_request;

typedef struct el_cli_http_result {
    bool begun; /* start_ns holds */
    uint64_t start_ns;
    json_t *token_ns;              /* the time of each event that brought a token */
    int64_t tokens, prompt_tokens; /* as the server counts them; -1: it does not say */
    char finish[32];               /* its word for why it ended; "": it does not say */
} el_cli_http_result;

/*
 * Connects, checks that this is a server of the kind with that number, and chooses the model:
 * `model`, or, if that is NULL, the only one. Errors: IO (all that the server is or does), USAGE
 * (the URL, the model), MEMORY, INTERRUPTED.
 */
edgellm_status el_cli_http_meet(el_cli_http_server *server, uint64_t kind, const char *url,
                                const char *model, double timeout, edgellm_error *err);
void el_cli_http_leave(el_cli_http_server *server);

/* One answer. Release the result in any case: after an error it tells what came before. Errors:
 * IO, MEMORY, INTERRUPTED. */
edgellm_status el_cli_http_generate(el_cli_http_server *server, const el_cli_http_request *request,
                                    el_cli_http_result *result, edgellm_error *err);
void el_cli_http_release(el_cli_http_result *result);

#endif
