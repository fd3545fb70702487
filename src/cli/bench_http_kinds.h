/*
 * bench_http_kinds.h: what one kind of server is asked, and how its answers read: a file with a
 * row of its own for each, and what they share. Another kind is a file, and a row of the table in
 * bench_http_servers.c.
 */
#ifndef EL_CLI_BENCH_HTTP_KINDS_H
#define EL_CLI_BENCH_HTTP_KINDS_H

#include "cli/bench_http_servers.h"

/* What an event was. */
typedef struct el_cli_http_reading {
    bool token; /* it brought one */
    bool ended; /* nothing comes after it */
} el_cli_http_reading;

struct el_cli_http_kind {
    const char *title;       /* what an error calls it: "Ollama" */
    const char *ending;      /* of a URL that people give, though the routes begin with it */
    const char *models;      /* route */
    const char *list, *name; /* members of its answer: the list; an entry's name */
    const char *no_models;   /* what to do then */
    const char *generate;    /* route */
    el_cli_http_form form;
    const char *end_mark; /* an event that is no JSON and the last; NULL: there is none */
    unsigned fallbacks;   /* sets of fields, the fullest first */

    /* Fills in server->software. Errors: UNSUPPORTED: it is of another kind; IO, MEMORY,
     * INTERRUPTED. */
    edgellm_status (*greet)(el_cli_http_server *server, edgellm_error *err);
    /* NULL, or less than a body, if memory ran out (cli_output.h). */
    json_t *(*body)(const el_cli_http_server *server, const el_cli_http_request *request);
    /* Errors: IO (not such an event). */
    edgellm_status (*read)(const json_t *root, const el_cli_http_event *event,
                           el_cli_http_result *result, el_cli_http_reading *reading,
                           edgellm_error *err);
};

extern const el_cli_http_kind el_cli_http_ollama, el_cli_http_openai;

/* GET. *root: the answer as JSON, owned; NULL if it is none or its status is not 200. Errors: as
 * el_cli_http_ask(), MEMORY. */
edgellm_status el_cli_http_get(el_cli_http_server *server, const char *path,
                               el_cli_http_answer *answer, json_t **root, edgellm_error *err);

/* Says what a route answered instead of what it should. UNSUPPORTED: another kind of server would
 * answer so; else IO. */
edgellm_status el_cli_http_not_that(const el_cli_http_server *server, const char *path,
                                    const el_cli_http_answer *answer, edgellm_error *err);

edgellm_status el_cli_http_malformed(const el_cli_http_event *event, const char *why,
                                     edgellm_error *err);

/* Does it call itself Ollama? A server that only has Ollama's routes doesn't say this at "/".
 * Errors: as el_cli_http_ask(). */
edgellm_status el_cli_http_says_ollama(el_cli_http_server *server, bool *says, edgellm_error *err);

/* A number that may be missing: then the one that was known before. */
int64_t el_cli_http_count(const json_t *object, const char *name, int64_t before);

bool el_cli_http_has_text(const json_t *object, const char *name);

void el_cli_http_keep_finish(el_cli_http_result *result, const json_t *word);

#endif
