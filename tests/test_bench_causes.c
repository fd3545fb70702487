/* test_bench_causes.c: counters read from a tree of files made here, and what is judged from their
 * change; each cause is found by itself, and nothing that does not move is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "cli/bench_causes.h"
#include "cli/cli_output.h"
#include "support/made_tree.h"

#define ROOT EL_TEST_OUT "/bench_causes"

static void put(const char *path, const char *text)
{
    put_in_tree(ROOT, path, text);
}

static void put_process(const char *pid, const char *stat)
{
    char path[128];
    snprintf(path, sizeof path, "proc/%s/stat", pid);
    put(path, stat);
    for (int task = 1; task <= 2; task++) {
        snprintf(path, sizeof path, "proc/%s/task/%d/schedstat", pid, task);
        put(path, task == 1 ? "1000 2000 30\n" : "1 500000 3\n");
        snprintf(path, sizeof path, "proc/%s/task/%d/status", pid, task);
        put(path, "Name:\tx\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t3\n");
    }
}

static el_cli_bench_counters read_tree(el_cli_tree *tree, const el_cli_bench_pids *pids)
{
    cpu_set_t cores;
    el_cli_bench_counters c;
    CPU_ZERO(&cores);
    CPU_SET(1, &cores);
    CPU_SET(11, &cores);
    el_cli_bench_read_counters(tree, pids, &cores, &c);
    return c;
}

static void test_reading(void **state)
{
    (void)state;
    el_cli_tree *tree = malloc(sizeof *tree);
    assert_non_null(tree);
    tree->root = ROOT;
    el_cli_bench_pids pids = {{100, 200, 300}, 3}; /* the last one has ended */
    mkdir(ROOT, 0700);
    put_process("100", "100 (a b) c) S 1 1 1 0 -1 4194304 40 0 5 0 1 1 0 0 20 0 1 0\n");
    put_process("200", "200 (server) S 1 1 1 0 -1 4194304 2 9 1 9 1 1 0 0 20 0 1 0\n");
    put("proc/stat", "cpu  1 1 1 1 1 1 1 999 0 0\ncpu0 1 1 1 1 1 1 1 500 0 0\n"
                     "cpu1 1 1 1 1 1 1 1 20 0 0\ncpu10 1 1 1 1 1 1 1 7 0 0\n"
                     "cpu11 1 1 1 1 1 1 1 3 0 0\nintr 1\n");
    put("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "1500000\n");
    put("sys/devices/system/cpu/cpu11/cpufreq/scaling_cur_freq", "1400000\n");
    put("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "4\n");
    put("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n");
    const el_cli_bench_counters c = read_tree(tree, &pids);
    assert_int_equal(c.minor, 42);
    assert_int_equal(c.major, 6);
    assert_int_equal(c.voluntary, 28);
    assert_int_equal(c.involuntary, 12);
    assert_int_equal(c.wait_ns, 1004000);
    assert_int_equal(c.steal_ms, 23 * 1000 / sysconf(_SC_CLK_TCK));
    assert_int_equal(c.khz, 1400000);
    assert_int_equal(c.throttled, 4 + 4); /* two flags now, two since the start */
    assert_int_equal(c.throttling, 2);
    free(tree);
}

static void test_nothing_is_known(void **state)
{
    (void)state;
    el_cli_tree *tree = malloc(sizeof *tree);
    assert_non_null(tree);
    tree->root = ROOT "/none";
    const el_cli_bench_pids pids = {{100}, 1};
    const el_cli_bench_counters c = read_tree(tree, &pids);
    assert_true(c.minor == EL_CLI_UNKNOWN && c.wait_ns == EL_CLI_UNKNOWN);
    assert_true(c.steal_ms == EL_CLI_UNKNOWN && c.khz == EL_CLI_UNKNOWN);
    assert_true(c.throttled == EL_CLI_UNKNOWN && c.involuntary == EL_CLI_UNKNOWN);
    assert_true(c.throttling == EL_CLI_UNKNOWN);
    assert_int_equal(el_cli_bench_cause_of(&c, &c, 1), 0);
    free(tree);
}

static const el_cli_bench_counters calm = {10, 10, 10, 10, 1000, 10, 1000000, 2, 0};

static void assert_causes(const el_cli_bench_counters *after, double excess, const char *words)
{
    char room[160];
    const unsigned causes = el_cli_bench_cause_of(&calm, after, excess);
    assert_string_equal(el_cli_bench_cause_words(causes, room, sizeof room), words);
}

static void test_each_cause(void **state)
{
    (void)state;
    el_cli_bench_counters after = calm;
    assert_causes(&after, 1, "unknown");
    after.voluntary += 5; /* a crew sleeps at times */
    assert_causes(&after, 1, "unknown");
    after.minor++;
    assert_causes(&after, 1, "minor fault");
    after = calm;
    after.major++;
    assert_causes(&after, 1, "major fault");
    after = calm;
    after.involuntary++;
    assert_causes(&after, 1, "involuntary switch");
    after = calm;
    after.wait_ns += 1000000; /* 1 ms explains 4 ms, not 5 */
    assert_causes(&after, 4, "run-queue wait");
    assert_causes(&after, 5, "unknown");
    after = calm;
    after.steal_ms += 10;
    assert_causes(&after, 1, "stolen by the host");
    after = calm;
    after.throttled++;
    assert_causes(&after, 1, "throttled");
    assert_true(el_cli_bench_throttled(&calm, &after));
    after.throttled = calm.throttled - 1; /* nothing is slowed down any more */
    assert_causes(&after, 1, "unknown");
    assert_false(el_cli_bench_throttled(&calm, &after));
    after = calm;
    after.throttling = 1; /* the whole time, perhaps: nothing has changed */
    assert_causes(&after, 1, "throttled");
    assert_true(el_cli_bench_throttled(&calm, &after) && el_cli_bench_throttled(&after, &calm));
    after = calm;
    after.khz = 949000;
    assert_causes(&after, 1, "frequency step");
    after.khz = 1051000;
    assert_causes(&after, 1, "frequency step");
    after.khz = 951000;
    assert_causes(&after, 1, "unknown");
    after.khz = EL_CLI_UNKNOWN;
    assert_causes(&after, 1, "unknown");
}

static void test_several_causes(void **state)
{
    (void)state;
    el_cli_bench_counters after = {11, 11, 11, 11, 5000000, 20, 500000, 3, 0};
    assert_causes(&after, 1,
                  "throttled, frequency step, stolen by the host, major fault, run-queue wait, "
                  "involuntary switch, minor fault");
    json_t *list = el_cli_bench_cause_json(el_cli_bench_cause_of(&calm, &after, 1));
    assert_int_equal(json_array_size(list), 7);
    assert_string_equal(json_string_value(json_array_get(list, 4)), "run_queue_wait");
    json_decref(list);
    json_t *change = el_cli_bench_change_json(&calm, &after);
    assert_int_equal(json_integer_value(json_object_get(change, "stolen_ms")), 10);
    assert_int_equal(json_integer_value(json_object_get(change, "khz_after")), 500000);
    json_decref(change);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_nothing_is_known),
        cmocka_unit_test(test_each_cause),
        cmocka_unit_test(test_several_causes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
