/*
 * threads.c: workers wait at a doorbell; a run rings it, and everybody meets at a barrier at the
 * end. Both are counters that only grow, so a late riser can never mistake one round for another.
 *
 * A sleeper announces itself before it asks the kernel to sleep, and the kernel compares the
 * counter again; a ringer changes the counter before it looks for sleepers. All four steps are
 * sequentially consistent, so a wake-up cannot be lost and a system call is made only if someone
 * sleeps.
 */
#include "base/threads.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fpenv.h"
#include "base/quota.h"
#include "base/refusal.h"

#ifndef EL_CREW_SPINS
#define EL_CREW_SPINS 4000 /* looks at a counter before sleeping */
#endif
#define CACHE_LINE 64

#if !defined(SYS_futex) && defined(SYS_futex_time64)
#define SYS_futex SYS_futex_time64
#endif

typedef struct counter {
    _Alignas(CACHE_LINE) _Atomic uint32_t value;
    _Atomic uint32_t sleepers;
} counter;

typedef struct worker {
    struct el_crew *crew;
    pthread_t thread;
    unsigned member;
} worker;

struct el_crew {
    counter doorbell;                              /* rung once a run, and once to stop */
    counter meeting;                               /* barriers completed */
    _Alignas(CACHE_LINE) _Atomic uint32_t arrived; /* at the barrier under way */
    /* Written by the owner before the doorbell rings, read by workers after. */
    _Alignas(CACHE_LINE) el_crew_fn fn;
    void *context;
    bool stop;
    /* Constant once started. */
    unsigned size;
    unsigned spins;
    unsigned started; /* workers that exist: size - 1, or fewer if the start failed */
    worker workers[EL_CREW_MAX - 1];
};

_Static_assert(_Alignof(el_crew) <= EL_ALIGN, "a crew lies in an arena");

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* `yield` returns at once on most cores */
#elif defined(__arm__)
    __asm__ volatile("yield" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

/* Returns when c->value is no longer `old`. */
static void wait_past(counter *c, uint32_t old, unsigned spins)
{
    for (unsigned i = 0; i < spins; i++) {
        if (atomic_load_explicit(&c->value, memory_order_acquire) != old) return;
        relax();
    }
    atomic_fetch_add(&c->sleepers, 1);
    while (atomic_load(&c->value) == old) {
        syscall(SYS_futex, (void *)&c->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    }
    atomic_fetch_sub(&c->sleepers, 1);
}

static void advance(counter *c)
{
    atomic_fetch_add(&c->value, 1);
    if (atomic_load(&c->sleepers) == 0) return;
    syscall(SYS_futex, (void *)&c->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void el_crew_barrier(el_crew *crew)
{
    if (crew->size == 1) return;
    uint32_t round = atomic_load_explicit(&crew->meeting.value, memory_order_acquire);
    uint32_t before = atomic_fetch_add_explicit(&crew->arrived, 1, memory_order_acq_rel);
    if (before + 1 < crew->size) {
        wait_past(&crew->meeting, round, crew->spins);
        return;
    }
    /* Nobody can arrive at the next barrier until the counter advances. */
    atomic_store_explicit(&crew->arrived, 0, memory_order_relaxed);
    advance(&crew->meeting);
}

__attribute__((noinline)) void el_touch_stack(uintptr_t *lowest)
{
    volatile uint8_t stack[EL_CREW_STACK_TOUCHED - 4096];
    for (size_t at = 0; at < sizeof stack; at += 1024)
        stack[at] = 0;
    *lowest = (uintptr_t)stack;
}

static void *work(void *argument)
{
    worker *self = argument;
    el_crew *crew = self->crew;
    uintptr_t lowest;
    el_touch_stack(&lowest);
    (void)el_fpenv_enter(); /* never left: the thread is ours */
    for (uint32_t seen = 0;; seen++) {
        wait_past(&crew->doorbell, seen, crew->spins);
        if (crew->stop) return NULL;
        crew->fn(crew->context, self->member, crew->size);
        el_crew_barrier(crew);
    }
}

void el_crew_run(el_crew *crew, el_crew_fn fn, void *context)
{
    if (crew->size == 1) {
        fn(context, 0, 1);
        return;
    }
    crew->fn = fn;
    crew->context = context;
    advance(&crew->doorbell);
    fn(context, 0, crew->size);
    el_crew_barrier(crew);
}

static size_t stack_bytes(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = EL_CREW_STACK_BYTES;
    if (bytes < (size_t)PTHREAD_STACK_MIN) bytes = (size_t)PTHREAD_STACK_MIN;
    return (bytes + page - 1) / page * page;
}

/* Starts size - 1 workers that inherit a mask with every signal blocked. Returns 0 or an errno
 * value; crew->started says how many exist. */
static int start_workers(el_crew *crew)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error) return error;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    error = pthread_attr_setstacksize(&attributes, stack_bytes());
    while (!error && crew->started + 1 < crew->size) {
        worker *next = &crew->workers[crew->started];
        next->crew = crew;
        next->member = crew->started + 1;
        error = pthread_create(&next->thread, &attributes, work, next);
        if (!error) crew->started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

el_crew *el_crew_layout(el_arena *arena)
{
    return el_arena_take(arena, 1, sizeof(el_crew));
}

edgellm_status el_crew_start(el_crew *crew, unsigned size, edgellm_error *err)
{
    if (size < 1 || size > EL_CREW_MAX) {
        return el_fail(err, EDGELLM_ERR_USAGE, "%u threads asked for; 1 to %d are possible", size,
                       EL_CREW_MAX);
    }
    memset(crew, 0, sizeof *crew);
    crew->size = size;
    if (size > 1) crew->spins = el_cores_allowed() >= size ? EL_CREW_SPINS : 0;
    int error = start_workers(crew);
    if (!error) return EDGELLM_OK;
    el_crew_stop(crew);
    return el_fail(err, EDGELLM_ERR_MEMORY, "cannot start thread %u of %u: %s", crew->started + 2,
                   size, el_refusal_of(error).text);
}

void el_crew_stop(el_crew *crew)
{
    crew->stop = true;
    advance(&crew->doorbell);
    for (unsigned i = 0; i < crew->started; i++)
        pthread_join(crew->workers[i].thread, NULL);
}

unsigned el_crew_size(const el_crew *crew)
{
    return crew->size;
}

/* Cores in the affinity mask. */
static unsigned affinity_cores(void)
{
    cpu_set_t sets[8]; /* 8192 cores: the call fails if the kernel's mask is larger */
    if (sched_getaffinity(0, sizeof sets, sets) == 0) {
        int count = CPU_COUNT_S(sizeof sets, sets);
        return count > 0 ? (unsigned)count : 1;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

unsigned el_cores_allowed(void)
{
    unsigned cores = affinity_cores();
    unsigned quota = el_quota_cores("/proc/self/cgroup", "/sys/fs/cgroup");
    return quota && quota < cores ? quota : cores;
}
