/* test_threads.c: crews, their surroundings and how many cores they may use. */
#include "support/test_help.h"

#include <errno.h>
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fpenv.h"
#include "base/half.h"
#include "base/quota.h"
#include "base/threads.h"

#define FOLDER EL_TEST_OUT "/threads"

static int set_up(void **state)
{
    (void)state;
    return mkdir(FOLDER, 0777) == 0 || errno == EEXIST ? 0 : -1;
}

/* ---- fpenv ---------------------------------------------------------------------------------- */

/* What a host may have set: subnormals flushed (where the machine can), rounding upwards. */
#if defined(__x86_64__)
#define FLUSHES 1
static void set_hostile(void)
{
    uint32_t mxcsr = 0x1f80 | 0x8040 | 0x4000;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
}
#elif defined(__aarch64__)
#define FLUSHES 1
static void set_hostile(void)
{
    uint64_t fpcr = 1u << 24 | 1u << 22;
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr) : "memory");
}
#else
#define FLUSHES 0
static void set_hostile(void)
{
    fesetround(FE_UPWARD);
}
#endif

typedef struct arithmetic {
    bool makes_subnormals, reads_subnormals, rounds_to_nearest;
} arithmetic;

static arithmetic observe(void)
{
    volatile float smallest = FLT_MIN, subnormal = el_float_of_bits(3);
    volatile float one = 1.0f, little = 0x1p-30f, product = smallest * 0.5f;
    volatile float scaled = subnormal * 4.0f, above = one + little, below = one - little;
    volatile float odd = 0x1.000002p+0f, tie = odd + 0x1p-24f;
    return (arithmetic){
        .makes_subnormals = el_bits_of_float(product) == 0x00400000,
        .reads_subnormals = el_bits_of_float(scaled) == 12,
        .rounds_to_nearest = el_bits_of_float(above) == 0x3f800000 &&
                             el_bits_of_float(below) == 0x3f800000 &&
                             el_bits_of_float(tie) == 0x3f800002,
    };
}

static void assert_contract(arithmetic seen)
{
    assert_true(seen.makes_subnormals);
    assert_true(seen.reads_subnormals);
    assert_true(seen.rounds_to_nearest);
}

static void test_fpenv(void **state)
{
    (void)state;
    fenv_t host;
    fegetenv(&host);
    set_hostile();
    arithmetic before = observe();
    el_fpenv outer = el_fpenv_enter();
    arithmetic inside = observe();
    el_fpenv inner = el_fpenv_enter(); /* nested entries */
    el_fpenv_leave(inner);
    arithmetic between = observe();
    el_fpenv_leave(outer);
    arithmetic after = observe();
    fesetenv(&host);
    assert_false(before.rounds_to_nearest);
    assert_int_equal(before.makes_subnormals, !FLUSHES);
    assert_contract(inside);
    assert_contract(between);
    assert_memory_equal(&before, &after, sizeof before);
}

/* Leaving also takes back the sticky flags that arithmetic inside raised. */
static void test_fpenv_flags(void **state)
{
    (void)state;
    feclearexcept(FE_ALL_EXCEPT);
    el_fpenv env = el_fpenv_enter();
    volatile float zero = 0.0f, infinite = 1.0f / zero;
    int raised = fetestexcept(FE_DIVBYZERO);
    el_fpenv_leave(env);
    assert_true(isinf(infinite));
    assert_true(raised);
    assert_int_equal(fetestexcept(FE_ALL_EXCEPT), 0);
}

/* ---- threads -------------------------------------------------------------------------------- */

#define PHASES 8

typedef struct relay {
    el_crew *crew;
    uint64_t slots[2][EL_CREW_MAX]; /* plain memory: the barrier alone orders it */
    uint64_t wrong[EL_CREW_MAX];
    unsigned runs[EL_CREW_MAX];
} relay;

/* Each phase every member reads what all members wrote in the phase before. */
static void relay_run(void *context, unsigned member, unsigned size)
{
    relay *r = context;
    r->runs[member]++;
    for (unsigned phase = 1; phase <= PHASES; phase++) {
        r->slots[phase & 1][member] = phase * 100 + member;
        el_crew_barrier(r->crew);
        for (unsigned i = 0; i < size; i++) {
            r->wrong[member] += r->slots[phase & 1][i] != phase * 100 + i;
        }
    }
}

