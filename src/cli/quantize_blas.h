/*
 * quantize_blas.h: OpenBLAS as the quantizer wants it: with the kernels of this processor, in one
 * thread.
 */
#ifndef EL_CLI_QUANTIZE_BLAS_H
#define EL_CLI_QUANTIZE_BLAS_H

#include "cli/cli.h"

/*
 * OpenBLAS chooses its kernels when it is loaded, by a list of the processors of its day: 0.3.21
 * takes one that is newer than it for its oldest ("Prescott") and is five times slower than it
 * could be. What the processor can do counts here instead: where OpenBLAS chose less, the program
 * starts itself once more with OPENBLAS_CORETYPE set. A value that is set already stays.
 *
 * argv: the program's own. Call it first of all. Errors: IO (it cannot be started again), MEMORY.
 */
edgellm_status el_cli_blas_prepare(char **argv, edgellm_error *err);

#endif
