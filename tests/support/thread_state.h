/* thread_state.h: what real time changes of a thread, to see whether it was put back. */
#ifndef EL_TEST_THREAD_STATE_H
#define EL_TEST_THREAD_STATE_H

#include <sched.h>
#include <stdlib.h>

#include "base/policy.h"
#include "base/systext.h"
#include "support/test_help.h"

/* What a thread is allowed and how it is scheduled. */
typedef struct thread_state {
    el_policy policy;
    cpu_set_t cores;
    uint64_t locked;
} thread_state;

static inline uint64_t locked_kib(void)
{
    char text[4096];
    assert_true(el_systext_read(text, sizeof text, "/proc/self/status"));
    const char *line = strstr(text, "VmLck:");
    assert_non_null(line);
    return strtoull(line + 6, NULL, 10);
}

static inline thread_state observe(void)
{
    thread_state now;
    assert_int_equal(el_policy_get(0, &now.policy), 0);
    assert_int_equal(sched_getaffinity(0, sizeof now.cores, &now.cores), 0);
    now.locked = locked_kib();
    return now;
}

static inline bool same(const thread_state *a, const thread_state *b)
{
    return el_policy_same(&a->policy, &b->policy) && CPU_EQUAL(&a->cores, &b->cores) &&
           a->locked == b->locked;
}

#endif
