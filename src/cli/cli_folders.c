#include "cli/cli_folders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool el_cli_make_folders(char *path)
{
    if (path[0] == '\0') return true;
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made) return false;
    }
    return true;
}

char *el_cli_cache_folder(const char *place)
{
    const char *chosen = place != NULL ? place : getenv("EDGELLM_CACHE");
    if (chosen == NULL || chosen[0] == '\0')
        return el_cli_user_path("XDG_CACHE_HOME", "/.cache", "edgellm");
    return strcmp(chosen, "none") == 0 ? NULL : strdup(chosen);
}

char *el_cli_user_path(const char *variable, const char *under_home, const char *name)
{
    const char *base = getenv(variable), *under = "";
    char *path = NULL;
    if (base == NULL || base[0] != '/') {
        base = getenv("HOME");
        under = under_home;
    }
    if (base == NULL || base[0] != '/') return NULL;
    return asprintf(&path, "%s%s/%s", base, under, name) < 0 ? NULL : path;
}
