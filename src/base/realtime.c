#include "base/realtime.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cores.h"
#include "base/pace.h"
#include "base/policy.h"
#include "base/throttle.h"
#include "base/trial.h"

_Static_assert(EDGELLM_REALTIME_CORES == EL_CREW_MAX, "a core for each member");

typedef struct member {
    pid_t tid;
    uintptr_t stack; /* the lowest byte that was touched */
} member;

struct el_realtime {
    unsigned size; /* of the crew */
    member members[EL_CREW_MAX];
    el_locks locks;
    bool memory_noted;
    cpu_set_t cores_before; /* the owner's, and so its workers' */
    el_policy before, set;  /* of all members */
    el_policy lent;         /* what they have while time is lent */
    /* What the owner was given last, which is put back whatever was refused in between. */
    cpu_set_t owner_cores;
    el_policy owner_policy;
    el_pace pace;
    unsigned share; /* thousandths that the kernel takes back */
    edgellm_realtime report;
};

_Static_assert(_Alignof(el_realtime) <= EL_ALIGN, "it lies in an arena");

/* ---- report -------------------------------------------------------------------------------- */

static void note(el_realtime *rt, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(el_realtime *rt, const char *format, ...)
{
    edgellm_realtime *r = &rt->report;
    if (r->n_notes == EDGELLM_REALTIME_NOTES) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->notes[r->n_notes++], sizeof r->notes[0], format, arguments);
    va_end(arguments);
}

/* ---- cores --------------------------------------------------------------------------------- */

static int move(el_realtime *rt, unsigned index, const cpu_set_t *cores)
{
    if (sched_setaffinity(rt->members[index].tid, sizeof *cores, cores) != 0) return errno;
    if (index == 0) rt->owner_cores = *cores;
    return 0;
}

static int pin(el_realtime *rt, unsigned index)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(rt->report.cores[index], &one);
    return move(rt, index, &one);
}

static void choose_cores(el_realtime *rt)
{
    el_core_list list;
    edgellm_realtime *r = &rt->report;
    el_cores_of_thread(&rt->cores_before);
    rt->owner_cores = rt->cores_before;
    el_cores_list(&list, "/sys/devices/system/cpu", &rt->cores_before);
    for (unsigned i = 0; i < rt->size && i < list.n; i++)
        r->cores[r->n_cores++] = list.number[i];
    if (r->n_cores < rt->size) r->n_cores = 0;
    if (r->n_cores == 0)
        note(rt, "cores: not pinned, %u thread%s on %u known cores", rt->size,
             rt->size == 1 ? "" : "s", list.n);
    else if (rt->size > list.fast)
        note(rt,
             "cores: %u threads, but only %u whole cores of the fastest kind: the slowest sets the "
             "pace",
             rt->size, list.fast);
}

/* All or none: a member that is not pinned may meet another on its core. */
static void pin_all(el_realtime *rt)
{
    for (unsigned i = 0; i < rt->report.n_cores; i++) {
        int error = pin(rt, i);
        if (!error) continue;
        note(rt, "cores: thread %u not pinned to core %u: %s", i, rt->report.cores[i],
             strerror(error));
        while (i-- > 0)
            move(rt, i, &rt->cores_before);
        rt->report.n_cores = 0;
        break;
    }
}

static void unpin_all(el_realtime *rt)
{
    for (unsigned i = 0; i < rt->report.n_cores; i++)
        move(rt, i, &rt->cores_before);
}

/* ---- policies ------------------------------------------------------------------------------ */

#define MILLISECOND 1000000ull

typedef enum when { ALWAYS, IF_FREE, IF_THROTTLED } when;

/* In the order of preference: a later one is taken only if it was clearly more even. The last is
 * what was there before. */
