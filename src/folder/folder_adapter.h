/*
 * folder_adapter.h: a LoRA adapter as PEFT saves it, a folder of adapter_config.json and
 * adapter_model.safetensors, in the form of a GGUF file (quant/adapter.h). What would change the
 * result and is not computed (DoRA, biases, trained copies of whole modules) is refused by name.
 */
#ifndef EL_FOLDER_FOLDER_ADAPTER_H
#define EL_FOLDER_FOLDER_ADAPTER_H

#include "format/gguf.h"

/* Opens such a folder, or, if `path` is no folder, a GGUF file. Errors: as el_folder_open(). */
edgellm_status el_folder_adapter_open(el_gguf *file, const char *path, edgellm_error *err);

#endif
