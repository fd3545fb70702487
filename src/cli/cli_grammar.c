#include "cli/cli_grammar.h"

#include <stdlib.h>

#include "schema/schema.h"

const char *el_cli_grammar_option(const el_cli_grammar_values *values)
{
    if (values->grammar != NULL) return "--grammar";
    return values->schema != NULL ? "--json-schema" : NULL;
}

edgellm_status el_cli_grammar_check(const el_cli_grammar_values *values, bool ignore_eos,
                                    edgellm_error *err)
{
    const char *keeps = el_cli_grammar_option(values);
    if (keeps == NULL || !ignore_eos) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "--ignore-eos goes on past the end that %s has: leave one out", keeps);
}

static edgellm_status of_schema(const edgellm_engine *engine, const el_cli_bytes *schema,
                                edgellm_grammar **grammar, edgellm_error *err)
{
    char *text = NULL;
    size_t len = 0;
    EL_CLI_TRY(el_schema_grammar(schema->text, schema->len, &text, &len, err));
    edgellm_status status = edgellm_grammar_create(engine, text, len, grammar, err);
    free(text);
    return status;
}

edgellm_status el_cli_grammar_read(const edgellm_engine *engine,
                                   const el_cli_grammar_values *values, edgellm_grammar **grammar,
                                   edgellm_error *err)
{
    const char *path = values->grammar != NULL ? values->grammar : values->schema;
    el_cli_bytes file;
    edgellm_error why = {EDGELLM_OK, ""};
    if (path == NULL) return EDGELLM_OK;
    if (values->grammar != NULL && values->schema != NULL)
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "an answer keeps to one thing: --grammar or --json-schema");
    EL_CLI_TRY(el_cli_read(path, &file, err));
    edgellm_status status = values->grammar != NULL
                                ? edgellm_grammar_create(engine, file.text, file.len, grammar, &why)
                                : of_schema(engine, &file, grammar, &why);
    free(file.text);
    if (status == EDGELLM_OK) return EDGELLM_OK;
    return el_cli_fail(err, status, "%.120s: %s", path, why.message);
}