static const struct candidate {
    const char *name;
    el_policy policy;
    el_pace_kind pace;
    when when;  /* does the kernel take time back? */
    bool loose; /* refused to a thread that may not run on every core */
    bool as_it_was;
} candidates[] = {
    {"SCHED_FIFO", {.policy = SCHED_FIFO, .priority = 1}, EL_PACE_NONE, IF_FREE, false, false},
    {"SCHED_FIFO, lending",
     {.policy = SCHED_FIFO, .priority = 1},
     EL_PACE_LEND,
     IF_THROTTLED,
     false,
     false},
    {"SCHED_FIFO, pausing",
     {.policy = SCHED_FIFO, .priority = 1},
     EL_PACE_SLEEP,
     IF_THROTTLED,
     false,
     false},
    {"nice", {.policy = SCHED_OTHER, .nice = -20}, EL_PACE_NONE, ALWAYS, false, false},
    {"SCHED_DEADLINE",
     {.policy = EL_POLICY_DEADLINE,
      .runtime = 44 * MILLISECOND / 10,
      .deadline = 5 * MILLISECOND,
      .period = 5 * MILLISECOND},
     EL_PACE_NONE,
     ALWAYS,
     true,
     false},
    {"as it was", {.policy = SCHED_OTHER}, EL_PACE_NONE, ALWAYS, false, true},
};
enum { N_CANDIDATES = sizeof candidates / sizeof candidates[0] };

#define CLEARLY_MS 2 /* longer gaps are clearly less even */

_Static_assert(N_CANDIDATES <= EDGELLM_REALTIME_TRIES, "each has its line in the report");

static int set_one(el_realtime *rt, unsigned index, const el_policy *policy)
{
    int error = el_policy_set(rt->members[index].tid, policy);
    if (!error && index == 0) rt->owner_policy = *policy;
    return error;
}

static int set_all(el_realtime *rt, const el_policy *policy)
{
    for (unsigned i = 0; i < rt->size; i++) {
        int error = set_one(rt, i, policy);
        if (!error) continue;
        while (i-- > 0)
            set_one(rt, i, &rt->before);
        return error;
    }
    return 0;
}

static el_nanoseconds thread_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (el_nanoseconds)t.tv_sec * 1000000000u + (el_nanoseconds)t.tv_nsec;
}

/* As low as the limit permits, where it does not permit -20. */
static int set_nice(el_realtime *rt, el_policy *policy)
{
    struct rlimit limit;
    int error = set_all(rt, policy);
    if (error != EPERM && error != EACCES) return error;
    if (getrlimit(RLIMIT_NICE, &limit) != 0 || limit.rlim_cur > 40) return error;
    policy->nice = 20 - (int)limit.rlim_cur;
    return policy->nice < rt->before.nice ? set_all(rt, policy) : error;
}

/* As an ordinary thread it is as nice as it may be. */
static void prepare_lending(el_realtime *rt)
{
    rt->lent = (el_policy){.policy = SCHED_OTHER, .nice = -20};
    if (set_nice(rt, &rt->lent) != 0) rt->lent = rt->before;
}

/* Puts a candidate in force. Returns 0 or an errno value; then all is as it was. */
static int adopt(el_realtime *rt, const struct candidate *c)
{
    rt->set = c->as_it_was ? rt->before : c->policy;
    rt->pace = el_pace_begin(c->pace, rt->share, el_clock_now(), thread_time());
    if (c->as_it_was) return 0;
    if (c->pace == EL_PACE_LEND) prepare_lending(rt);
    if (c->loose) unpin_all(rt);
    int error = c->policy.policy == SCHED_OTHER ? set_nice(rt, &rt->set) : set_all(rt, &rt->set);
    if (error && c->loose) pin_all(rt);
    return error;
}

static void drop(el_realtime *rt, const struct candidate *c)
{
    if (!c->as_it_was) set_all(rt, &rt->before);
    if (c->loose) pin_all(rt);
}

static void border_of(void *rt)
{
    el_realtime_border(rt, false);
}

