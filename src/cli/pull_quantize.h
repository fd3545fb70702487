/* pull_quantize.h: starts the quantizer, a program of its own, and waits for it. */
#ifndef EL_CLI_PULL_QUANTIZE_H
#define EL_CLI_PULL_QUANTIZE_H

#include "cli/pull.h"

/* Is it there? Before anything is fetched for it. Errors: IO. */
edgellm_status el_pull_quantizer(edgellm_error *err);

/* From `source`, a GGUF file or a folder, to the TM2 file `target`. A calibrated run that was
 * stopped is gone on with. Errors: the quantizer's, which has told them itself: the message is
 * empty; IO (it cannot be started), MEMORY (the system ended it), INTERRUPTED. */
edgellm_status el_pull_quantize(const el_pull_options *options, const char *source,
                                const char *target, edgellm_error *err);

#endif
