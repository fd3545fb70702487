/*
 * tool_grammar.h: the grammar of an answer that may, or must, call tools: text, calls, or both, as
 * the form has them, with arguments that keep to the schemas of the tools. Text may be any that has
 * no call in it, so that whoever begins a call is held to it from there on.
 */
#ifndef EL_SERVER_TOOL_GRAMMAR_H
#define EL_SERVER_TOOL_GRAMMAR_H

#include "server/ask.h"

/* *text, NUL-terminated, is the caller's to free(). False: *problem says what is wrong, with the
 * place in the schema. */
bool el_tool_grammar(const el_ask *ask, const el_call_form *form, char **text, size_t *len,
                     el_problem *problem);

#endif
