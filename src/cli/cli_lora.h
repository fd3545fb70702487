/* cli_lora.h: the adapters that --lora names. */
#ifndef EL_CLI_CLI_LORA_H
#define EL_CLI_CLI_LORA_H

#include "cli/cli_options.h"

typedef struct el_cli_lora {
    edgellm_adapter
        list[EL_CLI_TEXTS_MAX]; /* (n), their paths owned; the engine says how many may be */
    uint32_t n;
} el_cli_lora;

/* texts: FILE or FILE=SCALE each; without a scale it is 1. Release it in any case. Errors: MEMORY.
 */
edgellm_status el_cli_lora_read(el_cli_lora *lora, const el_cli_texts *texts, edgellm_error *err);
void el_cli_lora_release(el_cli_lora *lora);

#endif
