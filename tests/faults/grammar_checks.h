/* grammar_checks.h: what a grammar takes while it is read, and the tree of tokens before it. */
#ifndef EL_TEST_GRAMMAR_CHECKS_H
#define EL_TEST_GRAMMAR_CHECKS_H

#include "edgellm.h"

/* Opens a model for grammars, reads one, and closes all; checks that a failure leaves nothing. */
edgellm_status read_grammar(const char *model, edgellm_error *err);

#endif
