/* quantize_lora.h: `edgellm quantize MODEL --lora ADAPTER`. */
#ifndef EL_CLI_QUANTIZE_LORA_H
#define EL_CLI_QUANTIZE_LORA_H

#include "cli/quantize_values.h"

/* model: a TM2 file. Errors: as el_adapter_make(). */
edgellm_status el_cli_quantize_lora(const el_cli_quantize_values *v, const char *model,
                                    edgellm_error *err);

#endif