/* Two windows, of which the more even counts: a host that takes the core away hits one of them. */
static void measure(el_realtime *rt, edgellm_realtime_try *t)
{
    t->gap_ms = 1e9f;
    for (int i = 0; i < 2; i++) {
        rt->pace.debt = EL_PACE_QUANTUM * 7 / 10; /* so that a border is due within the window */
        el_trial trial = el_trial_measure(border_of, rt);
        float gap = (float)trial.worst / MILLISECOND;
        if (gap >= t->gap_ms) continue;
        t->gap_ms = gap;
        t->lost = (float)trial.lost / (float)trial.length;
    }
}

static bool is_listed(const el_realtime *rt, const struct candidate *c)
{
    return c->when == ALWAYS || (c->when == IF_FREE) == (rt->share == 0);
}

static void try_one(el_realtime *rt, const struct candidate *c, edgellm_realtime_try *t)
{
    int error = adopt(rt, c);
    if (error) {
        snprintf(t->refusal, sizeof t->refusal, "%s", strerror(error));
        note(rt, "%s: refused (%s)%s", c->name, t->refusal,
             c->loose ? "; it needs a thread that may run on every core" : "");
        return;
    }
    measure(rt, t);
    drop(rt, c);
}

/* What the threads had before is tried first, while the rival has had no more than its turn. */
static void try_all(el_realtime *rt, const struct candidate *const list[], unsigned n)
{
    el_rival rival;
    int error = el_rival_start(&rival);
    if (error) note(rt, "policies were tried without a busy thread beside: %s", strerror(error));
    for (unsigned i = n; i-- > 0;)
        try_one(rt, list[i], &rt->report.tries[i]);
    el_rival_stop(&rival);
}

/* Index of the first that is about as even as the most even one; the last is never refused. */
static unsigned most_even(const edgellm_realtime_try *tries, unsigned n)
{
    float least = tries[n - 1].gap_ms;
    for (unsigned i = 0; i < n; i++)
        if (tries[i].refusal[0] == '\0' && tries[i].gap_ms < least) least = tries[i].gap_ms;
    unsigned first = 0;
    while (tries[first].refusal[0] != '\0' || tries[first].gap_ms > least + CLEARLY_MS)
        first++;
    return first;
}

/* None of those that were tried is left in force, or that is told. */
static void stay(el_realtime *rt)
{
    if (el_policy_same(&rt->owner_policy, &rt->before)) return;
    int error = set_all(rt, &rt->before);
    if (!error) return;
    note(rt, "policy: what was tried could not be put back (%s)", strerror(error));
    rt->set = rt->owner_policy;
}

static void choose_policy(el_realtime *rt)
{
    const struct candidate *list[N_CANDIDATES];
    edgellm_realtime *r = &rt->report;
    for (int i = 0; i < N_CANDIDATES; i++) {
        if (!is_listed(rt, &candidates[i])) continue;
        r->tries[r->n_tries].name = candidates[i].name;
        list[r->n_tries++] = &candidates[i];
    }
    try_all(rt, list, r->n_tries);
    r->chosen = most_even(r->tries, r->n_tries);
    if (adopt(rt, list[r->chosen]) != 0) {
        r->chosen = r->n_tries - 1;
        adopt(rt, list[r->chosen]);
    }
    if (list[r->chosen]->as_it_was) stay(rt);
    if (list[r->chosen]->loose) r->n_cores = 0;
}

static void policy(el_realtime *rt)
{
    edgellm_realtime *r = &rt->report;
    char words[sizeof r->policy];
    int error = el_policy_get(0, &rt->before);
    if (error) {
        note(rt, "policy: unknown and left as it is: %s", strerror(error));
        snprintf(r->policy, sizeof r->policy, "unknown");
        return;
    }
    rt->set = rt->owner_policy = rt->before;
    rt->share = el_throttle_share("", r->n_cores ? r->cores[0] : 0);
    r->taken_back = rt->share;
    if (el_policy_is_realtime(&rt->before))
        note(rt, "policy: this thread was real-time already; left as it is");
    else
        choose_policy(rt);
    snprintf(r->policy, sizeof r->policy, "%s%s", el_policy_words(&rt->set, words, sizeof words),
             rt->pace.kind == EL_PACE_LEND    ? ", lending"
             : rt->pace.kind == EL_PACE_SLEEP ? ", pausing"
                                              : "");
}

