#include "cli/quantize_source.h"

#include <string.h>

#include "cli/cli_output.h"
#include "folder/folder.h"
#include "model/model.h"

/* A name that is missing, or is no name, the reader of the numbers tells. */
static bool is_other(const el_gguf *file, char name[EL_ARCHITECTURE_BYTES])
{
    const char *text;
    size_t len;
    if (!el_gguf_string(file, "general.architecture", &text, &len)) return false;
    if (len == 0 || len >= EL_ARCHITECTURE_BYTES) return false;
    memcpy(name, text, len);
    name[len] = '\0';
    return el_architecture_of(name) == NULL;
}

edgellm_status el_cli_quantize_open(el_gguf *file, const char *path, edgellm_error *err)
{
    char name[EL_ARCHITECTURE_BYTES], names[EL_ARCHITECTURE_NAMES];
    const edgellm_status status = el_folder_open(file, path, err);
    if (status != EDGELLM_OK || !is_other(file, name)) return status;
    el_gguf_close(file);
    el_architecture_names(names);
    return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "'%.300s': architecture '%s' is not one this version runs (%s)", path, name,
                       names);
}
