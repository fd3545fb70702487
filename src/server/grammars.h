/*
 * grammars.h: what an answer has to keep to, from the fields of a request to a grammar: a grammar
 * as it is (GBNF), a JSON schema, or any JSON object.
 */
#ifndef EL_SERVER_GRAMMARS_H
#define EL_SERVER_GRAMMARS_H

#include "server/ask.h"

/* *grammar is the caller's to destroy; NULL: the request asks for none. False: *problem says what
 * is wrong with the field. */
bool el_grammars_make(const edgellm_engine *engine, const el_ask *ask, edgellm_grammar **grammar,
                      el_problem *problem);

#endif
