/*
 * cmd_rm.c: `edgellm rm`: takes models out of the store.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/cli_options.h"
#include "cli/cli_store.h"

typedef struct rm_values {
    bool unfinished, quiet;
} rm_values;

/* Whoever fetches into a folder holds a lock on it. */
static bool is_in_use(const char *root, const char *key, edgellm_error *err)
{
    char *path;
    if (el_cli_store_path(root, EL_CLI_STORE_PARTIAL, key, NULL, &path, err) != EDGELLM_OK)
        return true;
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool used = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0) close(fd);
    free(path);
    return used;
}

static edgellm_status remove_unfinished(const char *root, const rm_values *v, edgellm_error *err)
{
    el_cli_store_names names;
    edgellm_status status = el_cli_store_list(root, EL_CLI_STORE_PARTIAL, &names, err);
    size_t removed = 0;
    for (size_t i = 0; status == EDGELLM_OK && i < names.n; i++) {
        if (is_in_use(root, names.name[i], err)) continue;
        status = el_cli_store_remove(root, EL_CLI_STORE_PARTIAL, names.name[i], err);
        removed += status == EDGELLM_OK;
    }
    if (status == EDGELLM_OK && !v->quiet)
        printf("removed %zu unfinished; %zu in use\n", removed, names.n - removed);
    el_cli_store_forget(&names);
    return status;
}

static edgellm_status rm(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    const rm_values *v = values;
    char *root;
    if (n_operands == 0 && !v->unfinished)
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "nothing to remove: give names (see edgellm list) or --unfinished");
    EL_CLI_TRY(el_cli_store_root(&root, err));
    edgellm_status status = EDGELLM_OK;
    for (int i = 0; status == EDGELLM_OK && i < n_operands; i++) {
        status = el_cli_store_remove(root, EL_CLI_STORE_MODELS, operands[i], err);
        if (status == EDGELLM_OK && !v->quiet) printf("removed %s\n", operands[i]);
    }
    if (status == EDGELLM_OK && v->unfinished) status = remove_unfinished(root, v, err);
    free(root);
    return status;
}

static const el_cli_option options[] = {
    {"unfinished", 0, EL_CLI_ON, offsetof(rm_values, unfinished), NULL, NULL,
     "what was not fetched to its end, unless somebody fetches it now", 0, 0, NULL},
    {"quiet", 'q', EL_CLI_ON, offsetof(rm_values, quiet), NULL, NULL, "say nothing", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_rm = {
    .name = "rm",
    .summary = "remove models from the store",
    .synopsis = "rm NAME... [options]",
    .about =
        "Removes models that 'edgellm pull' fetched, each as a whole; a program that runs one\n"
        "goes on. Certificates and kept prompts that lie beside a model go with it.\n",
    .examples = "  edgellm rm smollm2\n"
                "  edgellm rm --unfinished\n",
    .options = options,
    .values_size = sizeof(rm_values),
    .min_operands = 0,
    .max_operands = 1000,
    .run = rm,
};
