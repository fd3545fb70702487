/*
 * batch_main.c: the program `edgellm-batch`, which `edgellm batch` starts: it has the server's
 * requests and answers, and no network.
 */
#include "cli/cli_program.h"

int main(int argc, char **argv)
{
    edgellm_error err = {EDGELLM_OK, ""};
    el_cli_begin();
    const edgellm_status status = el_cli_run_command(&el_cli_cmd_batch, argc, argv, &err);
    return el_cli_end(status, &err);
}
