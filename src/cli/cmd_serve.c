/*
 * cmd_serve.c: `edgellm serve`: a model over HTTP, with OpenAI's interface and Ollama's. Here are
 * the options; the server is src/server.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli_certificate.h"
#include "cli/cli_folders.h"
#include "cli/cli_lora.h"
#include "cli/cli_model.h"
#include "cli/cli_output.h"
#include "cli/cli_signals.h"
#include "cli/serve_senses.h"
#include "server/server.h"

typedef struct serve_values {
    el_cli_model_values model;
    const char *host, *path, *key_file, *tls_certificate, *tls_key, *slot_folder, *certificate;
    el_cli_texts hosts;
    bool insecure, no_web;
    uint32_t port, sessions, queue, connections, drain, reader, resume, heartbeat, calibrate, log;
    uint32_t top_logprobs, answer;
    uint64_t max_body;
} serve_values;

enum { LOG_NONE, LOG_JSON };

static const el_cli_choice logs[] = {{"none", LOG_NONE}, {"json", LOG_JSON}, {NULL, 0}};

static void say_ready(const el_server_report *r)
{
    printf("edgellm: %s at %s | %u session%s of %u tokens, %u thread%s, %u connection%s of at most "
           "%.1f kB, %.1f MB | forecasts by %s\n",
           r->model, r->url, r->sessions, r->sessions == 1 ? "" : "s", r->memory.context,
           r->memory.n_threads, r->memory.n_threads == 1 ? "" : "s", r->connections,
           r->connections == 1 ? "" : "s", (double)r->connection_bytes / 1e3,
           (double)r->memory.total / EL_CLI_MB, r->forecasts_by);
    (void)fflush(stdout);
}

/* By a certificate, where one holds; one that was named has to. */
static edgellm_status find_costs(void *context, const edgellm_model_info *info,
                                 edgellm_scheduler *scheduler, uint32_t sessions,
                                 el_forecasts *forecasts, edgellm_error *err)
{
    const serve_values *v = context;
    const el_cli_model model = {.info = *info};
    el_cli_certified c = {.path = NULL};
    const edgellm_status status = el_cli_certified_find_passes(
        &c, v->certificate, &model, scheduler, sessions, &v->model.session, err);
    forecasts->are_known = status == EDGELLM_OK && c.holds;
    forecasts->costs = c.certificate.costs;
    if (forecasts->are_known)
        snprintf(forecasts->by, sizeof forecasts->by, "the certificate '%s'", c.path);
    else
        snprintf(forecasts->by, sizeof forecasts->by, "a calibration%s%s",
                 c.path != NULL ? ": " : "", c.path != NULL ? c.why.message : "");
    el_cli_certified_release(&c);
    return status;
}

static edgellm_status serve(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    serve_values copy = *(const serve_values *)values, *v = &copy; /* the server hands it back */
    char *cache = NULL;
    el_cli_lora lora = {.n = 0};
    el_cli_serve_senses senses;
    el_server_options o = {.model = operands[0],
                           .engine = v->model.engine,
                           .session = v->model.session,
                           .place = {v->host, v->port, v->path, v->tls_certificate != NULL},
                           .key_file = v->key_file,
                           .key = getenv("EDGELLM_API_KEY"),
                           .allowed_hosts = v->hosts.text,
                           .n_allowed_hosts = v->hosts.n,
                           .insecure = v->insecure,
                           .no_web = v->no_web,
                           .sessions = v->sessions,
                           .queue = v->queue,
                           .top_logprobs = v->top_logprobs,
                           .answer = v->answer,
                           .max_body = v->max_body,
                           .connections = v->connections,
                           .drain_s = v->drain,
                           .reader_s = v->reader,
                           .resume_s = v->resume,
                           .heartbeat_s = v->heartbeat,
                           .find_costs = find_costs,
                           .costs_context = v,
                           .calibrate_ms = v->calibrate,
                           .tls_certificate = v->tls_certificate,
                           .tls_key = v->tls_key,
                           .slot_folder = v->slot_folder,
                           .log_requests = v->log == LOG_JSON,
                           .interrupted = el_cli_interrupted,
                           .ready = say_ready,
                           .sense = el_cli_serve_sense,
                           .sense_context = &senses};
    (void)n_operands;
    edgellm_status status = el_cli_lora_read(&lora, &v->model.lora, err);
    o.engine.adapters = lora.list;
    o.engine.n_adapters = lora.n;
    el_cli_serve_senses_open(&senses);
    cache = el_cli_cache_folder(NULL);
    if (cache != NULL) el_cli_make_folders(cache);
    o.engine.kernel_cache = cache;
    o.engine.grammars = o.session.grammar = true;
    o.engine.copy |= o.session.realtime;
    if (status == EDGELLM_OK) status = el_server_run(&o, err);
    el_cli_serve_senses_close(&senses);
    el_cli_lora_release(&lora);
    free(cache);
    return status;
}

#define FIELD(member) offsetof(serve_values, member)

