#include "server/routes.h"

#include <string.h>

static const el_route routes[] = {
    {"/health", false, false, false, el_serve_health, NULL},
    {"/metrics", false, true, false, el_serve_metrics, NULL},
    {"/openapi.json", false, false, false, el_serve_openapi, NULL},
    {"/v1/models", false, true, true, el_serve_models, NULL},
    {"/v1/models/{model}", false, true, true, el_serve_model, NULL},
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
    /* llama.cpp's server's */
    {"/props", false, true, true, el_serve_props, NULL},
    {"/slots", false, true, true, el_serve_slots, NULL},
    {"/slots/{id}", true, true, true, el_serve_slot, NULL},
    {"/lora-adapters", false, true, true, el_serve_lora, NULL},
    {"/tokenize", true, true, true, el_serve_tokenize, NULL},
    {"/detokenize", true, true, true, el_serve_detokenize, NULL},
    {"/apply-template", true, true, true, el_serve_apply_template, NULL},
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

enum { DIGITS = 4 };

/* One to DIGITS of them, and nothing else. */
static bool read_number(const char *text, size_t len, uint32_t *number)
{
    uint32_t value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    *number = value;
    return len >= 1 && len <= DIGITS;
}

/* A number, or a name, stands at the end of a path. */
static bool fits(const char *wanted, const char *path, size_t len, uint32_t *number)
{
    const char *place = strchr(wanted, '{');
    const size_t before = place ? (size_t)(place - wanted) : strlen(wanted);
    if (len < before || memcmp(wanted, path, before) != 0) return false;
    if (!place) return len == before;
    return place[1] == 'm' ? len > before : read_number(path + before, len - before, number);
}

const el_route *el_route_find(const char *path, size_t len, uint32_t *number)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (fits(routes[i].path, path, len, number)) return &routes[i];
    return NULL;
}
