/*
 * cli_grammar.h: --grammar FILE: answers keep to a grammar in GBNF (docs/GRAMMAR.md).
 */
#ifndef EL_CLI_CLI_GRAMMAR_H
#define EL_CLI_CLI_GRAMMAR_H

#include "cli/cli_model.h"

#define EL_CLI_GRAMMAR_ROW(type)                                                                   \
    {                                                                                              \
        .name = "grammar", .kind = EL_CLI_TEXT, .field = offsetof(type, grammar),                  \
        .argument = "FILE", .help = "answers are what the GBNF grammar in FILE allows, and whole"  \
    }

/* Reads the file; nothing to do for NULL. Release with edgellm_grammar_destroy(). Errors: IO,
 * FORMAT (the message names file, line and column), MEMORY, UNSUPPORTED. */
edgellm_status el_cli_grammar_read(const edgellm_engine *engine, const char *path,
                                   edgellm_grammar **grammar, edgellm_error *err);

#endif
