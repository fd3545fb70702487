/*
 * Real time: which cores are chosen on made-up machines, what the kernel takes back, how time is
 * left to others on a simulated clock; and on this machine that everything is put back, with the
 * rights of whoever runs the test and without any.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cores.h"
#include "base/pace.h"
#include "base/policy.h"
#include "base/realtime.h"
#include "base/systext.h"
#include "base/throttle.h"
#include "base/trial.h"
#include "support/test_help.h"
#include "support/thread_state.h"

#define FOLDER EL_TEST_OUT "/realtime"

/* ---- made-up trees -------------------------------------------------------------------------- */

/* Writes FOLDER/tree/path and the folders above it. */
static void put(const char *tree, const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, FOLDER "/%s/%s", tree, path);
    for (char *slash = strchr(whole + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(whole, 0777) == 0 || errno == EEXIST);
        *slash = '/';
    }
    put_file(whole, text);
}

static void put_core(const char *tree, unsigned core, const char *file, unsigned value)
{
    char path[128], text[32];
    snprintf(path, sizeof path, "cpu%u/%s", core, file);
    snprintf(text, sizeof text, "%u\n", value);
    put(tree, path, text);
}

static void put_siblings(const char *tree, unsigned core, const char *list)
{
    char path[128];
    snprintf(path, sizeof path, "cpu%u/topology/thread_siblings_list", core);
    put(tree, path, list);
}

/* A chip of four slow and four fast cores, two of which are sold with a slightly lower clock. */
static void put_big_little(void)
{
    static const unsigned capacity[] = {381, 381, 381, 381, 1004, 1004, 1024, 1024};
    for (unsigned i = 0; i < 8; i++) {
        put_core("big", i, "cpu_capacity", capacity[i]);
        put_core("big", i, "cpufreq/cpuinfo_max_freq", 1800000);
    }
}

/* Two fast cores of two threads each, which are neighbours, and two slow ones; no capacities. */
static void put_hybrid(void)
{
    static const char *const siblings[] = {"0-1\n", "0-1\n", "2-3\n", "2-3\n", "4\n", "5\n"};
    for (unsigned i = 0; i < 6; i++) {
        put_core("hybrid", i, "cpufreq/cpuinfo_max_freq", i < 4 ? 5000000 : 3900000);
        put_siblings("hybrid", i, siblings[i]);
    }
}

/* Four cores of two threads each, which are far apart; nothing is told of their speed. */
static void put_server(void)
{
    static const char *const siblings[] = {"0,4\n", "1,5\n", "2,6\n", "3,7\n"};
    for (unsigned i = 0; i < 8; i++)
        put_siblings("server", i, siblings[i % 4]);
}

static void test_cores_of_made_up_machines(void **state)
{
    static const struct {
        const char *tree;
        unsigned allowed; /* a bit for each */
        unsigned n, fast;
        unsigned order[8];
    } rows[] = {
        {"big", 0xff, 8, 4, {7, 6, 5, 4, 3, 2, 1, 0}},
        {"big", 0x5f, 6, 2, {6, 4, 3, 2, 1, 0}},
        {"big", 0x0f, 4, 4, {3, 2, 1, 0}}, /* no fast one is allowed: these are the fastest */
        {"hybrid", 0x3f, 6, 2, {2, 0, 5, 4, 3, 1}},
        {"hybrid", 0x3e, 5, 2, {2, 1, 5, 4, 3}}, /* its sibling is not allowed: 1 is a whole core */
        {"server", 0xff, 8, 4, {3, 2, 1, 0, 7, 6, 5, 4}},
        {"nothing", 0x0f, 4, 4, {3, 2, 1, 0}},
        {"nothing", 0, 0, 0, {0}},
    };
    (void)state;
    put_big_little();
    put_hybrid();
    put_server();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char folder[300];
        el_core_list list;
        cpu_set_t allowed;
        CPU_ZERO(&allowed);
        for (unsigned core = 0; core < 8; core++)
            if (rows[i].allowed >> core & 1) CPU_SET(core, &allowed);
        snprintf(folder, sizeof folder, FOLDER "/%s", rows[i].tree);
        el_cores_list(&list, folder, &allowed);
        assert_int_equal(list.n, rows[i].n);
        assert_int_equal(list.fast, rows[i].fast);
        assert_memory_equal(list.number, rows[i].order, list.n * sizeof *list.number);
    }
}

