/*
 * cli_external.h: commands that are programs of their own, as git has them: `edgellm NAME` starts
 * `edgellm-NAME`, so that `edgellm` needs no library that only such a command needs. The program is
 * looked for beside the one that runs (a build folder), then in the folder libexec/edgellm of the
 * same installation, wherever that was moved to; EDGELLM_EXEC_PATH names another folder instead.
 */
#ifndef EL_CLI_CLI_EXTERNAL_H
#define EL_CLI_CLI_EXTERNAL_H

#include <limits.h>

#include "cli/cli.h"

typedef struct el_cli_external {
    const char *name;    /* of the command; the program is edgellm-NAME */
    const char *summary; /* one line for `edgellm --help` */
    const char *title;   /* what it is called when it is missing: "the quantizer" */
} el_cli_external;

/*
 * Becomes the program, with the same process and environment. argv: its arguments; argv[0], which
 * is replaced, and a NULL at the end included. Allocates nothing. Returns only an error: IO.
 */
edgellm_status el_cli_external_run(const el_cli_external *external, char **argv,
                                   edgellm_error *err);

/* Where it lies, for those who start it beside themselves. Errors: IO. */
typedef char el_cli_path[PATH_MAX];
edgellm_status el_cli_external_find(const el_cli_external *external, el_cli_path path,
                                    edgellm_error *err);

/* The path of the program that runs. Errors: IO (no /proc). */
edgellm_status el_cli_self(el_cli_path path, edgellm_error *err);

#endif
