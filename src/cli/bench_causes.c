#include "cli/bench_causes.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_output.h"
#include "cli/cli_sensors.h"

#define UNKNOWN EL_CLI_UNKNOWN

/* ---- reading ------------------------------------------------------------------------------ */

/* Adds what is known; the sum of nothing is unknown. */
static void add(int64_t *sum, int64_t value)
{
    if (value == UNKNOWN) return;
    *sum = *sum == UNKNOWN ? value : *sum + value;
}

static const char *skip_words(const char *text, int n)
{
    for (int i = 0; i < n; i++)
        text = el_cli_next_word(text);
    return text;
}

static void add_after(int64_t *sum, const char *text, const char *label)
{
    const char *found = el_cli_after(text, label);
    if (found != NULL) add(sum, el_cli_number(found));
}

/* Faults of all threads; the name in brackets may hold blanks and brackets. */
static void add_faults(el_cli_tree *tree, pid_t pid, el_cli_bench_counters *c)
{
    const char *text = el_cli_tree_read(tree, "proc/%d/stat", (int)pid);
    const char *after_name = text != NULL ? strrchr(text, ')') : NULL;
    if (after_name == NULL) return;
    const char *minor = skip_words(after_name + 1, 7);
    add(&c->minor, el_cli_number(minor));
    add(&c->major, el_cli_number(skip_words(minor, 2)));
}

static void add_task(el_cli_tree *tree, pid_t pid, pid_t task, el_cli_bench_counters *c)
{
    const char *text = el_cli_tree_read(tree, "proc/%d/task/%d/schedstat", (int)pid, (int)task);
    if (text != NULL) add(&c->wait_ns, el_cli_number(el_cli_next_word(text)));
    text = el_cli_tree_read(tree, "proc/%d/task/%d/status", (int)pid, (int)task);
    if (text == NULL) return;
    add_after(&c->voluntary, text, "voluntary_ctxt_switches");
    add_after(&c->involuntary, text, "nonvoluntary_ctxt_switches");
}

/* "cpu3 USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL ...", in ticks of the system's clock. */
static void add_steal(el_cli_tree *tree, const cpu_set_t *cores, el_cli_bench_counters *c)
{
    char label[16];
    const long ticks = sysconf(_SC_CLK_TCK);
    const char *text = el_cli_tree_read(tree, "proc/stat");
    for (int core = 0; text != NULL && ticks > 0 && core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, cores)) continue;
        snprintf(label, sizeof label, "cpu%d", core);
        const char *found = el_cli_after(text, label);
        int64_t steal = found != NULL ? el_cli_number(skip_words(found, 7)) : UNKNOWN;
        if (steal != UNKNOWN) add(&c->steal_ms, steal * (1000 / ticks));
    }
}

#define CPU "sys/devices/system/cpu/cpu%d/"

static void add_core(el_cli_tree *tree, int core, el_cli_bench_counters *c)
{
    int64_t khz = el_cli_core_khz(tree, core);
    if (khz > 0 && (c->khz == UNKNOWN || khz < c->khz)) c->khz = khz;
    add(&c->throttled, el_cli_tree_number(tree, CPU "thermal_throttle/core_throttle_count", core));
    add(&c->throttled,
        el_cli_tree_number(tree, CPU "thermal_throttle/package_throttle_count", core));
}

/* The firmware's flags: what is so now (bits 0 to 3), what has occurred since boot (16 to 19; they
 * never go out again, so that the second time is seen by the former alone), as counts of kinds. */
static void add_firmware(el_cli_tree *tree, el_cli_bench_counters *c)
{
    const int64_t bits = el_cli_firmware_throttled(tree);
    if (bits == UNKNOWN) return;
    add(&c->throttling, __builtin_popcountll(bits & 0xf));
    add(&c->throttled, __builtin_popcountll(bits >> 16 & 0xf) + __builtin_popcountll(bits & 0xf));
}

void el_cli_bench_read_counters(el_cli_tree *tree, const el_cli_bench_pids *pids,
                                const cpu_set_t *cores, el_cli_bench_counters *c)
{
    pid_t tasks[EL_CLI_BENCH_TASKS];
    *c = (el_cli_bench_counters){UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN,
                                 UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN};
    for (uint32_t i = 0; i < pids->n; i++) {
        add_faults(tree, pids->pid[i], c);
        uint32_t n = el_cli_bench_tasks(tree->root, pids->pid[i], tasks);
        for (uint32_t t = 0; t < n; t++)
            add_task(tree, pids->pid[i], tasks[t], c);
    }
    add_steal(tree, cores, c);
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (CPU_ISSET(core, cores)) add_core(tree, core, c);
    }
    add_firmware(tree, c);
}

/* ---- judging ------------------------------------------------------------------------------ */

