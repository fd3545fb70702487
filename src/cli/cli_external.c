#include "cli/cli_external.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define FOLDER_VARIABLE "EDGELLM_EXEC_PATH"

/* Where there is no /proc: the name by which the kernel was asked for this program. */
static bool started_as(el_cli_path path)
{
    const char *name = (const char *)getauxval(AT_EXECFN);
    return name != NULL && realpath(name, path) != NULL;
}

edgellm_status el_cli_self(el_cli_path path, edgellm_error *err)
{
    ssize_t n = readlink("/proc/self/exe", path, sizeof(el_cli_path));
    const int error = errno;
    if (n >= 0 && (size_t)n < sizeof(el_cli_path)) {
        path[n] = '\0';
        return EDGELLM_OK;
    }
    if (n < 0 && started_as(path)) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_IO,
                       "cannot tell where this program lies (/proc/self/exe): %s",
                       n < 0 ? strerror(error) : "its path is too long");
}

/* Is the program there? Its path. */
static bool is_in(const char *folder, const char *place, const char *program, el_cli_path path)
{
    int n = snprintf(path, sizeof(el_cli_path), "%s/%s%s", folder, place, program);
    return n >= 0 && (size_t)n < sizeof(el_cli_path) && access(path, F_OK) == 0;
}

static edgellm_status find_named(const el_cli_external *external, const char *folder,
                                 const char *program, el_cli_path path, edgellm_error *err)
{
    if (is_in(folder, "", program, path)) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_IO,
                       "%s is not installed: '%.200s', which " FOLDER_VARIABLE
                       " names, holds no %s",
                       external->title, folder, program);
}

static edgellm_status find_installed(const el_cli_external *external, const char *program,
                                     el_cli_path path, edgellm_error *err)
{
    static const char libexec[] = EL_CLI_LIBEXEC "/"; /* seen from the program's folder */
    el_cli_path folder;
    EL_CLI_TRY(el_cli_self(folder, err));
    char *slash = strrchr(folder, '/');
    if (slash != NULL) *slash = '\0';
    if (is_in(folder, "", program, path) || is_in(folder, libexec, program, path))
        return EDGELLM_OK;
    return el_cli_fail(
        err, EDGELLM_ERR_IO,
        "%s is not installed: %s is neither in '%.100s' nor in its '%s'; install it, "
        "or name its folder in " FOLDER_VARIABLE,
        external->title, program, folder, EL_CLI_LIBEXEC);
}

static void program_of(const el_cli_external *external, char *name, size_t size)
{
    snprintf(name, size, "edgellm-%s", external->name);
}

edgellm_status el_cli_external_find(const el_cli_external *external, el_cli_path path,
                                    edgellm_error *err)
{
    char name[64];
    const char *folder = getenv(FOLDER_VARIABLE);
    program_of(external, name, sizeof name);
    if (folder != NULL && folder[0] != '\0') return find_named(external, folder, name, path, err);
    return find_installed(external, name, path, err);
}

edgellm_status el_cli_external_run(const el_cli_external *external, char **argv, edgellm_error *err)
{
    char name[64];
    el_cli_path path;
    EL_CLI_TRY(el_cli_external_find(external, path, err));
    program_of(external, name, sizeof name);
    argv[0] = name;
    execv(path, argv);
    return el_cli_fail(err, EDGELLM_ERR_IO, "cannot start '%.300s': %s", path, strerror(errno));
}
