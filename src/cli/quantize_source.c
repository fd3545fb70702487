#include "cli/quantize_source.h"

#include <string.h>

#include "cli/cli_output.h"
#include "folder/folder.h"
#include "model/model.h"

/* A name that is missing, or is no name, the reader of the numbers tells. */
static edgellm_status check_architecture(const el_gguf *file, edgellm_error *err)
{
    char name[EL_ARCHITECTURE_BYTES], names[EL_ARCHITECTURE_NAMES];
    const char *text;
    size_t len;
    if (!el_gguf_string(file, "general.architecture", &text, &len)) return EDGELLM_OK;
    if (len == 0 || len >= EL_ARCHITECTURE_BYTES) return EDGELLM_OK;
    memcpy(name, text, len);
    name[len] = '\0';
    if (el_architecture_of(el_gguf_architecture(name))) return EDGELLM_OK;
    el_architecture_names(names);
    return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "architecture '%s' is not one this version runs (%s)", name, names);
}

/* By the names that they have once those that lie in one are apart. Numbers that are not sound are
 * told by who reads them next. */
static edgellm_status check_tensors(el_gguf *file, edgellm_error *err)
{
    el_config config;
    edgellm_error told_later;
    if (el_gguf_config(file, &config, &told_later) != EDGELLM_OK) return EDGELLM_OK;
    EL_CLI_TRY(el_gguf_split(file, &config, err));
    for (uint32_t i = 0; i < file->n_tensors; i++)
        EL_CLI_TRY(el_model_check_tensor(&config, file->tensors[i].name, err));
    return EDGELLM_OK;
}

edgellm_status el_cli_quantize_open(el_gguf *file, const char *path, edgellm_error *err)
{
    edgellm_error why = {EDGELLM_OK, ""};
    EL_CLI_TRY(el_folder_open(file, path, err));
    edgellm_status status = check_architecture(file, &why);
    if (status == EDGELLM_OK) status = check_tensors(file, &why);
    if (status == EDGELLM_OK) return EDGELLM_OK;
    el_gguf_close(file);
    return el_cli_fail(err, status, "'%.300s': %s", path, why.message);
}
