/* realtime_checks.h: what must hold of a session with real time, whatever the system refused. */
#ifndef EL_TEST_REALTIME_CHECKS_H
#define EL_TEST_REALTIME_CHECKS_H

#include <stdbool.h>

#include "edgellm.h"
#include "support/thread_state.h"

bool has_note(const edgellm_realtime *report, const char *begin);

/* What the report says that the thread has, it has; for all that it has not there is a line. */
void check_report(const edgellm_session *session);

void check_put_back(const thread_state *before, const thread_state *after);

#endif
