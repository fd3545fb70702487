/* commands.h: the commands of the `edgellm` program. */
#ifndef EL_FUZZ_COMMANDS_H
#define EL_FUZZ_COMMANDS_H

#include "cli/cli.h"

unsigned fuzz_commands(void); /* how many there are */
const el_cli_command *fuzz_command(unsigned index);

#endif