/* Where the crews of the tests lie, one at a time. */
static el_arena home;

static el_crew *place(void)
{
    el_arena measure = el_arena_measure();
    assert_null(el_crew_layout(&measure));
    assert_int_equal(el_arena_reserve(&home, measure.used, NULL), EDGELLM_OK);
    return el_crew_layout(&home);
}

static el_crew *start_crew(unsigned size)
{
    el_crew *crew = place();
    assert_int_equal(el_crew_start(crew, size, NULL), EDGELLM_OK);
    return crew;
}

static void stop_crew(el_crew *crew)
{
    el_crew_stop(crew);
    el_arena_release(&home);
}

static void test_crew(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 2, 3, 7};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        static relay r;
        memset(&r, 0, sizeof r);
        r.crew = start_crew(sizes[k]);
        unsigned rounds = 400 / sizes[k];
        for (unsigned i = 0; i < rounds; i++) {
            el_crew_run(r.crew, relay_run, &r);
            for (unsigned m = 0; m < sizes[k]; m++)
                assert_int_equal(r.runs[m], i + 1);
        }
        for (unsigned m = 0; m < EL_CREW_MAX; m++) {
            assert_int_equal(r.wrong[m], 0);
            assert_int_equal(r.runs[m], m < sizes[k] ? rounds : 0);
        }
        stop_crew(r.crew);
    }
}

/* Workers that have gone to sleep, and members that come late, are waited for and woken. */
static void sleepy_run(void *context, unsigned member, unsigned size)
{
    relay *r = context;
    for (unsigned i = 0; i < size; i++) {
        if (i == member) usleep(20000);
        r->slots[0][member]++;
        el_crew_barrier(r->crew);
        for (unsigned m = 0; m < size; m++)
            r->wrong[member] += r->slots[0][m] != i + 1;
        el_crew_barrier(r->crew);
    }
}

static void test_crew_sleeps(void **state)
{
    (void)state;
    static relay r;
    r.crew = start_crew(3);
    for (int i = 0; i < 3; i++) {
        usleep(30000);
        memset(r.slots, 0, sizeof r.slots);
        el_crew_run(r.crew, sleepy_run, &r);
    }
    for (unsigned m = 0; m < 3; m++)
        assert_int_equal(r.wrong[m], 0);
    stop_crew(r.crew);
}

typedef struct surroundings {
    arithmetic seen[3];
    bool blocked[3];
    size_t stack[3];
} surroundings;

static void look_around(void *context, unsigned member, unsigned size)
{
    surroundings *s = context;
    sigset_t mask;
    pthread_attr_t attributes;
    if (member >= size || member >= 3) return;
    s->seen[member] = observe();
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    s->blocked[member] = sigismember(&mask, SIGINT) && sigismember(&mask, SIGALRM);
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    pthread_attr_getstacksize(&attributes, &s->stack[member]);
    pthread_attr_destroy(&attributes);
}

/* Threads inherit the rounding of whoever starts them; workers must not keep it. */
static void test_crew_surroundings(void **state)
{
    (void)state;
    static surroundings s;
    el_crew *crew = place();
    fenv_t host;
    fegetenv(&host);
    set_hostile();
    edgellm_status status = el_crew_start(crew, 3, NULL);
    fesetenv(&host);
    assert_int_equal(status, EDGELLM_OK);
    el_crew_run(crew, look_around, &s);
    stop_crew(crew);
    for (int m = 1; m < 3; m++) {
        assert_contract(s.seen[m]);
        assert_true(s.blocked[m]);
        assert_true(s.stack[m] >= EL_CREW_STACK_BYTES);
    }
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    assert_false(sigismember(&mask, SIGINT)); /* the caller's mask is as it was */
}

#ifndef EL_TEST_SANITIZED /* a sanitizer needs more address space than this leaves */
/* With room for a few stacks only, the start fails part of the way and gives all back. */
static int start_too_many(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    if (!f || fscanf(f, "%lu", &pages) != 1) return 1;
    fclose(f);
    rlim_t bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + 6 * EL_CREW_STACK_BYTES;
    struct rlimit limit = {bytes, bytes};
    edgellm_error err;
    el_crew *crew = place();
    if (setrlimit(RLIMIT_AS, &limit) != 0) return 2;
    void *probe = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe != MAP_FAILED) return 0; /* an emulator that does not enforce the limit */
    for (int i = 0; i < 3; i++) {
        if (el_crew_start(crew, EL_CREW_MAX, &err) != EDGELLM_ERR_MEMORY) return 3;
        if (!strstr(err.message, "of 64") || !strstr(err.message, "(ulimit -v)")) return 4;
    }
    return el_crew_start(crew, 2, &err) == EDGELLM_OK ? 0 : 5;
}
#endif

