/*
 * quantize_plain.h: the plain way of `edgellm quantize`: matrices are taken over or rounded one by
 * one, and nothing is known of what the model reads.
 */
#ifndef EL_CLI_QUANTIZE_PLAIN_H
#define EL_CLI_QUANTIZE_PLAIN_H

#include "cli/quantize_values.h"

/* Options that exclude each other were refused before. Errors: as el_quantize(). */
edgellm_status el_cli_plain(const el_cli_quantize_values *values, const char *source,
                            edgellm_error *err);

#endif
