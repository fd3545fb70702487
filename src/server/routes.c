#include "server/routes.h"

#include <string.h>

static const el_route routes[] = {
    {"/health", false, false, false, el_serve_health, NULL},
    {"/metrics", false, true, false, el_serve_metrics, NULL},
    {"/openapi.json", false, false, false, el_serve_openapi, NULL},
    {"/v1/models", false, true, true, el_serve_models, NULL},
    {"/v1/chat/completions", true, true, true, el_serve_chat, NULL},
    {"/v1/completions", true, true, true, el_serve_completions, NULL},
    {"/v1/embeddings", true, true, true, el_serve_embeddings, NULL},
    /* the web page, which browsers get at "/" */
    {"/web/style.css", false, false, false, el_serve_web, NULL},
    {"/web/theme.js", false, false, false, el_serve_web, NULL},
    {"/web/chat.js", false, false, false, el_serve_web, NULL},
    {"/web/stream.js", false, false, false, el_serve_web, NULL},
    {"/web/latency.js", false, false, false, el_serve_web, NULL},
    {"/web/facts.js", false, false, false, el_serve_web, NULL},
    {"/web/icon.svg", false, false, false, el_serve_web, NULL},
    {EL_STREAM_PATH, false, true, true, el_serve_stream, NULL},
    /* Ollama's */
    {"/", false, false, false, el_serve_root, el_problem_write_flat},
    {"/api/version", false, true, false, el_serve_api_version, el_problem_write_flat},
    {"/api/tags", false, true, true, el_serve_api_tags, el_problem_write_flat},
    {"/api/show", true, true, true, el_serve_api_show, el_problem_write_flat},
    {"/api/ps", false, true, true, el_serve_api_ps, el_problem_write_flat},
    {"/api/generate", true, true, true, el_serve_api_generate, el_problem_write_flat},
    {"/api/chat", true, true, true, el_serve_api_chat, el_problem_write_flat},
    {"/api/embed", true, true, true, el_serve_api_embed, el_problem_write_flat},
};

const el_route *el_route_at(size_t number)
{
    return number < sizeof routes / sizeof routes[0] ? &routes[number] : NULL;
}

const el_route *el_route_find(const char *path, size_t len)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (strlen(routes[i].path) == len && memcmp(routes[i].path, path, len) == 0)
            return &routes[i];
    return NULL;
}
