#include "base/policy.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(sizeof(el_policy) == 48, "the first version of the kernel's struct sched_attr");

int el_policy_get(pid_t tid, el_policy *policy)
{
    return syscall(SYS_sched_getattr, tid, policy, sizeof *policy, 0u) == 0 ? 0 : errno;
}

int el_policy_set(pid_t tid, const el_policy *policy)
{
    el_policy copy = *policy;
    copy.size = sizeof copy;
    return syscall(SYS_sched_setattr, tid, &copy, 0u) == 0 ? 0 : errno;
}

bool el_policy_same(const el_policy *a, const el_policy *b)
{
    if (a->policy != b->policy) return false;
    if (a->policy == EL_POLICY_DEADLINE) return a->runtime == b->runtime && a->period == b->period;
    if (el_policy_is_realtime(a)) return a->priority == b->priority;
    return a->nice == b->nice;
}

bool el_policy_is_realtime(const el_policy *policy)
{
    return policy->policy == SCHED_FIFO || policy->policy == SCHED_RR ||
           policy->policy == EL_POLICY_DEADLINE;
}

const char *el_policy_words(const el_policy *p, char *text, size_t room)
{
    static const char *const names[] = {
        [SCHED_OTHER] = "SCHED_OTHER", [SCHED_FIFO] = "SCHED_FIFO",
        [SCHED_RR] = "SCHED_RR",       [SCHED_BATCH] = "SCHED_BATCH",
        [SCHED_IDLE] = "SCHED_IDLE",   [EL_POLICY_DEADLINE] = "SCHED_DEADLINE"};
    const char *name = p->policy < sizeof names / sizeof names[0] ? names[p->policy] : NULL;
    if (p->policy == SCHED_OTHER)
        snprintf(text, room, "nice %d", (int)p->nice);
    else if (p->policy == SCHED_FIFO || p->policy == SCHED_RR)
        snprintf(text, room, "%s, priority %u", name, p->priority);
    else
        snprintf(text, room, "%s", name ? name : "another policy");
    return text;
}
