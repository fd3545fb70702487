#include "cli/cli_external.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER_VARIABLE "EDGELLM_EXEC_PATH"

edgellm_status el_cli_self(el_cli_path path, edgellm_error *err)
{
    ssize_t n = readlink("/proc/self/exe", path, sizeof(el_cli_path));
    if (n >= 0 && (size_t)n < sizeof(el_cli_path)) {
        path[n] = '\0';
        return EDGELLM_OK;
    }
    return el_cli_fail(err, EDGELLM_ERR_IO,
                       "cannot tell where this program lies (/proc/self/exe): %s",
                       n < 0 ? strerror(errno) : "its path is too long");
}

/* Does not return where the program is there and can be started; OK: it isn't there. */
static edgellm_status start(const char *folder, const char *place, char **argv, edgellm_error *err)
{
    el_cli_path path;
    int n = snprintf(path, sizeof path, "%s/%s%s", folder, place, argv[0]);
    if (n < 0 || (size_t)n >= sizeof path || access(path, F_OK) != 0) return EDGELLM_OK;
    execv(path, argv);
    return el_cli_fail(err, EDGELLM_ERR_IO, "cannot start '%.300s': %s", path, strerror(errno));
}

static edgellm_status start_named(const el_cli_external *external, const char *folder, char **argv,
                                  edgellm_error *err)
{
    EL_CLI_TRY(start(folder, "", argv, err));
    return el_cli_fail(err, EDGELLM_ERR_IO,
                       "%s is not installed: '%.200s', which " FOLDER_VARIABLE
                       " names, holds no %s",
                       external->title, folder, argv[0]);
}

static edgellm_status start_installed(const el_cli_external *external, char **argv,
                                      edgellm_error *err)
{
    static const char libexec[] = EL_CLI_LIBEXEC "/"; /* seen from the program's folder */
    el_cli_path folder;
    EL_CLI_TRY(el_cli_self(folder, err));
    char *slash = strrchr(folder, '/');
    if (slash != NULL) *slash = '\0';
    EL_CLI_TRY(start(folder, "", argv, err));
    EL_CLI_TRY(start(folder, libexec, argv, err));
    return el_cli_fail(
        err, EDGELLM_ERR_IO,
        "%s is not installed: %s is neither in '%.100s' nor in its '%s'; install it, "
        "or name its folder in " FOLDER_VARIABLE,
        external->title, argv[0], folder, EL_CLI_LIBEXEC);
}

edgellm_status el_cli_external_run(const el_cli_external *external, char **argv, edgellm_error *err)
{
    char name[64];
    const char *folder = getenv(FOLDER_VARIABLE);
    snprintf(name, sizeof name, "edgellm-%s", external->name);
    argv[0] = name;
    if (folder != NULL && folder[0] != '\0') return start_named(external, folder, argv, err);
    return start_installed(external, argv, err);
}
