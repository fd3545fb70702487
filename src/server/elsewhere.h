/*
 * elsewhere.h: routes of other servers that this one does not have, and what does it here instead:
 * who asks for one reads more than that it is not there.
 */
#ifndef EL_SERVER_ELSEWHERE_H
#define EL_SERVER_ELSEWHERE_H

#include <stdbool.h>

#include "server/problem.h"

/* *problem is of a path that is no route, whatever the method: 404. */
bool el_elsewhere(const char *path, el_problem *problem);

/* Errors of such a path look as Ollama's. */
bool el_elsewhere_is_ollama(const char *path);

#endif
