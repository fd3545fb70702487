/*
 * cli_signals.h: Ctrl-C asks to stop; the work in hand looks at the question between tokens,
 * batches or tensors. A second Ctrl-C ends the program at once, as the system would.
 */
#ifndef EL_CLI_CLI_SIGNALS_H
#define EL_CLI_CLI_SIGNALS_H

#include <stdbool.h>

/* Installs the handlers; broken pipes and file-size limits become write errors. A hang-up that is
 * ignored already (nohup) stays so. */
void el_cli_signals_install(void);

/* The signal that asked to stop; 0 if none did. */
int el_cli_interrupted(void);

/* Waits until there is something to read, or an end; false if a signal asked to stop. */
bool el_cli_wait_for_input(int fd);

#endif
