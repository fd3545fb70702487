#include "server/grammars.h"

#include <stdlib.h>
#include <string.h>

#include "schema/schema.h"
#include "server/tool_grammar.h"

/* schema NULL: any object. */
static edgellm_status of_schema(const edgellm_engine *engine, const json_t *schema,
                                edgellm_grammar **grammar, edgellm_error *err)
{
    static const char object[] = "{\"type\": \"object\"}";
    char *text = NULL;
    size_t len = 0;
    edgellm_status status = schema ? el_schema_grammar_of(schema, &text, &len, err)
                                   : el_schema_grammar(object, sizeof object - 1, &text, &len, err);
    if (status == EDGELLM_OK) status = edgellm_grammar_create(engine, text, len, grammar, err);
    free(text);
    return status;
}

static bool of_tools(const edgellm_engine *engine, const el_ask *ask, const el_call_form *form,
                     edgellm_grammar **grammar, el_problem *problem)
{
    edgellm_error err = {EDGELLM_OK, ""};
    char *text = NULL;
    size_t len = 0;
    bool is_right = el_tool_grammar(ask, form, &text, &len, problem);
    if (is_right && edgellm_grammar_create(engine, text, len, grammar, &err) != EDGELLM_OK)
        is_right = el_problem_set(
            problem, err.status == EDGELLM_ERR_MEMORY ? EL_PROBLEM_INTERNAL : EL_PROBLEM_REQUEST,
            "tools", "'tools': %s", err.message);
    free(text);
    return is_right;
}

bool el_grammars_make(const edgellm_engine *engine, const el_ask *ask, const el_call_form *form,
                      edgellm_grammar **grammar, el_problem *problem)
{
    edgellm_error err = {EDGELLM_OK, ""};
    *grammar = NULL;
    if (el_ask_may_call(ask)) return of_tools(engine, ask, form, grammar, problem);
    if (ask->keeps == EL_KEEPS_NOTHING) return true;
    const edgellm_status status =
        ask->keeps == EL_KEEPS_GRAMMAR
            ? edgellm_grammar_create(engine, ask->grammar, strlen(ask->grammar), grammar, &err)
            : of_schema(engine, ask->schema, grammar, &err);
    if (status == EDGELLM_OK) return true;
    return el_problem_set(problem,
                          status == EDGELLM_ERR_MEMORY ? EL_PROBLEM_INTERNAL : EL_PROBLEM_REQUEST,
                          ask->keeps_field, "'%s': %s", ask->keeps_field, err.message);
}
