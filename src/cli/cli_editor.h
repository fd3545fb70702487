/*
 * cli_editor.h: what a person says, one message at a time. On a terminal lines are edited
 * (libedit); on a dumb terminal and through a pipe they are read as they are. Several lines become
 * one message by being pasted, or between lines that begin and end with three double quotes.
 */
#ifndef EL_CLI_CLI_EDITOR_H
#define EL_CLI_CLI_EDITOR_H

#include "cli/cli_line.h"

typedef struct el_cli_editor {
    el_cli_line_source *lines;
    bool interactive; /* somebody types: there are prompts, and errors end nothing */
} el_cli_editor;

/* history: kept in a file of the user's state directory. Errors: MEMORY. */
edgellm_status el_cli_editor_open(el_cli_editor *editor, bool history, edgellm_error *err);
void el_cli_editor_close(el_cli_editor *editor);

/* The next message, as a line. *literal: it was written between quotes or has several lines, so it
 * is no command. Errors: IO, MEMORY, USAGE (a message that has no end, or a NUL byte). */
edgellm_status el_cli_editor_read(el_cli_editor *editor, el_cli_line *message, bool *literal,
                                  edgellm_error *err);

#endif
