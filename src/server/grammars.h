/*
 * grammars.h: what an answer has to keep to, from the fields of a request to a grammar: a grammar
 * as it is (GBNF), a JSON schema, any JSON object, or what calls of tools want.
 */
#ifndef EL_SERVER_GRAMMARS_H
#define EL_SERVER_GRAMMARS_H

#include "server/ask.h"

/* *grammar is the caller's to destroy; NULL: the request asks for none. form: NULL: the model calls
 * nothing. False: *problem says what is wrong with the field. */
bool el_grammars_make(const edgellm_engine *engine, const el_ask *ask, const el_call_form *form,
                      edgellm_grammar **grammar, el_problem *problem);

#endif
