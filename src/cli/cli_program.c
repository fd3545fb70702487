#include "cli/cli_program.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli_options.h"
#include "cli/cli_output.h"
#include "cli/cli_outputs.h"
#include "cli/cli_signals.h"
#include "cli/cli_store.h"

/* Holds what a command prints at its end, all but the largest tables, so that a failure to write it
 * is told with its reason: stdio forgets why an earlier write failed. */
static void reserve_output(void)
{
    static char buffer[16384];
    (void)setvbuf(stdout, buffer, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, sizeof buffer);
}

void el_cli_begin(void)
{
    reserve_output();
    el_cli_signals_install();
    el_cli_json_install();
}

/* A name in the store becomes the path of its file. */
static edgellm_status run_operands(const el_cli_command *command, const void *values,
                                   char **operands, int n, edgellm_error *err)
{
    char *found = NULL;
    if (command->model != EL_CLI_NO_MODEL && n > 0)
        EL_CLI_TRY(
            el_cli_store_find(operands[0], command->model == EL_CLI_QUANTIZES_MODEL, &found, err));
    if (found != NULL) operands[0] = found;
    edgellm_status status = el_cli_check_outputs(command, values, operands, n, err);
    if (status == EDGELLM_OK) status = command->run(values, operands, n, err);
    free(found);
    return status;
}

edgellm_status el_cli_run_command(const el_cli_command *command, int argc, char **argv,
                                  edgellm_error *err)
{
    char **operands = NULL;
    bool wants_help = false;
    void *values = calloc(1, command->values_size);
    if (values == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the options");
    edgellm_status status = el_cli_parse(command, argc, argv, values, &operands, &wants_help, err);
    if (status == EDGELLM_OK && wants_help) {
        el_cli_print_help(command, stdout);
    } else if (status == EDGELLM_OK) {
        status = run_operands(command, values, operands, argc - (int)(operands - argv), err);
    }
    free(values);
    return status;
}

static int exit_code(edgellm_status status)
{
    int signal_number = el_cli_interrupted();
    if (status == EDGELLM_ERR_INTERRUPTED && signal_number != 0) return 128 + signal_number;
    return (int)status;
}

int el_cli_end(edgellm_status status, edgellm_error *err)
{
    edgellm_error late = {EDGELLM_OK, ""};
    edgellm_status flushed = el_cli_flush(&late);
    if (status == EDGELLM_OK && flushed != EDGELLM_OK) {
        status = flushed;
        *err = late;
    }
    if (status != EDGELLM_OK && err->message[0] != '\0') {
        fprintf(stderr, "edgellm: %s\n", err->message);
    }
    return exit_code(status);
}