#define RUNTIME "proc/sys/kernel/sched_rt_runtime_us"
#define PERIOD  "proc/sys/kernel/sched_rt_period_us"
#define RELEASE "proc/sys/kernel/osrelease"
#define SERVER  "sys/kernel/debug/sched/fair_server/cpu1/"

static void test_what_the_kernel_takes_back(void **state)
{
    static const struct {
        const char *tree, *runtime, *period, *release, *server;
        unsigned share;
    } rows[] = {
        {"t1", "950000\n", "1000000\n", "6.6.31\n", NULL, 50},
        {"t2", "800000\n", "1000000\n", "6.6.31\n", NULL, 200},
        {"t3", "-1\n", "1000000\n", "6.6.31\n", NULL, 0},
        {"t4", "1000000\n", "1000000\n", "5.10.0-rt\n", NULL, 0},
        {"t5", "-1\n", "1000000\n", "6.12.1\n", NULL, 50}, /* the fair server stays */
        {"t6", "-1\n", "1000000\n", "7.0\n", NULL, 50},
        {"t7", "-1\n", "1000000\n", "6.12.1\n", "0\n", 0},
        {"t8", "-1\n", "1000000\n", "6.12.1\n", "100000000\n", 100},
        {"t9", "950000\n", "1000000\n", "6.12.1\n", "0\n", 50},
        {"t10", "0\n", "1000000\n", "6.6.31\n", NULL, 1000},
        {"t11", NULL, NULL, NULL, NULL, 50},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char root[300];
        snprintf(root, sizeof root, FOLDER "/%s", rows[i].tree);
        if (rows[i].runtime) put(rows[i].tree, RUNTIME, rows[i].runtime);
        if (rows[i].period) put(rows[i].tree, PERIOD, rows[i].period);
        if (rows[i].release) put(rows[i].tree, RELEASE, rows[i].release);
        if (rows[i].server) put(rows[i].tree, SERVER "runtime", rows[i].server);
        if (rows[i].server) put(rows[i].tree, SERVER "period", "1000000000\n");
        assert_int_equal(el_throttle_share(root, 1), rows[i].share);
    }
}

/* ---- a simulated clock ---------------------------------------------------------------------- */

enum { MS = 1000000, SPANS = 1 << 18 };

/* What a thread did: from `begin` on it was real-time, or not. */
typedef struct span {
    int64_t begin;
    bool realtime;
} span;

typedef struct simulation {
    el_pace pace;
    int64_t now, cpu;
    span *spans;
    size_t n;
    int64_t longest_pause;
} simulation;

static void spend(simulation *s, int64_t time, bool realtime, bool computing)
{
    assert_true(s->n < SPANS);
    s->spans[s->n++] = (span){s->now, realtime};
    s->now += time;
    if (computing) s->cpu += time;
}

static void border(simulation *s)
{
    if (!el_pace_due(&s->pace, (el_nanoseconds)s->now)) return;
    el_pace_step step = el_pace_count(&s->pace, (el_nanoseconds)s->now, (el_nanoseconds)s->cpu);
    if (step != EL_PACE_LEAVE || s->pace.lent) return;
    const int64_t pause = el_pace_pause(&s->pace);
    assert_true(pause >= EL_PACE_QUANTUM && pause <= s->pace.debt);
    if (pause > s->longest_pause) s->longest_pause = pause;
    spend(s, pause, false, false);
}

