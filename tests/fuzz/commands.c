/* commands.c: the table of commands is main.c's own; taking that file in whole finds every command
 * there is and every one to come. Its main() gets another name. */
#include "fuzz/commands.h"

int el_cli_main(int argc, char **argv);
#define main el_cli_main
#include "cli/main.c" /* NOLINT(bugprone-suspicious-include): see above */
#undef main

unsigned fuzz_commands(void)
{
    return N_COMMANDS;
}

const el_cli_command *fuzz_command(unsigned index)
{
    return commands[index];
}
