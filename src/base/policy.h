/*
 * policy.h: how the kernel schedules a thread: asked, set, and put into words. The layout is the
 * kernel's own (sched_setattr(2)), of which libc has no wrapper everywhere.
 */
#ifndef EL_BASE_POLICY_H
#define EL_BASE_POLICY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct el_policy {
    uint32_t size, policy; /* SCHED_OTHER, SCHED_FIFO, ...; size: ours to fill in */
    uint64_t flags;
    int32_t nice;
    uint32_t priority;                  /* of FIFO and RR */
    uint64_t runtime, deadline, period; /* nanoseconds, of DEADLINE */
} el_policy;

#define EL_POLICY_DEADLINE 6 /* SCHED_DEADLINE, which not every libc names */

/* tid 0: the calling thread. Both return 0 or an errno value. */
int el_policy_get(pid_t tid, el_policy *policy);
int el_policy_set(pid_t tid, const el_policy *policy);

/* The same policy with the same numbers? */
bool el_policy_same(const el_policy *a, const el_policy *b);

/* Is it served before every ordinary thread? */
bool el_policy_is_realtime(const el_policy *policy);

/* "SCHED_FIFO, priority 10", "nice 5"; returns text. */
const char *el_policy_words(const el_policy *policy, char *text, size_t room);

#endif
