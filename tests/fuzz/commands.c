/* commands.c: the table of commands is main.c's own; taking that file in whole finds every command
 * there is and every one to come. Its main() gets another name. What is a program of its own there
 * is a row of `externals` here. */
#include "fuzz/commands.h"
#include "batch/batch.h"
#include "cli/pull.h"
#include "fuzz/fuzz.h"
#include "server/server.h"
#include "train/compress.h"

int el_cli_main(int argc, char **argv);
#define main el_cli_main
#include "cli/main.c" /* NOLINT(bugprone-suspicious-include): see above */
#undef main

unsigned fuzz_commands(void)
{
    return N_COMMANDS;
}

/* Its work needs OpenBLAS, and arguments are only parsed here. */
edgellm_status el_compress(const char *source, const char *target,
                           const el_compress_options *options, el_compress_result *result,
                           edgellm_error *err)
{
    (void)source, (void)target, (void)options, (void)result, (void)err;
    FUZZ_CHECK(!"a command that runs");
    return EDGELLM_ERR_INTERNAL;
}

/* Likewise: it needs libwebsockets. */
edgellm_status el_server_run(const el_server_options *options, edgellm_error *err)
{
    (void)options, (void)err;
    FUZZ_CHECK(!"a command that runs");
    return EDGELLM_ERR_INTERNAL;
}

/* Likewise: it computes. */
edgellm_status el_batch_run(const el_batch_options *options, el_batch_counts *counts,
                            edgellm_error *err)
{
    (void)options, (void)counts, (void)err;
    FUZZ_CHECK(!"a command that runs");
    return EDGELLM_ERR_INTERNAL;
}

/* Likewise: it needs libcurl. */
edgellm_status el_pull_run(const el_pull_options *options, el_pull_result *result,
                           edgellm_error *err)
{
    (void)options, (void)result, (void)err;
    FUZZ_CHECK(!"a command that runs");
    return EDGELLM_ERR_INTERNAL;
}

static const el_cli_command *const externals[] = {&el_cli_cmd_quantize, &el_cli_cmd_serve,
                                                  &el_cli_cmd_batch, &el_cli_cmd_pull};

static const el_cli_command *external_command(const char *name)
{
    const el_cli_command *found = NULL;
    for (size_t i = 0; i < sizeof externals / sizeof externals[0]; i++) {
        if (strcmp(externals[i]->name, name) == 0) found = externals[i];
    }
    FUZZ_CHECK(found != NULL);
    return found;
}

const el_cli_command *fuzz_command(unsigned index)
{
    const command_row *row = &commands[index];
    return row->built_in != NULL ? row->built_in : external_command(row->external.name);
}
