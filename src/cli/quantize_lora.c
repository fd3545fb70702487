#include "cli/quantize_lora.h"

#include <stdio.h>

#include "cli/cli_output.h"
#include "cli/cli_stats.h"
#include "folder/folder_adapter.h"
#include "quant/adapter.h"

static json_t *made_json(const char *target, const el_adapter_made *made)
{
    json_t *o = json_object();
    json_object_set_new(o, "target", el_cli_json_text(target, strlen(target)));
    json_object_set_new(o, "file_bytes", json_integer((json_int_t)made->bytes));
    json_object_set_new(o, "matrices", json_integer(made->matrices));
    json_object_set_new(o, "layers", json_integer(made->layers));
    json_object_set_new(o, "rank", json_integer(made->rank));
    return o;
}

edgellm_status el_cli_quantize_lora(const el_cli_quantize_values *v, const char *model,
                                    edgellm_error *err)
{
    el_adapter_made made;
    EL_CLI_TRY(el_adapter_make(v->lora, el_folder_adapter_open, model, v->target, &made, err));
    if (v->json) return el_cli_print_json(made_json(v->target, &made), err);
    if (!v->quiet)
        printf("%s: %.1f MB, %u matrices of %u layers, rank %u\n", v->target,
               (double)made.bytes / EL_CLI_MB, made.matrices, made.layers, made.rank);
    return EDGELLM_OK;
}
