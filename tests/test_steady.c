/*
 * The token path over 500 tokens, counted from outside: a child decodes, its parent stops it at
 * every system call (ptrace). Allocations are counted at the linker, page faults by the kernel. One
 * thread must have none of them; with real-time scheduling, only the calls that leave time to
 * others.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/threads.h"
#include "edgellm.h"
#include "support/test_help.h"
#include "support/tiny_file.h"
#include "support/token_path.h"

enum { TOKENS = 500, CONTEXT = 128, PROMPT = 4, FIRST = CONTEXT };

/* What the child counts itself, outside of what is traced. */
typedef struct counts {
    int tokens, allocations;
    long faults;
} counts;

/* What its parent sees between the two marks. */
typedef struct seen {
    int calls, pausing, others; /* all; those that leave time; the rest */
    long last_other;            /* number of one of the rest */
} seen;

static long faults_so_far(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

/* A mark is a stop that the parent sees. */
static void mark(void)
{
    raise(SIGSTOP);
}

/* Shifts when the context is full. */
static bool decode(edgellm_engine *engine, edgellm_session *session, int n)
{
    edgellm_stream stream = {{0}, 0};
    char text[EDGELLM_STREAM_BYTES];
    for (int i = 0; i < n; i++) {
        uint32_t token = edgellm_session_sample(session);
        edgellm_stream_push(engine, &stream, token, text);
        if (edgellm_session_position(session) == CONTEXT &&
            edgellm_session_shift(session, PROMPT, NULL, NULL) != EDGELLM_OK)
            return false;
        if (edgellm_session_eval(session, &token, 1, NULL, NULL) != EDGELLM_OK) return false;
    }
    return true;
}

static void child(const edgellm_session_options *options, int extra_call, int report)
{
    const uint32_t prompt[PROMPT] = {5, 6, 7, 8};
    edgellm_engine *engine;
    edgellm_session *session;
    counts c = {.tokens = TOKENS};
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(10);
    if (edgellm_engine_open(tiny_file_path(TINY_KEPT), NULL, &engine, NULL) != EDGELLM_OK ||
        edgellm_session_open(engine, options, &session, NULL) != EDGELLM_OK ||
        edgellm_session_eval(session, prompt, PROMPT, NULL, NULL) != EDGELLM_OK)
        _exit(11);
    /* Code is mapped when it first runs: the sampler's with the first token, a shift's with the
     * first that needs one. In real time all of it was before, and the first token counts. */
    if (!options->realtime && !decode(engine, session, FIRST)) _exit(13);
    faults_so_far();
    mark();
    const int allocated = token_path_allocations();
    const long faults = faults_so_far();
    mark();
    if (extra_call) syscall(SYS_getppid);
    if (!decode(engine, session, TOKENS)) c.tokens = 0;
    mark();
    c.faults = faults_so_far() - faults;
    c.allocations = token_path_allocations() - allocated;
    edgellm_session_close(session);
    edgellm_engine_close(engine);
    if (write(report, &c, sizeof c) != sizeof c) _exit(12);
    _exit(0);
}

static void count_call(seen *s, long number)
{
    s->calls++;
    if (number == SYS_sched_setattr || number == SYS_clock_nanosleep ||
        number == SYS_clock_gettime) {
        s->pausing++;
    } else {
        s->others++;
        s->last_other = number;
    }
}

/* Lets the child run to its next stop; false: it has ended. */
static bool go_on(pid_t pid, enum __ptrace_request how, int *status)
{
    if (ptrace(how, pid, NULL, NULL) != 0) return false;
    return waitpid(pid, status, 0) == pid && WIFSTOPPED(*status);
}

static bool is_mark(int status)
{
    return WSTOPSIG(status) == SIGSTOP;
}

/* The calls between the second mark and the third; those of the marks themselves are left out: the
 * end of the one, the beginning of the other (rt_sigprocmask, gettid, tgkill around it). */
static bool trace(pid_t pid, seen *s)
{
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) return false;
    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    while (!is_mark(status))
        if (!go_on(pid, PTRACE_CONT, &status)) return false;
    do /* the second mark */
        if (!go_on(pid, PTRACE_CONT, &status)) return false;
    while (!is_mark(status));
    for (;;) {
        struct __ptrace_syscall_info info;
        if (!go_on(pid, PTRACE_SYSCALL, &status)) return false;
        if (is_mark(status)) break;
        if (WSTOPSIG(status) != (SIGTRAP | 0x80)) return false;
        if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof info, &info) <= 0) return false;
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY) count_call(s, (long)info.entry.nr);
    }
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    return true;
}

/* Runs the child; fills in what both saw. */
static void measure_once(const edgellm_session_options *options, int extra_call, counts *c, seen *s)
{
    int ends[2], status = 0;
    *c = (counts){0, -1, -1};
    *s = (seen){0};
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) child(options, extra_call, ends[1]);
    close(ends[1]);
    bool traced = trace(pid, s);
    ssize_t got = traced ? read(ends[0], c, sizeof *c) : 0;
    close(ends[0]);
    if (!traced) kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    assert_true(traced);
    assert_int_equal(got, sizeof *c);
}

/* Where memory is short, or the system looks which pages are used, it takes some from the child now
 * and then: a fault of the child's own comes each time. */
