/* grammar_checks.c: see grammar_checks.h. */
#include "faults/grammar_checks.h"

#include "support/test_help.h"

edgellm_status read_grammar(const char *model, edgellm_error *err)
{
    static const char text[] = "root ::= \"[\" (item (\",\" item){0,5})? \"]\"\n"
                               "item ::= [^a-z\\u00e9]+ | \"\\\"\" root \"\\\"\"\n";
    const edgellm_engine_options options = {.grammars = true};
    edgellm_engine *engine = NULL;
    edgellm_grammar *grammar = NULL;
    edgellm_status status = edgellm_engine_open(model, &options, &engine, err);
    if (status != EDGELLM_OK) {
        assert_null(engine);
        return status;
    }
    status = edgellm_grammar_create(engine, text, sizeof text - 1, &grammar, err);
    assert_true((status == EDGELLM_OK) == (grammar != NULL));
    edgellm_grammar_destroy(grammar);
    edgellm_engine_close(engine);
    return status;
}