/* The largest real-time share of any period that begins with a span; no other period has more. */
static int64_t most_in_a_period(const simulation *s, int64_t period)
{
    int64_t most = 0, inside = 0;
    for (size_t first = 0, last = 0; first < s->n; first++) {
        const int64_t end = s->spans[first].begin + period;
        if (end > s->now) break;
        for (; last < s->n && s->spans[last].begin < end; last++) {
            int64_t until = last + 1 < s->n ? s->spans[last + 1].begin : s->now;
            if (s->spans[last].realtime) inside += until - s->spans[last].begin;
        }
        int64_t past = (last < s->n ? s->spans[last].begin : s->now) - end;
        int64_t now = inside - (s->spans[last - 1].realtime ? past : 0);
        if (now > most) most = now;
        int64_t next = first + 1 < s->n ? s->spans[first + 1].begin : s->now;
        if (s->spans[first].realtime) inside -= next - s->spans[first].begin;
    }
    return most;
}

/* A minute of tokens between `least` and `longest`; now and then the caller waits; there is a
 * deadline now and then, or nearly always, or (0) never. */
static int64_t simulate(el_pace_kind kind, int64_t least, int64_t longest, bool waits,
                        unsigned deadlines, int64_t *pause)
{
    simulation s = {.pace = el_pace_begin(kind, EL_THROTTLE_DEFAULT, 0, 0)};
    uint64_t random = 12345;
    s.spans = malloc(SPANS * sizeof *s.spans);
    assert_non_null(s.spans);
    while (s.now < (int64_t)60000 * MS) {
        s.pace.put_off = next_random(&random) % 8 < deadlines;
        s.pace.long_ahead = next_random(&random) % 4 == 0;
        border(&s);
        int64_t token = least + (int64_t)(next_random(&random) % (uint64_t)(longest - least + 1));
        spend(&s, token, !s.pace.lent, true);
        if (waits && next_random(&random) % 500 == 0) spend(&s, (int64_t)400 * MS, false, false);
    }
    int64_t most = most_in_a_period(&s, (int64_t)1000 * MS);
    *pause = s.longest_pause;
    free(s.spans);
    return most;
}

static void test_no_period_has_more_than_its_runtime(void **state)
{
    static const struct {
        int64_t least, longest;
    } tokens[] = {{MS / 3, MS / 3},  {MS / 2, 2 * MS},   {2 * MS, 2 * MS},    {6 * MS, 6 * MS},
                  {MS / 2, 30 * MS}, {17 * MS, 23 * MS}, {100 * MS, 100 * MS}};
    (void)state;
    for (int kind = EL_PACE_LEND; kind <= EL_PACE_SLEEP; kind++)
        for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++)
            for (unsigned way = 0; way < 6; way++) {
                const unsigned deadlines = way / 2 * 7 / 2; /* of 8 tokens: 0, 3, 7 */
                int64_t pause, most = simulate((el_pace_kind)kind, tokens[i].least,
                                               tokens[i].longest, way % 2 != 0, deadlines, &pause);
                assert_in_range(most, 1, 950LL * MS);
                /* a pause is a quantum, what the last token added and what was put off */
                assert_true(pause <= EL_PACE_QUANTUM + tokens[i].longest * 9 / 100 +
                                         (deadlines > 0 ? EL_PACE_PUT_OFF : 0));
            }
    int64_t pause; /* and without it there would be more */
    assert_true(simulate(EL_PACE_NONE, MS, MS, false, 0, &pause) > 950LL * MS);
}

static void test_nothing_is_left_where_nothing_is_taken(void **state)
{
    (void)state;
    el_pace pace = el_pace_begin(EL_PACE_SLEEP, 0, 0, 0);
    assert_int_equal(pace.kind, EL_PACE_NONE);
    assert_false(el_pace_due(&pace, (el_nanoseconds)1000 * 1000 * MS));
}

