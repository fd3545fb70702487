#include "server/routes.h"

#include <string.h>

static const el_route routes[] = {
    {"/health", false, false, false, el_serve_health},
    {"/v1/models", false, true, true, el_serve_models},
    {"/v1/chat/completions", true, true, true, el_serve_chat},
    {"/v1/completions", true, true, true, el_serve_completions},
};

const el_route *el_route_find(const char *path, size_t len)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (strlen(routes[i].path) == len && memcmp(routes[i].path, path, len) == 0)
            return &routes[i];
    return NULL;
}
