/*
 * pull_main.c: the program `edgellm-pull`, which `edgellm pull` starts: what fetches models,
 * libcurl and libarchive, is linked here.
 */
#include "cli/cli_program.h"

int main(int argc, char **argv)
{
    edgellm_error err = {EDGELLM_OK, ""};
    el_cli_begin();
    const edgellm_status status = el_cli_run_command(&el_cli_cmd_pull, argc, argv, &err);
    return el_cli_end(status, &err);
}
