/*
 * quantize_calibrated.h: the calibrated way of `edgellm quantize`, from the options to the summary.
 */
#ifndef EL_CLI_QUANTIZE_CALIBRATED_H
#define EL_CLI_QUANTIZE_CALIBRATED_H

#include "cli/quantize_values.h"

/* Options that exclude each other were refused before. Errors: as el_compress(). */
edgellm_status el_cli_calibrated(const el_cli_quantize_values *values, const char *source,
                                 edgellm_error *err);

#endif