static const el_cli_option options[] = {
    {"host", 0, EL_CLI_TEXT, FIELD(host), "ADDRESS", "127.0.0.1",
     "where to listen; another needs keys or --insecure", 0, 0, NULL},
    {"port", 0, EL_CLI_U32, FIELD(port), "N", "11435", "TCP port; 0: any that is free", 0, 65535,
     NULL},
    {"unix", 0, EL_CLI_TEXT, FIELD(path), "PATH", NULL,
     "listen at a Unix socket instead, for its owner alone", 0, 0, NULL},
    {"api-key-file", 0, EL_CLI_TEXT, FIELD(key_file), "FILE", NULL,
     "a key a line; one more: EDGELLM_API_KEY", 0, 0, NULL},
    {"tls-cert", 0, EL_CLI_TEXT, FIELD(tls_certificate), "FILE", NULL,
     "with TLS, by this certificate (PEM, those that vouch for it behind it)", 0, 0, NULL},
    {"tls-key", 0, EL_CLI_TEXT, FIELD(tls_key), "FILE", NULL, "its key (PEM)", 0, 0, NULL},
    {"slot-save-path", 0, EL_CLI_TEXT, FIELD(slot_folder), "FOLDER", NULL,
     "where POST /slots/N saves what sessions hold", 0, 0, NULL},
    {"allow-host", 0, EL_CLI_TEXTS, FIELD(hosts), "NAME", NULL,
     "without keys: a name to be asked by beside localhost; several times", 0, 0, NULL},
    {"insecure", 0, EL_CLI_ON, FIELD(insecure), NULL, NULL,
     "whoever reaches --host may ask, without a key", 0, 0, NULL},
    {"no-web", 0, EL_CLI_ON, FIELD(no_web), NULL, NULL, "without the web page at /", 0, 0, NULL},
    {"sessions", 0, EL_CLI_U32, FIELD(sessions), "N", "4", "answers at a time", 1,
     EDGELLM_SCHEDULER_SLOTS, NULL},
    {"queue", 0, EL_CLI_U32, FIELD(queue), "N", "16", "requests that may wait for one of them", 0,
     1024, NULL},
    {"top-logprobs", 0, EL_CLI_U32, FIELD(top_logprobs), "N", "20",
     "the most that a request may want: 8 bytes each a token", 0, EDGELLM_TOP_LOGPROBS, NULL},
    {"max-answer", 0, EL_CLI_U32, FIELD(answer), "N", "0",
     "tokens of an answer with \"shift\", if more than the context has", 0, 16777216, NULL},
    {"connections", 0, EL_CLI_U32, FIELD(connections), "N", "64", "at a time", 1, 32768, NULL},
    {"max-body", 0, EL_CLI_SIZE, FIELD(max_body), "SIZE", "256K", "of a request", 1024, 16777216,
     NULL},
    {"reader-timeout", 0, EL_CLI_U32, FIELD(reader), "S", "20",
     "seconds in which a client may take nothing of its answer", 1, 3600, NULL},
    {"resume-time", 0, EL_CLI_U32, FIELD(resume), "S", "30",
     "seconds that an answer is kept whose WebSocket was lost", 0, 3600, NULL},
    {"heartbeat", 0, EL_CLI_U32, FIELD(heartbeat), "S", "20",
     "seconds between pings of a WebSocket; two without a pong: it ends", 1, 3600, NULL},
    {"log", 0, EL_CLI_CHOICE, FIELD(log), "FORM", "none",
     "a line on standard error for each request: none, json", 0, 0, logs},
    {"drain", 0, EL_CLI_U32, FIELD(drain), "S", "30",
     "seconds that running answers have after SIGTERM", 0, 3600, NULL},
    {"calibrate", 0, EL_CLI_U32, FIELD(calibrate), "MS", "500",
     "how long to measure what tokens take, without a certificate", 1, 60000, NULL},
    EL_CLI_CERTIFICATE_ROW(serve_values),
    EL_CLI_CONTEXT_ROW(serve_values, NULL,
                       "tokens of each session; 512, or less if the model knows less"),
    EL_CLI_SESSION_ROWS(serve_values),
    EL_CLI_REALTIME_ROWS(serve_values),
    EL_CLI_TEMPLATE_ROW(serve_values),
    EL_CLI_ENGINE_ROWS(serve_values),
    EL_CLI_LORA_ROW(serve_values),
    {0},
};

const el_cli_command el_cli_cmd_serve = {
    .name = "serve",
    .synopsis = "serve MODEL [options]",
    .about =
        "Answers over HTTP, as OpenAI's interface has it: /v1/chat/completions, /v1/completions,\n"
        "/v1/embeddings, /v1/models; as Ollama's: /api/chat, /api/generate, /api/embed,\n"
        "/api/tags, /api/show, /api/ps; over a WebSocket, several at a time: /v1/stream; for\n"
        "browsers, a page at /; /health, /metrics, /openapi.json, /slots, /props, /tokenize,\n"
        "/detokenize, /apply-template (docs/SERVER.md).\n"
        "All memory is there before the first request. One line says when it is ready.\n"
        "Where there is more than one core, one is the network's: without\n"
        "-j all others compute. A request may carry deadline_ms: what cannot be answered in time\n"
        "is refused at once, with the forecast. SIGTERM or Ctrl-C: what runs may end, then exit\n"
        "code 0; a second one ends it. SIGHUP: --api-key-file and --tls-cert are read again, and\n"
        "another model under the name MODEL takes the place of the one that is served.\n"
        "Forecasts are made by a certificate of edgellm certify --sessions N with as many threads\n"
        "(-j), if there is one for all sessions, else by a look at the start.\n",
    .examples = "  edgellm serve model.tm2.bin\n"
                "  edgellm serve model.tm2.bin --port 8080 --sessions 2 -c 2048 --rt\n"
                "  edgellm serve model.tm2.bin --unix model.sock --max-ram 256M\n",
    .options = options,
    .values_size = sizeof(serve_values),
    .min_operands = 1,
    .max_operands = 1,
    .model = EL_CLI_RUNS_MODEL,
    .run = serve,
};