static void measure(const edgellm_session_options *options, int extra_call, counts *c, seen *s)
{
#ifdef EL_TEST_SANITIZED /* they fault on their own account */
    int tries = 1;
#else
    int tries = 5;
#endif
    do
        measure_once(options, extra_call, c, s);
    while (c->faults != 0 && --tries > 0);
}

/* What raise() calls by itself. */
static int calls_of_a_mark(void)
{
    edgellm_session_options options = {.context = CONTEXT, .threads = 1};
    counts c;
    seen one, two;
    measure(&options, 0, &c, &one);
    measure(&options, 1, &c, &two);
    assert_int_equal(two.calls, one.calls + 1); /* the count counts */
    return one.calls;
}

static void test_a_token_calls_and_faults_nothing(void **state)
{
    (void)state;
    edgellm_session_options options = {.context = CONTEXT, .threads = 1};
    counts c;
    seen s;
    measure(&options, 0, &c, &s);
    assert_int_equal(c.tokens, TOKENS);
#ifndef EL_TEST_SANITIZED /* they call the system on their own account */
    assert_int_equal(c.allocations, 0);
    assert_int_equal(c.faults, 0);
    assert_in_range(s.calls, 1, 3); /* of raise(), for the mark at the end */
#endif
    assert_int_equal(s.calls, calls_of_a_mark());
}

static void test_real_time_only_leaves_time(void **state)
{
    (void)state;
    edgellm_session_options options = {.context = CONTEXT, .threads = 1, .realtime = true};
    counts c;
    seen s;
    const int marks = calls_of_a_mark();
    measure(&options, 0, &c, &s);
    assert_int_equal(c.tokens, TOKENS);
#ifndef EL_TEST_SANITIZED
    assert_int_equal(c.allocations, 0);
    assert_int_equal(c.faults, 0);
    assert_int_equal(s.others, marks);
#endif
    assert_true(s.calls >= marks);
}

/* ---- the options ---------------------------------------------------------------------------- */

static edgellm_status open_with(const edgellm_engine *engine, const edgellm_session_options *o,
                                edgellm_session **session, edgellm_error *err)
{
    *session = NULL;
    return edgellm_session_open(engine, o, session, err);
}

static void test_the_report(void **state)
{
    (void)state;
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    edgellm_session_options plain = {.context = 64, .threads = 1}, real = plain;
    edgellm_session *session;
    edgellm_realtime r;
    edgellm_error err = {0};
    real.realtime = true;
    assert_ok(open_with(engine, &plain, &session, &err));
    memset(&r, 0x55, sizeof r);
    edgellm_session_realtime(session, &r);
    assert_false(r.active);
    assert_int_equal(r.n_tries + r.n_notes + r.n_cores, 0);
    edgellm_session_close(session);

    edgellm_memory_plan plan;
    assert_ok(open_with(engine, &real, &session, &err));
    edgellm_session_realtime(session, &r);
    edgellm_session_plan(session, &plan);
    assert_true(r.active);
    assert_int_equal(r.n_threads, 1);
    assert_true(r.wanted_bytes >= plan.weights + plan.session_bytes);
    edgellm_session_close(session);
    edgellm_engine_close(engine);
}

static uint64_t hash_of(const edgellm_engine *engine, bool realtime)
{
    edgellm_session_options o = {.context = 64, .realtime = realtime};
    edgellm_session *session;
    edgellm_model_info info;
    edgellm_error err = {0};
    uint64_t hash = EDGELLM_HASH_START;
    uint32_t token = 5;
    edgellm_engine_info(engine, &info);
    assert_ok(open_with(engine, &o, &session, &err));
    for (int i = 0; i < 40; i++) {
        assert_ok(edgellm_session_eval(session, &token, 1, NULL, &err));
        hash = edgellm_hash_logits(hash, edgellm_session_logits(session), info.vocab);
        token = edgellm_session_sample(session);
    }
    edgellm_session_close(session);
    return hash;
}

static void test_real_time_changes_no_bit(void **state)
{
    (void)state;
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    assert_true(hash_of(engine, false) == hash_of(engine, true));
    edgellm_engine_close(engine);
}

static void test_cores_are_reserved(void **state)
{
    (void)state;
    const unsigned cores = el_cores_allowed();
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    edgellm_session_options o = {.context = 64, .reserve_cores = cores};
    edgellm_session *session;
    edgellm_memory_plan plan;
    edgellm_error err = {0};
    assert_int_equal(open_with(engine, &o, &session, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "reserve_cores");
    o.reserve_cores = cores - 1;
    assert_ok(open_with(engine, &o, &session, &err));
    edgellm_session_plan(session, &plan);
    assert_int_equal(plan.n_threads, 1);
    edgellm_session_close(session);
    o.threads = 2;
    assert_int_equal(open_with(engine, &o, &session, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, cores > 1 ? "besides those reserved" : "1 core");
    edgellm_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_calls_and_faults_nothing),
        cmocka_unit_test(test_real_time_only_leaves_time),
        cmocka_unit_test(test_the_report),
        cmocka_unit_test(test_real_time_changes_no_bit),
        cmocka_unit_test(test_cores_are_reserved),
    };
    return cmocka_run_group_tests_name("steady", tests, tiny_files_make, NULL);
}