/* ---- life ---------------------------------------------------------------------------------- */

el_realtime *el_realtime_layout(el_arena *arena)
{
    return el_arena_take(arena, 1, sizeof(el_realtime));
}

static void introduce(void *context, unsigned index, unsigned size)
{
    el_realtime *rt = context;
    (void)size;
    rt->members[index].tid = (pid_t)syscall(SYS_gettid);
    el_touch_stack(&rt->members[index].stack);
}

void el_realtime_lock(el_realtime *rt, const void *at, size_t bytes)
{
    el_locks_take(&rt->locks, at, bytes);
    rt->report.wanted_bytes = rt->locks.wanted;
    rt->report.locked_bytes = rt->locks.locked;
    if (!rt->locks.error || rt->memory_noted) return;
    rt->memory_noted = true;
    note(rt, "memory: not all is locked (%s): see the limit memlock", strerror(rt->locks.error));
}

void el_realtime_start(el_realtime *rt, el_crew *crew)
{
    rt->size = el_crew_size(crew);
    rt->report.active = true;
    rt->report.n_threads = rt->size;
    el_crew_run(crew, introduce, rt);
    el_locks_take_code(&rt->locks);
    for (unsigned i = 0; i < rt->size; i++)
        el_realtime_lock(rt,
                         (const void *)rt->members[i].stack, // NOLINT(performance-no-int-to-ptr)
                         EL_CREW_STACK_TOUCHED);
    choose_cores(rt);
    pin_all(rt);
    policy(rt);
}

/* A policy that is refused now was granted before: rights were given up since. What the threads
 * had before is never refused. */
static void change(el_realtime *rt, const el_policy *policy)
{
    int error = set_all(rt, policy);
    if (!error) return;
    set_all(rt, &rt->before);
    rt->pace.kind = EL_PACE_NONE;
    note(rt, "policy: lost (%s)", strerror(error));
    snprintf(rt->report.policy, sizeof rt->report.policy, "lost");
}

static void leave(const el_realtime *rt)
{
    const int64_t pause = el_pace_pause(&rt->pace);
    const struct timespec time = {.tv_sec = pause / 1000000000, .tv_nsec = pause % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL); /* a signal only shortens it */
}

void el_realtime_border(el_realtime *rt, bool long_ahead)
{
    if (!rt) return;
    rt->pace.long_ahead = long_ahead;
    const el_nanoseconds now = el_clock_now();
    if (!el_pace_due(&rt->pace, now)) return;
    el_pace_step step = el_pace_count(&rt->pace, now, thread_time());
    if (step == EL_PACE_RETURN)
        change(rt, &rt->set);
    else if (step == EL_PACE_LEAVE && rt->pace.lent)
        change(rt, &rt->lent);
    else if (step == EL_PACE_LEAVE)
        leave(rt);
}

void el_realtime_put_off(el_realtime *rt, bool put_off)
{
    if (rt) rt->pace.put_off = put_off;
}

const edgellm_realtime *el_realtime_report(const el_realtime *rt)
{
    return &rt->report;
}

/* Is the owner a thread of this process still? */
static bool owner_lives(const el_realtime *rt)
{
    return syscall(SYS_tgkill, getpid(), rt->members[0].tid, 0) == 0;
}

void el_realtime_stop(el_realtime *rt)
{
    if (!rt) return;
    const pid_t owner = rt->members[0].tid;
    el_policy now;
    cpu_set_t cores;
    if (owner_lives(rt)) {
        const bool was_known = rt->before.size > 0;
        if (was_known &&
            (el_policy_get(owner, &now) != 0 || el_policy_same(&now, &rt->owner_policy)))
            el_policy_set(owner, &rt->before);
        if (sched_getaffinity(owner, sizeof cores, &cores) != 0 ||
            CPU_EQUAL(&cores, &rt->owner_cores))
            sched_setaffinity(owner, sizeof cores, &rt->cores_before);
    }
    el_locks_release(&rt->locks);
}
