/*
 * serve_main.c: the program `edgellm-serve`, which `edgellm serve` starts: libwebsockets is linked
 * here and nowhere else.
 */
#include "cli/cli_program.h"

int main(int argc, char **argv)
{
    edgellm_error err = {EDGELLM_OK, ""};
    el_cli_begin();
    const edgellm_status status = el_cli_run_command(&el_cli_cmd_serve, argc, argv, &err);
    return el_cli_end(status, &err);
}