static void test_crew_errors(void **state)
{
    (void)state;
    edgellm_error err;
    el_crew *crew = place();
    assert_int_equal(el_crew_start(crew, 0, &err), EDGELLM_ERR_USAGE);
    assert_int_equal(el_crew_start(crew, EL_CREW_MAX + 1, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "65");
    el_arena_release(&home);
#ifndef EL_TEST_SANITIZED
    assert_int_equal(in_child(start_too_many), 0);
#endif
}

static void test_share(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 5, 64, 1000003, UINT32_MAX};
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        for (unsigned size = 1; size <= EL_CREW_MAX; size++) {
            uint32_t at = 0, begin, end;
            for (unsigned m = 0; m < size; m++) {
                el_share(counts[k], m, size, &begin, &end);
                assert_int_equal(begin, at);
                assert_in_range(end - begin - counts[k] / size, 0, 1);
                at = end;
            }
            assert_int_equal(at, counts[k]);
        }
    }
}

/* ---- cores ---------------------------------------------------------------------------------- */

static void make_groups(const char *root, const char *const *folders, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char path[300];
        snprintf(path, sizeof path, FOLDER "/%s%s", root, folders[i]);
        assert_true(mkdir(path, 0777) == 0 || errno == EEXIST);
    }
}

/* Lays out control groups under FOLDER/cg and asks for the quota. */
static void test_quota(void **state)
{
    (void)state;
    static const char *const folders[] = {
        "",
        "/job",
        "/job/inner",
        "/v1",
        "/v1/cpu",
        "/v1/cpu/a",
        "/v1/cpu/a/b",
        "/combined",
        "/combined/cpu,cpuacct",
    };
    make_groups("cg", folders, sizeof folders / sizeof folders[0]);
    put_file(FOLDER "/cg/v1/cpu/a/cpu.cfs_quota_us", "-1\n");
    put_file(FOLDER "/cg/v1/cpu/a/cpu.cfs_period_us", "100000\n");
    put_file(FOLDER "/cg/v1/cpu/a/b/cpu.cfs_quota_us", "250000\n");
    put_file(FOLDER "/cg/v1/cpu/a/b/cpu.cfs_period_us", "100000\n");
    put_file(FOLDER "/cg/combined/cpu,cpuacct/cpu.cfs_quota_us", "50000\n");
    put_file(FOLDER "/cg/combined/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    static const struct {
        const char *self, *root, *outer, *inner; /* the last two: cpu.max of job and job/inner */
        unsigned cores;
    } rows[] = {
        {"0::/job/inner\n", "", "max 100000\n", "max 100000\n", 0},
        {"0::/job/inner\n", "", "max 100000\n", "300000 100000\n", 3},
        {"0::/job/inner\n", "", "200000 100000\n", "300000 100000\n", 2},
        {"0::/job/inner\n", "", "200000 100000\n", "20000 100000\n", 1},
        {"0::/job/inner", "", "max 100000\n", "100001 100000\n", 2},
        {"0::/job\n", "", "700000 100000\n", "100000 100000\n", 7},
        {"0::/\n", "/job", "400000 100000\n", "max 100000\n", 4},
        {"0::/host/path/elsewhere\n", "/job", "400000 100000\n", "max 100000\n", 4},
        {"", "/job", "400000 100000\n", "max 100000\n", 4},
        {"0::/job\n", "", "99999999999999999999999 1\n", "max 100000\n", 2147483647},
        {"0::/job\n", "", "100000 0\n", "", 0},
        {"0::/job\n", "", "rubbish", "", 0},
        {"rubbish\n:\n0:\n\n0::", "", "max 100000\n", "", 0},
        {"5:memory:/a\n4:cpuset:/a/b\n3:cpu:/a/b\n", "/v1", "", "", 3},
        {"3:cpu,cpuacct:/a/b\n", "/v1", "", "", 3},
        {"3:cpuacct,cpu:/a\n", "/v1", "", "", 0},
        {"3:cpuset:/a/b\n", "/v1", "", "", 0},
        {"3:cpu,cpuacct:/\n", "/combined", "", "", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char root[300];
        snprintf(root, sizeof root, FOLDER "/cg%s", rows[i].root);
        put_file(FOLDER "/cg/self", rows[i].self);
        put_file(FOLDER "/cg/job/cpu.max", rows[i].outer);
        put_file(FOLDER "/cg/job/inner/cpu.max", rows[i].inner);
        assert_int_equal(el_quota_cores(FOLDER "/cg/self", root), rows[i].cores);
    }
    assert_int_equal(el_quota_cores(FOLDER "/cg/none", FOLDER "/cg/none"), 0);
}

static void test_memory_limit(void **state)
{
    (void)state;
    static const char *const folders[] = {"",    "/job",       "/job/inner",
                                          "/v1", "/v1/memory", "/v1/memory/a"};
    make_groups("mg", folders, sizeof folders / sizeof folders[0]);
    put_file(FOLDER "/mg/v1/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put_file(FOLDER "/mg/v1/memory/a/memory.limit_in_bytes", "300000000\n");
    static const struct {
        const char *self, *root, *outer, *inner; /* the last two: memory.max of job and job/inner */
        uint64_t bytes;
    } rows[] = {
        {"0::/job/inner\n", "", "max\n", "max\n", 0},
        {"0::/job/inner\n", "", "max\n", "268435456\n", 268435456},
        {"0::/job/inner\n", "", "5000000000\n", "6000000000\n", 5000000000},
        {"0::/\n", "/job", "4096\n", "max\n", 4096},
        {"0::/elsewhere\n", "/job", "4096\n", "1\n", 4096},
        {"0::/job\n", "", "rubbish", "", 0},
        {"4:memory:/a\n0::/\n", "/v1", "", "", 300000000},
        {"4:memory:/\n", "/v1", "", "", 0},
        {"4:cpu:/a\n", "/v1", "", "", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char root[300];
        snprintf(root, sizeof root, FOLDER "/mg%s", rows[i].root);
        put_file(FOLDER "/mg/self", rows[i].self);
        put_file(FOLDER "/mg/job/memory.max", rows[i].outer);
        put_file(FOLDER "/mg/job/inner/memory.max", rows[i].inner);
        assert_true(el_quota_memory(FOLDER "/mg/self", root) == rows[i].bytes);
    }
}

static void test_what_the_machine_has_left(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {
        {"MemTotal:  900 kB\nMemAvailable:     300 kB\nSwapFree:  4 kB\n", 304 * 1024},
        {"MemTotal:  900 kB\nMemAvailable:     300 kB\n", 300 * 1024},
        {"MemAvailable:       0 kB\nSwapFree:  4 kB\n", 0},
        {"MemTotal:  900 kB\n", 0},
        {"MemAvailable: many\n", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put_file(FOLDER "/meminfo", rows[i].text);
        assert_true(el_quota_left(FOLDER "/meminfo") == rows[i].bytes);
    }
    assert_true(el_quota_left(FOLDER "/no-meminfo") == 0);
    assert_true(el_quota_left("/proc/meminfo") > 0);
}

static int cores_when_pinned(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
    int first = 0;
    while (!CPU_ISSET(first, &set))
        first++;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) return 0;
    return (int)el_cores_allowed();
}

static void test_cores(void **state)
{
    (void)state;
    unsigned cores = el_cores_allowed();
    assert_in_range(cores, 1, (unsigned)sysconf(_SC_NPROCESSORS_CONF));
    int status = in_child(cores_when_pinned);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

static void test_clock(void **state)
{
    (void)state;
    el_nanoseconds start = el_clock_now();
    usleep(2000);
    assert_in_range(el_clock_now() - start, 1900000, 60000000000ULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fpenv),
        cmocka_unit_test(test_fpenv_flags),
        cmocka_unit_test(test_crew),
        cmocka_unit_test(test_crew_sleeps),
        cmocka_unit_test(test_crew_surroundings),
        cmocka_unit_test(test_crew_errors),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_what_the_machine_has_left),
        cmocka_unit_test(test_cores),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests_name("threads", tests, set_up, NULL);
}
