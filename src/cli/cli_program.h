/*
 * cli_program.h: the frame that `edgellm` and the programs it starts have in common: signals and
 * JSON before, one line for an error and the exit code after.
 */
#ifndef EL_CLI_CLI_PROGRAM_H
#define EL_CLI_CLI_PROGRAM_H

#include "cli/cli.h"

/* Once, before any command. From here on signals are caught, so that what starts another program
 * comes before: it would lose one that came in between. */
void el_cli_begin(void);

/* Has the options parsed, then runs the command or prints its help. argv[0] is its name. */
edgellm_status el_cli_run_command(const el_cli_command *command, int argc, char **argv,
                                  edgellm_error *err);

/* Flushes standard output, prints the error if there is one, returns the exit code. */
int el_cli_end(edgellm_status status, edgellm_error *err);

#endif
