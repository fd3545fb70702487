#include "cli/cli_lora.h"

#include <stdlib.h>
#include <string.h>

/* What follows the last '=', if it is a number; a path may have that sign too. */
static size_t split(const char *text, float *scale)
{
    char *end = NULL;
    const char *sign = strrchr(text, '=');
    *scale = 1;
    if (sign == NULL || sign[1] == '\0' || strspn(sign + 1, "+-.0123456789eE") != strlen(sign + 1))
        return strlen(text);
    const double value = strtod(sign + 1, &end);
    if (*end != '\0') return strlen(text);
    *scale = (float)value;
    return (size_t)(sign - text);
}

static edgellm_status add(el_cli_lora *lora, const char *text, edgellm_error *err)
{
    float scale;
    const size_t len = split(text, &scale);
    char *path = strndup(text, len);
    if (path == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a name");
    lora->list[lora->n++] = (edgellm_adapter){path, scale};
    return EDGELLM_OK;
}

edgellm_status el_cli_lora_read(el_cli_lora *lora, const el_cli_texts *texts, edgellm_error *err)
{
    lora->n = 0;
    for (uint32_t i = 0; i < texts->n; i++)
        EL_CLI_TRY(add(lora, texts->text[i], err));
    return EDGELLM_OK;
}

void el_cli_lora_release(el_cli_lora *lora)
{
    for (uint32_t i = 0; i < lora->n; i++)
        free((void *)(uintptr_t)lora->list[i].path);
    lora->n = 0;
}
