/*
 * doctor_try.c: what the limits say is one thing, what the kernel grants another (capabilities,
 * user namespaces, control groups). So it is tried: memory is locked and released at once, and
 * priorities are asked for in a child that ends at once. Nothing stays changed.
 */
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/doctor_facts.h"

enum { SMALL_LOCK = 64 * 1024, LARGEST_TRY = 64 * 1024 * 1024 };

static int64_t try_lock(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return EL_CLI_UNKNOWN;
    int64_t works = mlock(memory, bytes) == 0;
    munmap(memory, bytes);
    return works;
}

/* The exit code of a child that runs `attempt`; unknown if it could not be run. */
static int64_t in_child(int (*attempt)(void))
{
    int status = 0;
    pid_t child = fork(), ended;
    if (child < 0) return EL_CLI_UNKNOWN;
    if (child == 0) _exit(attempt());
    do {
        ended = waitpid(child, &status, 0);
    } while (ended < 0 && errno == EINTR);
    return ended == child && WIFEXITED(status) ? WEXITSTATUS(status) : EL_CLI_UNKNOWN;
}

static int attempt_fifo(void)
{
    struct sched_param parameters = {.sched_priority = 1};
    return sched_setscheduler(0, SCHED_FIFO, &parameters) == 0;
}

/* 20 plus the lowest nice value that is granted. */
static int attempt_nice(void)
{
    int nice_value = -20;
    while (nice_value < 19 && setpriority(PRIO_PROCESS, 0, nice_value) != 0)
        nice_value++;
    return nice_value + 20;
}

void el_cli_facts_try(el_cli_facts *facts)
{
    int64_t limit = facts->limit_memlock;
    facts->lock_works = try_lock(SMALL_LOCK);
    if (limit >= 0 && limit <= LARGEST_TRY) {
        facts->lock_beyond_limit = try_lock((size_t)limit + SMALL_LOCK);
    }
    facts->fifo_works = in_child(attempt_fifo);
    int64_t lowest = in_child(attempt_nice);
    if (lowest != EL_CLI_UNKNOWN) facts->nice_lowest = lowest - 20;
}
