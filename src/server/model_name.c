#include "server/model_name.h"

#include <stdio.h>
#include <string.h>

void el_model_name(const char *path, char *name, size_t size)
{
    static const char *const endings[] = {".bin", ".tm2"};
    const char *slash = strrchr(path, '/');
    snprintf(name, size, "%s", slash ? slash + 1 : path);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t len = strlen(name), n = strlen(endings[i]);
        if (len > n && strcmp(name + len - n, endings[i]) == 0) name[len - n] = '\0';
    }
}

void el_model_name_bits(const edgellm_model_info *info, char *text, size_t size)
{
    snprintf(text, size, "edgellm-%s-%08x", EDGELLM_VERSION,
             info->identity[0] ^ info->identity[1] ^ info->identity[2]);
}
