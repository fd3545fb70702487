/*
 * cli_signals.h: Ctrl-C asks to stop; the work in hand looks at the question between tokens,
 * batches or tensors. A second Ctrl-C ends the program at once, as the system would, unless the
 * command said that it goes on after the first.
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

/* ---- for commands that go on after Ctrl-C ------------------------------------------------- */

/* From now on no Ctrl-C ends the program. */
void el_cli_signals_keep(void);

/* Forgets a Ctrl-C that was obeyed; other signals stay asked. True if there was one. */
bool el_cli_forget_interrupt(void);

/* ---- for an editor of lines ---------------------------------------------------------------- */

typedef enum el_cli_event {
    EL_CLI_EVENT_INPUT,   /* something to read, or an end */
    EL_CLI_EVENT_ASKED,   /* a signal asked to stop */
    EL_CLI_EVENT_SUSPEND, /* Ctrl-Z: restore the terminal, then stop */
    EL_CLI_EVENT_RESIZE   /* the terminal has another size */
} el_cli_event;

/* While on, Ctrl-Z and a change of the terminal's size are events instead of what they were. */
void el_cli_watch_terminal(bool on);

el_cli_event el_cli_wait_for_event(int fd);

#endif
