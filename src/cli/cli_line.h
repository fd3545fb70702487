/*
 * cli_line.h: where lines typed by a person, or sent through a pipe, come from. Two sources: the
 * plain one reads standard input as it is; the other edits lines with libedit. cli_editor.h makes
 * messages of their lines.
 */
#ifndef EL_CLI_CLI_LINE_H
#define EL_CLI_CLI_LINE_H

#include "cli/cli.h"

/* After CLEARED and BREAK the signal is still asked: el_cli_forget_interrupt() goes on. */
typedef enum el_cli_line_event {
    EL_CLI_LINE_TEXT,
    EL_CLI_LINE_END,     /* end of input, or Ctrl-D at an empty prompt */
    EL_CLI_LINE_CLEARED, /* Ctrl-C: what was typed is dropped */
    EL_CLI_LINE_BREAK,   /* Ctrl-C with nothing typed */
    EL_CLI_LINE_STOP     /* another signal asks to stop */
} el_cli_line_event;

typedef struct el_cli_line {
    el_cli_line_event event;
    char *text; /* without the line end, NUL-terminated, owned: free(); NULL but for TEXT. Line ends
                   inside come from a paste */
} el_cli_line;

typedef struct el_cli_line_source el_cli_line_source;
struct el_cli_line_source {
    /* prompt: what stands before the line, where a person types it. Errors: IO, MEMORY, USAGE. */
    edgellm_status (*read)(el_cli_line_source *source, const char *prompt, el_cli_line *line,
                           edgellm_error *err);
    void (*remember)(el_cli_line_source *source, const char *text); /* for the history */
    void (*close)(el_cli_line_source *source);
};

/* Lines of standard input; the prompt goes to standard error if `prompts`. Errors: MEMORY. */
edgellm_status el_cli_plain_open(el_cli_line_source **source, bool prompts, edgellm_error *err);

/* Line editing with libedit on a terminal. history: a file, or NULL for none. *source stays NULL if
 * this terminal or locale cannot do it. Errors: MEMORY. */
edgellm_status el_cli_editline_open(el_cli_line_source **source, const char *history,
                                    edgellm_error *err);

#endif