static int64_t change(int64_t before, int64_t after)
{
    return before == UNKNOWN || after == UNKNOWN ? UNKNOWN : after - before;
}

typedef struct moved {
    const el_cli_bench_counters *before, *after;
    double excess_ms;
} moved;

#define CHANGE(m, field) change((m)->before->field, (m)->after->field)

static bool was_throttled(const moved *m)
{
    return CHANGE(m, throttled) > 0 || m->before->throttling > 0 || m->after->throttling > 0;
}

bool el_cli_bench_throttled(const el_cli_bench_counters *before, const el_cli_bench_counters *after)
{
    return was_throttled(&(moved){before, after, 0});
}

/* By a twentieth: clocks are read with some error. */
static bool changed_clock(const moved *m)
{
    const int64_t step = CHANGE(m, khz);
    return step != UNKNOWN && (step < 0 ? -step : step) > m->before->khz / 20;
}

static bool was_stolen(const moved *m)
{
    return CHANGE(m, steal_ms) > 0;
}

static bool waited_for_storage(const moved *m)
{
    return CHANGE(m, major) > 0;
}

/* At least a quarter of what is to be explained: some wait there is always. */
static bool waited_for_a_core(const moved *m)
{
    const int64_t wait = CHANGE(m, wait_ns);
    return wait != UNKNOWN && (double)wait * 1e-6 >= m->excess_ms / 4;
}

static bool was_switched(const moved *m)
{
    return CHANGE(m, involuntary) > 0;
}

static bool had_faults(const moved *m)
{
    return CHANGE(m, minor) > 0;
}

/* What costs most comes first. */
const el_cli_bench_cause el_cli_bench_causes[] = {
    {"throttled", "throttled"},           {"frequency_step", "frequency step"},
    {"stolen", "stolen by the host"},     {"major_fault", "major fault"},
    {"run_queue_wait", "run-queue wait"}, {"involuntary_switch", "involuntary switch"},
    {"minor_fault", "minor fault"},       {NULL, NULL},
};
static bool (*const tests[])(const moved *) = {
    was_throttled,     changed_clock, was_stolen, waited_for_storage,
    waited_for_a_core, was_switched,  had_faults,
};
_Static_assert(sizeof tests / sizeof tests[0] + 1 ==
                   sizeof el_cli_bench_causes / sizeof el_cli_bench_causes[0],
               "a test for each cause");

unsigned el_cli_bench_cause_of(const el_cli_bench_counters *before,
                               const el_cli_bench_counters *after, double excess_ms)
{
    const moved m = {before, after, excess_ms};
    unsigned causes = 0;
    for (unsigned i = 0; i < sizeof tests / sizeof tests[0]; i++)
        causes |= tests[i](&m) ? 1u << i : 0;
    return causes;
}

/* ---- saying ------------------------------------------------------------------------------- */

const char *el_cli_bench_cause_words(unsigned causes, char *room, size_t size)
{
    room[0] = '\0';
    for (unsigned i = 0; el_cli_bench_causes[i].key != NULL; i++) {
        if (causes >> i & 1) el_cli_append(room, size, ", ", el_cli_bench_causes[i].words);
    }
    if (room[0] == '\0') snprintf(room, size, "unknown");
    return room;
}

json_t *el_cli_bench_cause_json(unsigned causes)
{
    json_t *list = json_array();
    for (unsigned i = 0; el_cli_bench_causes[i].key != NULL; i++) {
        if (causes >> i & 1) json_array_append_new(list, json_string(el_cli_bench_causes[i].key));
    }
    return list;
}

static json_t *number_json(int64_t value)
{
    return value != UNKNOWN ? json_integer(value) : json_null();
}

json_t *el_cli_bench_change_json(const el_cli_bench_counters *before,
                                 const el_cli_bench_counters *after)
{
    const moved m = {before, after, 0};
    json_t *o = json_object();
    json_object_set_new(o, "minor_faults", number_json(CHANGE(&m, minor)));
    json_object_set_new(o, "major_faults", number_json(CHANGE(&m, major)));
    json_object_set_new(o, "voluntary_switches", number_json(CHANGE(&m, voluntary)));
    json_object_set_new(o, "involuntary_switches", number_json(CHANGE(&m, involuntary)));
    json_object_set_new(o, "run_queue_wait_ns", number_json(CHANGE(&m, wait_ns)));
    json_object_set_new(o, "stolen_ms", number_json(CHANGE(&m, steal_ms)));
    json_object_set_new(o, "throttled", number_json(CHANGE(&m, throttled)));
    json_object_set_new(o, "throttling", number_json(after->throttling));
    json_object_set_new(o, "khz_before", number_json(before->khz));
    json_object_set_new(o, "khz_after", number_json(after->khz));
    return o;
}
