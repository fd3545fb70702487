#include "cli/cli_grammar.h"

#include <stdlib.h>

edgellm_status el_cli_grammar_read(const edgellm_engine *engine, const char *path,
                                   edgellm_grammar **grammar, edgellm_error *err)
{
    el_cli_bytes text;
    edgellm_error why = {EDGELLM_OK, ""};
    if (path == NULL) return EDGELLM_OK;
    EL_CLI_TRY(el_cli_read(path, &text, err));
    edgellm_status status = edgellm_grammar_create(engine, text.text, text.len, grammar, &why);
    free(text.text);
    if (status == EDGELLM_OK) return EDGELLM_OK;
    return el_cli_fail(err, status, "%.120s: %s", path, why.message);
}
