/*
 * quantize_values.h: what the options of `edgellm quantize` say; its parts share it.
 */
#ifndef EL_CLI_QUANTIZE_VALUES_H
#define EL_CLI_QUANTIZE_VALUES_H

#include <string.h>

#include "cli/cli_options.h"

#define EL_CLI_SAME UINT32_MAX /* as the option for the other matrices */

typedef struct el_cli_quantize_values {
    const char *target, *plan, *report, *lora;
    const char *calibrate; /* NULL: not given */
    el_cli_texts tensors;  /* REGEX=BITS each */
    uint64_t fit, seed;    /* fit 0: not given */
    uint32_t bits, embedding_bits, group, embedding_group;
    uint32_t scales; /* el_scale_kind + 1; 0: not given */
    uint32_t i2s;    /* el_i2s; 0: not given */
    uint32_t levels; /* 2: three levels that are kept take two bits */
    uint32_t sequences, length, epochs, steps, threads;
    float max_kl, rate;
    bool offset, even, resume, restart, force, json, quiet;
} el_cli_quantize_values;

/* A size is to be met, or few bits are to be made good use of: not by rounding alone. */
static inline bool el_cli_is_calibrated(const el_cli_quantize_values *v)
{
    return v->fit != 0 ||
           (v->bits != 0 && (v->calibrate == NULL || strcmp(v->calibrate, "none") != 0));
}

/* The text to calibrate with; NULL: none, or the model's own. */
static inline const char *el_cli_calibration_file(const el_cli_quantize_values *v)
{
    bool file =
        el_cli_is_calibrated(v) && v->calibrate != NULL && strcmp(v->calibrate, "self") != 0;
    return file ? v->calibrate : NULL;
}

#endif