/* Work of 100 ms within deadlines, and a second of nothing after each: nobody waits meanwhile. */
static void test_with_a_deadline_it_waits_until_the_end(void **state)
{
    (void)state;
    for (int kind = EL_PACE_LEND; kind <= EL_PACE_SLEEP; kind++) {
        el_pace pace = el_pace_begin((el_pace_kind)kind, EL_THROTTLE_DEFAULT, 0, 0);
        pace.put_off = true;
        for (el_nanoseconds now = 0; now < (el_nanoseconds)100 * MS; now += MS)
            if (el_pace_due(&pace, now))
                assert_int_equal(el_pace_count(&pace, now, now), EL_PACE_GO_ON);
        pace.put_off = false;
        const el_nanoseconds end = (el_nanoseconds)100 * MS;
        assert_true(el_pace_due(&pace, end));
        assert_int_equal(el_pace_count(&pace, end, end), EL_PACE_LEAVE);
        assert_in_range(el_pace_pause(&pace), 6 * MS, 8 * MS);
    }
}

/* ---- this machine --------------------------------------------------------------------------- */

/* A crew and its real time in an arena. */
typedef struct home {
    el_arena arena;
    el_crew *crew;
    el_realtime *realtime;
} home;

static home open_home(unsigned size)
{
    home h;
    el_arena measure = el_arena_measure();
    el_crew_layout(&measure);
    assert_null(el_realtime_layout(&measure));
    assert_int_equal(el_arena_reserve(&h.arena, measure.used, NULL), EDGELLM_OK);
    h.crew = el_crew_layout(&h.arena);
    h.realtime = el_realtime_layout(&h.arena);
    assert_int_equal(el_crew_start(h.crew, size, NULL), EDGELLM_OK);
    el_realtime_start(h.realtime, h.crew);
    return h;
}

static void close_home(home *h)
{
    el_realtime_stop(h->realtime);
    el_crew_stop(h->crew);
    el_arena_release(&h->arena);
}

static void spin(int64_t time)
{
    const el_nanoseconds begin = el_clock_now();
    while ((int64_t)(el_clock_now() - begin) < time)
        ;
}

/* As many tokens as make a border due some times. */
static void some_tokens(el_realtime *rt)
{
    for (int i = 0; i < 60; i++) {
        el_realtime_border(rt, false);
        spin(MS);
    }
}

static void check_report(const edgellm_realtime *r, unsigned size)
{
    assert_true(r->active);
    assert_int_equal(r->n_threads, size);
    assert_true(r->n_cores == 0 || r->n_cores == size);
    assert_true(r->locked_bytes <= r->wanted_bytes);
    assert_true(r->wanted_bytes > 100000); /* code alone is more */
    assert_true(r->policy[0] != '\0');
    assert_true(r->n_notes <= EDGELLM_REALTIME_NOTES);
    if (r->n_tries == 0) return;
    assert_true(r->chosen < r->n_tries);
    assert_string_equal(r->tries[r->n_tries - 1].name, "as it was");
    for (uint32_t i = 0; i < r->n_tries; i++)
        if (r->tries[i].refusal[0] == '\0') assert_true(r->tries[i].gap_ms > 0);
    assert_string_equal(r->tries[r->chosen].refusal, "");
}

static void pinned_core(void *context, unsigned member, unsigned size)
{
    int *core = context;
    (void)size;
    core[member] = sched_getcpu();
}

static void check_all_put_back(unsigned size)
{
    const thread_state before = observe();
    home h = open_home(size);
    const edgellm_realtime *r = el_realtime_report(h.realtime);
    check_report(r, size);
    int cores[EL_CREW_MAX];
    el_crew_run(h.crew, pinned_core, cores);
    for (unsigned i = 0; i < r->n_cores; i++)
        assert_int_equal(cores[i], r->cores[i]);
    some_tokens(h.realtime);
    close_home(&h);
    const thread_state after = observe();
    assert_true(same(&before, &after));
}

static void test_everything_is_put_back(void **state)
{
    (void)state;
    check_all_put_back(1);
    check_all_put_back(el_cores_allowed() >= 2 ? 2 : 1);
    check_all_put_back(1);
}

/* What somebody has changed meanwhile is not ours to put back. */
static void test_what_others_changed_stays(void **state)
{
    (void)state;
    const thread_state before = observe();
    home h = open_home(1);
    el_policy others = before.policy;
    others.nice = before.policy.nice < 18 ? before.policy.nice + 1 : 19;
    assert_int_equal(el_policy_set(0, &others), 0);
    close_home(&h);
    const thread_state after = observe();
    assert_true(el_policy_same(&after.policy, &others));
    assert_true(CPU_EQUAL(&after.cores, &before.cores));
    if (el_policy_set(0, &before.policy) != 0) assert_int_not_equal(geteuid(), 0);
}

