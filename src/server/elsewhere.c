#include "server/elsewhere.h"

#include <string.h>

#define ONE_MODEL "this server has the one model that it was started with; "

/* And all that is below them. */
static const struct {
    const char *path, *instead;
} rows[] = {
    /* Ollama's */
    {"/api/create", ONE_MODEL "`edgellm quantize` makes others"},
    {"/api/pull", ONE_MODEL "`edgellm pull` fetches others, SIGHUP has another one served"},
    {"/api/push", ONE_MODEL "it sends none anywhere"},
    {"/api/copy", ONE_MODEL "its name is that of its file"},
    {"/api/delete", ONE_MODEL "`edgellm rm` removes those of the store"},
    {"/api/blobs", ONE_MODEL "`edgellm quantize` makes others of files"},
    {"/api/embeddings", "POST /api/embed has taken its place"},
    /* OpenAI's */
    {"/v1/models", "there is one model, of which GET /v1/models tells"},
    {"/v1/responses", "POST /v1/chat/completions answers, and keeps nothing"},
    {"/v1/chat/completions", "answers are not kept"},
    {"/v1/conversations", "conversations are not kept: send all `messages`"},
    {"/v1/assistants", "send `tools` to POST /v1/chat/completions"},
    {"/v1/threads", "conversations are not kept: send all `messages`"},
    {"/v1/batches", "`edgellm batch` answers a file of requests"},
    {"/v1/files", "`edgellm batch` answers a file of requests"},
    {"/v1/audio", "the model reads and writes text alone"},
    {"/v1/images", "the model reads and writes text alone"},
    {"/v1/realtime", "GET /v1/stream is a WebSocket, of text"},
    {"/v1/moderations", "nothing is judged here"},
    {"/v1/fine_tuning", "`edgellm quantize --lora` takes what was trained elsewhere"},
    {"/v1/rerank", "POST /v1/embeddings has vectors to compare"},
    {"/v1/messages", "POST /v1/chat/completions answers messages"},
    /* llama.cpp's server's */
    {"/completion", "POST /v1/completions goes on with a text"},
    {"/completions", "POST /v1/completions goes on with a text"},
    {"/chat/completions", "POST /v1/chat/completions answers messages"},
    {"/embedding", "POST /v1/embeddings has vectors"},
    {"/embeddings", "POST /v1/embeddings has vectors"},
    {"/models", "GET /v1/models tells of the model"},
    {"/infill", "texts are not filled in, only gone on with: POST /v1/completions"},
    {"/rerank", "POST /v1/embeddings has vectors to compare"},
    {"/reranking", "POST /v1/embeddings has vectors to compare"},
};

static bool is_row(const char *wanted, const char *path)
{
    const size_t len = strlen(wanted);
    return strncmp(wanted, path, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

bool el_elsewhere(const char *path, el_problem *problem)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (is_row(rows[i].path, path))
            return el_problem_set(problem, EL_PROBLEM_ROUTE, NULL, "%.100s is not served: %s", path,
                                  rows[i].instead);
    return el_problem_set(problem, EL_PROBLEM_ROUTE, NULL,
                          "there is no %.200s here; GET /openapi.json has all routes", path);
}

bool el_elsewhere_is_ollama(const char *path)
{
    static const char below[] = "/api/";
    return strncmp(path, below, sizeof below - 1) == 0;
}
