#include "base/refusal.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* A thread's stack is refused with EAGAIN. */
static bool may_be_the_limit(int error, struct rlimit *limit)
{
    return (error == ENOMEM || error == EAGAIN) && getrlimit(RLIMIT_AS, limit) == 0 &&
           limit->rlim_cur != RLIM_INFINITY;
}

el_refusal el_refusal_of(int error)
{
    el_refusal refusal;
    struct rlimit limit;
    if (!may_be_the_limit(error, &limit)) {
        snprintf(refusal.text, sizeof refusal.text, "%s", strerror(error));
        return refusal;
    }
    snprintf(refusal.text, sizeof refusal.text,
             "%s; this process may have %llu KiB of address space (ulimit -v)", strerror(error),
             (unsigned long long)limit.rlim_cur / 1024);
    return refusal;
}
