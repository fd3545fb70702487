/*
 * cli_outputs.h: what a command writes is nothing that it reads, and no file twice. The files are
 * those of options of the kinds INPUT, ADAPTERS and OUTPUT, and the operands.
 */
#ifndef EL_CLI_CLI_OUTPUTS_H
#define EL_CLI_CLI_OUTPUTS_H

#include "cli/cli_options.h"

/* Do two names lead to one file? Equal names do, whether it is there or not. */
bool el_cli_same_file(const char *a, const char *b);

/* Before a command runs. Errors: USAGE. */
edgellm_status el_cli_check_outputs(const el_cli_command *command, const void *values,
                                    char *const *operands, int n_operands, edgellm_error *err);

#endif
