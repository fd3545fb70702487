#include "cli/cli_outputs.h"

#include <string.h>
#include <sys/stat.h>

#include "cli/cli_lora.h"

bool el_cli_same_file(const char *a, const char *b)
{
    struct stat s, t;
    if (strcmp(a, b) == 0) return true;
    return stat(a, &s) == 0 && stat(b, &t) == 0 && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

/* The name that an option was given; NULL: none, or its kind is of no file. */
static const char *file_of(const el_cli_option *o, const void *values)
{
    const char *name = NULL;
    if (o->kind == EL_CLI_INPUT || o->kind == EL_CLI_OUTPUT)
        memcpy(&name, (const char *)values + o->field, sizeof name);
    return name;
}

static edgellm_status refuse(const el_cli_option *o, const char *path, const char *what,
                             edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "--%s cannot write '%.300s': it is %s; give another name", o->name, path,
                       what);
}

/* path: which the option `output` was given. */
static edgellm_status check_adapters(const el_cli_texts *texts, const el_cli_option *output,
                                     const char *path, edgellm_error *err)
{
    el_cli_lora lora;
    edgellm_status status = el_cli_lora_read(&lora, texts, err);
    for (uint32_t i = 0; i < lora.n && status == EDGELLM_OK; i++)
        if (el_cli_same_file(path, lora.list[i].path))
            status = refuse(output, path, "an adapter of --lora", err);
    el_cli_lora_release(&lora);
    return status;
}

static edgellm_status check_options(const el_cli_option *options, const el_cli_option *output,
                                    const void *values, edgellm_error *err)
{
    char what[64];
    const char *path = file_of(output, values);
    for (const el_cli_option *o = options; o->name != NULL; o++) {
        const char *other = file_of(o, values);
        if (o->kind == EL_CLI_ADAPTERS)
            EL_CLI_TRY(
                check_adapters((const void *)((const char *)values + o->field), output, path, err));
        if (o == output || other == NULL || !el_cli_same_file(path, other)) continue;
        snprintf(what, sizeof what, "that of --%s", o->name);
        return refuse(output, path, what, err);
    }
    return EDGELLM_OK;
}

edgellm_status el_cli_check_outputs(const el_cli_command *command, const void *values,
                                    char *const *operands, int n_operands, edgellm_error *err)
{
    el_cli_option_list options;
    el_cli_flatten(command->options, options);
    for (const el_cli_option *o = options; o->name != NULL; o++) {
        const char *path = o->kind == EL_CLI_OUTPUT ? file_of(o, values) : NULL;
        if (path == NULL) continue;
        for (int i = 0; i < n_operands; i++) {
            const bool model = i == 0 && command->model != EL_CLI_NO_MODEL;
            if (el_cli_same_file(path, operands[i]))
                return refuse(o, path, model ? "the model" : "what is read", err);
        }
        EL_CLI_TRY(check_options(options, o, values, err));
    }
    return EDGELLM_OK;
}
