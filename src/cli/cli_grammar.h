/*
 * cli_grammar.h: --grammar FILE and --json-schema FILE: answers keep to a grammar in GBNF
 * (docs/GRAMMAR.md), or to what a JSON schema says (docs/SCHEMA.md).
 */
#ifndef EL_CLI_CLI_GRAMMAR_H
#define EL_CLI_CLI_GRAMMAR_H

#include "cli/cli_model.h"

typedef struct el_cli_grammar_values {
    const char *grammar, *schema; /* NULL: not given */
} el_cli_grammar_values;

#define EL_CLI_GRAMMAR_ROWS(type)                                                                  \
    {.name = "grammar",                                                                            \
     .kind = EL_CLI_TEXT,                                                                          \
     .field = offsetof(type, grammar.grammar),                                                     \
     .argument = "FILE",                                                                           \
     .help = "answers are what the GBNF grammar in FILE allows, and whole"},                       \
    {                                                                                              \
        .name = "json-schema", .kind = EL_CLI_TEXT, .field = offsetof(type, grammar.schema),       \
        .argument = "FILE",                                                                        \
        .help = "answers are whole JSON of the schema in FILE (use --repeat-penalty 1)"            \
    }

/* The option that was given; NULL: none. */
const char *el_cli_grammar_option(const el_cli_grammar_values *values);

/* Do the options go together? Errors: USAGE. */
edgellm_status el_cli_grammar_check(const el_cli_grammar_values *values, bool ignore_eos,
                                    edgellm_error *err);

/* Reads the file; nothing to do if there is none. Release with edgellm_grammar_destroy(). Errors:
 * USAGE (both were given), IO, FORMAT (the message names the file and the place in it), MEMORY,
 * UNSUPPORTED. */
edgellm_status el_cli_grammar_read(const edgellm_engine *engine,
                                   const el_cli_grammar_values *values, edgellm_grammar **grammar,
                                   edgellm_error *err);

#endif