#ifndef EL_TEST_SANITIZED /* a sanitizer's mlock does nothing, and says that it did it */
static void test_a_range_locked_before_stays_locked(void **state)
{
    (void)state;
    const size_t bytes = 8 * (size_t)sysconf(_SC_PAGESIZE);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    const uint64_t before = locked_kib();
    el_locks first = {.n = 0}, second = {.n = 0};
    el_locks_take(&first, (char *)memory + 100, bytes - 200);
    el_locks_take(&second, memory, bytes);
    assert_int_equal(first.locked, bytes);
    assert_int_equal(second.locked, bytes);
    assert_int_equal(locked_kib(), before + bytes / 1024);
    el_locks_release(&second);
    assert_int_equal(locked_kib(), before + bytes / 1024);
    el_locks_release(&first);
    assert_int_equal(locked_kib(), before);
    munmap(memory, bytes);
}
#endif

/* ---- without rights ------------------------------------------------------------------------- */

enum { NOBODY = 65534 };

/* No user has these limits by himself; root gives its rights up too. */
static bool give_up_rights(void)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_RTPRIO, &none) != 0 || setrlimit(RLIMIT_NICE, &none) != 0 ||
        setrlimit(RLIMIT_MEMLOCK, &none) != 0)
        return false;
    return geteuid() != 0 || (setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

static const edgellm_realtime_try *try_named(const edgellm_realtime *r, const char *begin)
{
    for (uint32_t i = 0; i < r->n_tries; i++)
        if (strncmp(r->tries[i].name, begin, strlen(begin)) == 0) return &r->tries[i];
    return NULL;
}

static bool has_note(const edgellm_realtime *r, const char *begin)
{
    for (uint32_t i = 0; i < r->n_notes; i++)
        if (strncmp(r->notes[i], begin, strlen(begin)) == 0) return true;
    return false;
}

static int nothing_is_permitted(void)
{
    if (!give_up_rights()) return 2;
    const thread_state before = observe();
    home h = open_home(1);
    const edgellm_realtime *r = el_realtime_report(h.realtime);
    const char *const refused[] = {"SCHED_FIFO", "nice", "SCHED_DEADLINE"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const edgellm_realtime_try *t = try_named(r, refused[i]);
        if (!t || t->refusal[0] == '\0' || !has_note(r, refused[i])) return 3;
    }
    if (r->chosen != r->n_tries - 1) return 4;
#ifndef EL_TEST_SANITIZED /* as above */
    if (r->locked_bytes != 0 || !has_note(r, "memory")) return 7;
#endif
    if (r->n_cores != 1) return 5; /* pinning needs no rights */
    some_tokens(h.realtime);
    close_home(&h);
    const thread_state after = observe();
    return same(&before, &after) ? 0 : 6;
}

static void test_without_rights_it_says_what_is_refused(void **state)
{
    (void)state;
    int status = in_child(nothing_is_permitted);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Rights that are given up while time is lent: the thread stays ordinary, and says so. */
static int rights_are_lost(void)
{
    const thread_state before = observe();
    home h = open_home(1);
    const edgellm_realtime *r = el_realtime_report(h.realtime);
    const bool lends = strstr(r->policy, "lending") != NULL;
    if (!give_up_rights()) return 2;
    some_tokens(h.realtime);
    if (lends && (strcmp(r->policy, "lost") != 0 || !has_note(r, "policy: lost"))) return 3;
    const thread_state now = observe();
    if (lends && !el_policy_same(&now.policy, &before.policy)) return 4;
    close_home(&h);
    const thread_state after = observe();
    return el_policy_same(&after.policy, &before.policy) ? 0 : 5;
}

static void test_lost_rights_are_told(void **state)
{
    (void)state;
    int status = in_child(rights_are_lost);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- waiting -------------------------------------------------------------------------------- */

typedef struct meeting {
    el_crew *crew;
    unsigned rounds[2];
    bool refused[2];
    unsigned core;
} meeting;

/* Both on one core, real-time if they may. */
static void share_a_core(void *context, unsigned member, unsigned size)
{
    meeting *m = context;
    const el_policy fifo = {.policy = SCHED_FIFO, .priority = 1};
    cpu_set_t one;
    (void)size;
    CPU_ZERO(&one);
    CPU_SET(m->core, &one);
    m->refused[member] = sched_setaffinity(0, sizeof one, &one) != 0 ||
                         (el_policy_set(0, &fifo) != 0 && geteuid() == 0);
    for (int i = 0; i < 200; i++) {
        el_crew_barrier(m->crew);
        m->rounds[member]++;
    }
}

static int members_on_one_core(void)
{
    cpu_set_t cores;
    el_arena arena, measure = el_arena_measure();
    el_crew_layout(&measure);
    if (el_arena_reserve(&arena, measure.used, NULL) != EDGELLM_OK) return 2;
    meeting m = {.crew = el_crew_layout(&arena)};
    if (el_crew_start(m.crew, 2, NULL) != EDGELLM_OK) return 3;
    el_cores_of_thread(&cores);
    while (!CPU_ISSET(m.core, &cores))
        m.core++;
    const el_nanoseconds begin = el_clock_now();
    el_crew_run(m.crew, share_a_core, &m);
    const el_nanoseconds took = el_clock_now() - begin;
    el_crew_stop(m.crew);
    if (m.refused[0] || m.refused[1]) return 6;
    if (m.rounds[0] != 200 || m.rounds[1] != 200) return 4;
    return took < 30000000000u ? 0 : 5;
}

/* A member that waits spins for some time only: one of the same priority that shares its core would
 * never get there otherwise, and this test not to its end. */
static void test_waiting_members_do_not_starve_each_other(void **state)
{
    (void)state;
    int status = in_child(members_on_one_core);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Beside a rival on its core an ordinary thread is interrupted: the trial sees it. */
static void nothing(void *context)
{
    (void)context;
}

static void test_a_trial_sees_a_rival(void **state)
{
    (void)state;
    const thread_state before = observe();
    cpu_set_t one = before.cores;
    for (int core = 0, kept = 0; core < CPU_SETSIZE; core++) {
        if (kept) CPU_CLR(core, &one);
        kept = kept || CPU_ISSET(core, &one);
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    el_rival rival;
    assert_int_equal(el_rival_start(&rival), 0);
    el_nanoseconds worst = 0;
    for (int i = 0; i < 20 && worst < MS; i++) {
        el_trial trial = el_trial_measure(nothing, NULL);
        assert_true(trial.length >= EL_TRIAL_LENGTH && trial.lost <= trial.length);
        if (trial.worst > worst) worst = trial.worst;
    }
    el_rival_stop(&rival);
    assert_int_equal(sched_setaffinity(0, sizeof before.cores, &before.cores), 0);
    assert_true(worst >= MS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cores_of_made_up_machines),
        cmocka_unit_test(test_what_the_kernel_takes_back),
        cmocka_unit_test(test_no_period_has_more_than_its_runtime),
        cmocka_unit_test(test_with_a_deadline_it_waits_until_the_end),
        cmocka_unit_test(test_nothing_is_left_where_nothing_is_taken),
        cmocka_unit_test(test_everything_is_put_back),
        cmocka_unit_test(test_what_others_changed_stays),
#ifndef EL_TEST_SANITIZED
        cmocka_unit_test(test_a_range_locked_before_stays_locked),
#endif
        cmocka_unit_test(test_without_rights_it_says_what_is_refused),
        cmocka_unit_test(test_lost_rights_are_told),
        cmocka_unit_test(test_waiting_members_do_not_starve_each_other),
        cmocka_unit_test(test_a_trial_sees_a_rival),
    };
    return cmocka_run_group_tests_name("realtime", tests, NULL, NULL);
}
