/*
 * quantize_main.c: the program `edgellm-quantize`, which `edgellm quantize` starts: what only
 * offline work needs, OpenBLAS and LAPACKE, is linked here and nowhere else.
 */
#include "cli/cli_program.h"
#include "cli/quantize_blas.h"

int main(int argc, char **argv)
{
    edgellm_error err = {EDGELLM_OK, ""};
    edgellm_status status = el_cli_blas_prepare(argv, &err);
    if (status != EDGELLM_OK) return el_cli_end(status, &err);
    el_cli_begin();
    status = el_cli_run_command(&el_cli_cmd_quantize, argc, argv, &err);
    return el_cli_end(status, &err);
}
