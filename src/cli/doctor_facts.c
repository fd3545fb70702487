/*
 * doctor_facts.c: the table of facts. One row is one fact: its key in JSON, its place in the
 * struct, and, where one file tells it, that file and how it is written there. What takes more than
 * one look is gathered by functions.
 */
#include "cli/doctor_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/throttle.h"

#if defined(__has_feature) /* clang */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

/* ---- how a fact is written in a file; `text` begins where the value does ------------------ */

typedef void (*take_fn)(void *field, size_t size, const char *text);

static void take_number(void *field, size_t size, const char *text)
{
    (void)size;
    *(int64_t *)field = el_cli_number(text);
}

static void take_kib(void *field, size_t size, const char *text)
{
    int64_t kib = el_cli_number(text);
    (void)size;
    if (kib >= 0 && kib <= INT64_MAX / 1024) *(int64_t *)field = kib * 1024;
}

/* /proc/self/limits: the soft limit is the first of the two. */
static void take_limit(void *field, size_t size, const char *text)
{
    (void)size;
    *(int64_t *)field = strncmp(text, "unlimited", 9) == 0 ? EL_CLI_UNLIMITED : el_cli_number(text);
}

static void take_text(void *field, size_t size, const char *text)
{
    el_cli_copy_line(field, size, text);
}

/* "always [madvise] never": the word in brackets. */
static void take_choice(void *field, size_t size, const char *text)
{
    const char *open = strchr(text, '['), *close = open != NULL ? strchr(open, ']') : NULL;
    if (close == NULL || (size_t)(close - open) > size) return;
    el_cli_copy_line(field, (size_t)(close - open), open + 1);
}

/* "0-3,8": how many numbers the list names. */
static void take_count(void *field, size_t size, const char *text)
{
    int64_t count = 0;
    (void)size;
    for (;; text++) {
        int64_t first = el_cli_number(text), last = first;
        if (first < 0) return;
        text += strspn(text, "0123456789");
        if (*text == '-') {
            last = el_cli_number(++text);
            text += strspn(text, "0123456789");
        }
        if (last < first || last - first > 1000000 || count > 1000000) return;
        count += last - first + 1;
        if (*text != ',') break;
    }
    *(int64_t *)field = count;
}

/* The same, where an empty list is none. */
static void take_count_or_none(void *field, size_t size, const char *text)
{
    *(int64_t *)field = 0;
    take_count(field, size, text);
}

enum { CAP_IPC_LOCK_BIT = 14 };

/* "00000000a80425fb": the capabilities in force. */
static void take_ipc_lock(void *field, size_t size, const char *text)
{
    char *end = NULL;
    unsigned long long bits = strtoull(text, &end, 16);
    (void)size;
    if (end != text) *(int64_t *)field = bits >> CAP_IPC_LOCK_BIT & 1;
}

/* A number with decimals, in thousandths: "0.94 0.31 ...". */
static void take_thousandths(void *field, size_t size, const char *text)
{
    char *end = NULL;
    double value = strtod(text, &end);
    (void)size;
    if (end != text && value >= 0 && value < 1e9) *(int64_t *)field = (int64_t)(value * 1000 + 0.5);
}

/* /proc/stat: user nice system idle iowait irq softirq steal ... */
static void take_steal(void *field, size_t size, const char *text)
{
    enum { COLUMNS = 8, STEAL = 7 };
    double sum = 0, steal = 0;
    (void)size;
    for (int i = 0; i < COLUMNS; i++) {
        int64_t ticks = el_cli_number(text);
        if (ticks < 0) return;
        sum += (double)ticks;
        if (i == STEAL) steal = (double)ticks;
        text = el_cli_next_word(text);
    }
    if (sum > 0) *(int64_t *)field = (int64_t)(steal / sum * 1e6);
}

static void take_preemption(void *field, size_t size, const char *text)
{
    static const char *const models[] = {"PREEMPT_RT", "PREEMPT_DYNAMIC", "PREEMPT_LAZY",
                                         "PREEMPT"};
    char line[1024];
    el_cli_copy_line(line, sizeof line, text);
    if (line[0] == '\0') return;
    snprintf(field, size, "voluntary or none");
    for (int i = 3; i >= 0; i--) {
        if (strstr(line, models[i]) != NULL) snprintf(field, size, "%s", models[i]);
    }
}

/* "none voluntary (full) lazy": the word in parentheses. */
static void take_mode(void *field, size_t size, const char *text)
{
    const char *open = strchr(text, '('), *close = open != NULL ? strchr(open, ')') : NULL;
    if (close == NULL || (size_t)(close - open) > size) return;
    el_cli_copy_line(field, (size_t)(close - open), open + 1);
}

/* ---- the table ---------------------------------------------------------------------------- */

typedef enum kind { NUMBER, FLAG, LIMIT, TEXT } kind;

typedef struct row {
    const char *key;
    kind kind;
    size_t field, size;
    take_fn take; /* NULL: gathered by a function */
    const char *path, *label;
} row;

#define AT(member) offsetof(el_cli_facts, member), sizeof(((el_cli_facts *)0)->member)
#define CPU        "sys/devices/system/cpu/"
#define CLOCK      "sys/devices/system/clocksource/clocksource0/"

static const row rows[] = {
    {"version", TEXT, AT(version), NULL, NULL, NULL},
    {"compiler", TEXT, AT(compiler), NULL, NULL, NULL},
    {"pointer_bits", NUMBER, AT(pointer_bits), NULL, NULL, NULL},
    {"optimised", FLAG, AT(optimised), NULL, NULL, NULL},
    {"sanitized", FLAG, AT(sanitized), NULL, NULL, NULL},
    {"board", TEXT, AT(board), take_text, "proc/device-tree/model", NULL},
    {"machine", TEXT, AT(machine), take_text, "proc/sys/kernel/arch", NULL},
    {"cpu_vendor", TEXT, AT(cpu_vendor), NULL, NULL, NULL},
    {"cpu_model", TEXT, AT(cpu_model), NULL, NULL, NULL},
    {"cpu_features", TEXT, AT(cpu_features), NULL, NULL, NULL},
    {"kernels_built", TEXT, AT(kernels_built), NULL, NULL, NULL},
    {"kernels_runnable", TEXT, AT(kernels_runnable), NULL, NULL, NULL},
    {"kernel_used", TEXT, AT(kernel_used), NULL, NULL, NULL},
    {"cores_online", NUMBER, AT(cores_online), take_count, CPU "online", NULL},
    {"cores_affinity", NUMBER, AT(cores_affinity), take_count, "proc/self/status",
     "Cpus_allowed_list"},
    {"cores_quota_milli", NUMBER, AT(cores_quota), NULL, NULL, NULL},
    {"cores_allowed", NUMBER, AT(cores_allowed), NULL, NULL, NULL},
    {"cores_isolated", TEXT, AT(cores_isolated), take_text, CPU "isolated", NULL},
    {"cores_isolated_number", NUMBER, AT(isolated), take_count_or_none, CPU "isolated", NULL},
    {"cores_fast", NUMBER, AT(cores_fast), NULL, NULL, NULL},
    {"core_capacity_min", NUMBER, AT(capacity_min), NULL, NULL, NULL},
    {"core_capacity_max", NUMBER, AT(capacity_max), NULL, NULL, NULL},
    {"governor", TEXT, AT(governor), NULL, NULL, NULL},
    {"frequency_driver", TEXT, AT(frequency_driver), NULL, NULL, NULL},
    {"frequency_policies", NUMBER, AT(frequency_policies), NULL, NULL, NULL},
    {"frequency_now_khz", NUMBER, AT(frequency_now), NULL, NULL, NULL},
    {"frequency_min_khz", NUMBER, AT(frequency_min), NULL, NULL, NULL},
    {"frequency_max_khz", NUMBER, AT(frequency_max), NULL, NULL, NULL},
    {"frequency_hardware_max_khz", NUMBER, AT(frequency_top), NULL, NULL, NULL},
    {"boost", FLAG, AT(boost), NULL, NULL, NULL},
    {"temperature_millidegrees", NUMBER, AT(temperature), NULL, NULL, NULL},
    {"temperature_zone", TEXT, AT(temperature_zone), NULL, NULL, NULL},
    {"firmware_throttled_bits", NUMBER, AT(throttled), NULL, NULL, NULL},
    {"under_voltage", FLAG, AT(under_voltage), NULL, NULL, NULL},
    {"throttle_events", NUMBER, AT(throttle_events), NULL, NULL, NULL},
    {"page_bytes", NUMBER, AT(page_bytes), take_kib, "proc/self/smaps", "KernelPageSize"},
    {"memory_total_bytes", NUMBER, AT(memory_total), take_kib, "proc/meminfo", "MemTotal"},
    {"memory_available_bytes", NUMBER, AT(memory_available), take_kib, "proc/meminfo",
     "MemAvailable"},
    {"memory_group_limit_bytes", NUMBER, AT(group_limit), NULL, NULL, NULL},
    {"memory_group_room_bytes", NUMBER, AT(group_room), NULL, NULL, NULL},
    {"transparent_huge_pages", TEXT, AT(huge_pages), take_choice,
     "sys/kernel/mm/transparent_hugepage/enabled", NULL},
    {"overcommit", NUMBER, AT(overcommit), take_number, "proc/sys/vm/overcommit_memory", NULL},
    {"commit_limit_bytes", NUMBER, AT(commit_limit), take_kib, "proc/meminfo", "CommitLimit"},
    {"committed_bytes", NUMBER, AT(committed), take_kib, "proc/meminfo", "Committed_AS"},
    {"swap_devices", NUMBER, AT(swap_devices), NULL, NULL, NULL},
    {"swap_device", TEXT, AT(swap_device), NULL, NULL, NULL},
    {"swap_zram", FLAG, AT(swap_zram), NULL, NULL, NULL},
    {"swap_bytes", NUMBER, AT(swap_bytes), NULL, NULL, NULL},
    {"swap_used_bytes", NUMBER, AT(swap_used), NULL, NULL, NULL},
    {"swappiness", NUMBER, AT(swappiness), take_number, "proc/sys/vm/swappiness", NULL},
    {"limit_memlock_bytes", LIMIT, AT(limit_memlock), take_limit, "proc/self/limits",
     "Max locked memory"},
    {"limit_address_space_bytes", LIMIT, AT(limit_address), take_limit, "proc/self/limits",
     "Max address space"},
    {"limit_stack_bytes", LIMIT, AT(limit_stack), take_limit, "proc/self/limits", "Max stack size"},
    {"limit_rtprio", LIMIT, AT(limit_rtprio), take_limit, "proc/self/limits",
     "Max realtime priority"},
    {"limit_nice", LIMIT, AT(limit_nice), take_limit, "proc/self/limits", "Max nice priority"},
    {"capability_ipc_lock", FLAG, AT(ipc_lock), take_ipc_lock, "proc/self/status", "CapEff"},
    {"mlock_works", FLAG, AT(lock_works), NULL, NULL, NULL},
    {"mlock_beyond_limit_works", FLAG, AT(lock_beyond_limit), NULL, NULL, NULL},
    {"sched_fifo_works", FLAG, AT(fifo_works), NULL, NULL, NULL},
    {"nice_lowest", NUMBER, AT(nice_lowest), NULL, NULL, NULL},
    {"sched_rt_runtime_us", NUMBER, AT(rt_runtime), take_number,
     "proc/sys/kernel/sched_rt_runtime_us", NULL},
    {"sched_rt_period_us", NUMBER, AT(rt_period), take_number, "proc/sys/kernel/sched_rt_period_us",
     NULL},
    {"real_time_taken_back_permille", NUMBER, AT(rt_taken_back), NULL, NULL, NULL},
    {"clock_source", TEXT, AT(clock_source), take_text, CLOCK "current_clocksource", NULL},
    {"clock_sources", TEXT, AT(clock_sources), take_text, CLOCK "available_clocksource", NULL},
    {"kernel_release", TEXT, AT(kernel_release), take_text, "proc/sys/kernel/osrelease", NULL},
    {"preemption", TEXT, AT(preemption), take_preemption, "proc/version", NULL},
    {"preemption_mode", TEXT, AT(preemption_mode), take_mode, "sys/kernel/debug/sched/preempt",
     NULL},
    {"virtual_machine", TEXT, AT(virtual_machine), NULL, NULL, NULL},
    {"container", TEXT, AT(container), NULL, NULL, NULL},
    {"steal_millionths", NUMBER, AT(steal), take_steal, "proc/stat", "cpu"},
    {"load_milli", NUMBER, AT(load), take_thousandths, "proc/loadavg", NULL},
    {"plan_bytes", NUMBER, AT(plan_bytes), NULL, NULL, NULL},
    {"plan_locked_bytes", NUMBER, AT(plan_locked), NULL, NULL, NULL},
    {"plan_private_bytes", NUMBER, AT(plan_private), NULL, NULL, NULL},
    {"plan_context", NUMBER, AT(plan_context), NULL, NULL, NULL},
    {"model_bytes", NUMBER, AT(model_bytes), NULL, NULL, NULL},
    {"model_cached_bytes", NUMBER, AT(model_cached), NULL, NULL, NULL},
    {"model_file_system", TEXT, AT(model_file_system), NULL, NULL, NULL},
    {"model_device", TEXT, AT(model_device), NULL, NULL, NULL},
    {"model_card", TEXT, AT(model_card), NULL, NULL, NULL},
    {"model_rotational", FLAG, AT(model_rotational), NULL, NULL, NULL},
    {"model_read_bytes_per_second", NUMBER, AT(model_read_rate), NULL, NULL, NULL},
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static void *field_of(el_cli_facts *facts, const row *r)
{
    return (char *)facts + r->field;
}

static void take_row(el_cli_facts *facts, el_cli_tree *tree, const row *r)
{
    if (r->kind != TEXT) *(int64_t *)field_of(facts, r) = EL_CLI_UNKNOWN;
    if (r->take == NULL) return;
    const char *text = el_cli_tree_read(tree, "%s", r->path);
    if (text != NULL && r->label != NULL) text = el_cli_after(text, r->label);
    if (text != NULL) r->take(field_of(facts, r), r->size, text);
}

/* ---- what takes more than one look -------------------------------------------------------- */

static void add_up(int64_t *sum, int64_t more)
{
    if (__builtin_add_overflow(*sum, more, sum)) *sum = INT64_MAX; /* a file that lies */
}

/* One line of /proc/swaps: device, kind, size and use in KiB, priority. */
static void add_swap(el_cli_facts *facts, const char *line)
{
    const char *size_text = el_cli_next_word(el_cli_next_word(line));
    int64_t size = 0, used = 0;
    take_kib(&size, sizeof size, size_text);
    take_kib(&used, sizeof used, el_cli_next_word(size_text));
    if (line[0] != '/' || size == 0) return;
    if (facts->swap_devices++ == 0)
        snprintf(facts->swap_device, sizeof facts->swap_device, "%.*s", (int)strcspn(line, " "),
                 line);
    if (strstr(line, "/zram") != NULL) facts->swap_zram = 1;
    add_up(&facts->swap_bytes, size);
    add_up(&facts->swap_used, used);
}

/* A line of titles comes first. */
static void swap(el_cli_facts *facts, el_cli_tree *tree)
{
    char line[512];
    const char *text = el_cli_tree_read(tree, "proc/swaps");
    if (text == NULL || strncmp(text, "Filename", 8) != 0) return;
    facts->swap_devices = facts->swap_bytes = facts->swap_used = facts->swap_zram = 0;
    while ((text = el_cli_next_line(text)) != NULL) {
        el_cli_copy_line(line, sizeof line, text);
        add_swap(facts, line);
    }
}

static void kernel(el_cli_facts *facts, el_cli_tree *tree)
{
    if (el_cli_tree_number(tree, "sys/kernel/realtime") == 1)
        snprintf(facts->preemption, sizeof facts->preemption, "PREEMPT_RT");
}

/* The maker of the machine names the hypervisor, where there is one. */
static void surroundings(el_cli_facts *facts, el_cli_tree *tree)
{
    char line[sizeof facts->virtual_machine];
    bool named =
        el_cli_tree_line(tree, line, sizeof line, "sys/hypervisor/type") ||
        el_cli_tree_line(tree, line, sizeof line, "proc/device-tree/hypervisor/compatible") ||
        (el_cli_tree_line(tree, line, sizeof line, "sys/class/dmi/id/sys_vendor") &&
         (facts->virtual_machine[0] != '\0' || strcmp(line, "QEMU") == 0));
    if (named) memcpy(facts->virtual_machine, line, sizeof line);
    if (el_cli_tree_line(tree, facts->container, sizeof facts->container, "run/systemd/container"))
        return;
    if (el_cli_tree_read(tree, ".dockerenv") != NULL)
        snprintf(facts->container, sizeof facts->container, "docker");
    if (el_cli_tree_read(tree, "run/.containerenv") != NULL)
        snprintf(facts->container, sizeof facts->container, "podman");
}

static void build(el_cli_facts *facts)
{
    snprintf(facts->version, sizeof facts->version, "%s", edgellm_version());
#if defined(__clang__)
    snprintf(facts->compiler, sizeof facts->compiler, "clang %d.%d.%d", __clang_major__,
             __clang_minor__, __clang_patchlevel__);
#else
    snprintf(facts->compiler, sizeof facts->compiler, "gcc %.48s", __VERSION__);
#endif
    facts->pointer_bits = 8 * (int64_t)sizeof(void *);
#if defined(__OPTIMIZE__)
    facts->optimised = 1;
#else
    facts->optimised = 0;
#endif
    facts->sanitized = 0;
#if defined(SANITIZED)
    facts->sanitized = 1;
#endif
}

static void names(char *list, size_t size, const char *(*name_of)(uint32_t index))
{
    const char *name;
    for (uint32_t i = 0; (name = name_of(i)) != NULL; i++)
        el_cli_append(list, size, " ", name);
}

/* What only a running process can know of the system it runs on. */
static void ask(el_cli_facts *facts)
{
    struct utsname name;
    const char *best;
    long page = sysconf(_SC_PAGESIZE);
    if (page > 0) facts->page_bytes = page;
    if (uname(&name) == 0) el_cli_copy_line(facts->machine, sizeof facts->machine, name.machine);
    names(facts->kernels_runnable, sizeof facts->kernels_runnable, edgellm_kernel_name);
    for (uint32_t i = 0; (best = edgellm_kernel_name(i)) != NULL; i++)
        snprintf(facts->kernel_used, sizeof facts->kernel_used, "%s", best);
    el_cli_facts_try(facts);
}

void el_cli_facts_gather(el_cli_facts *facts, el_cli_tree *tree, bool live)
{
    memset(facts, 0, sizeof *facts);
    for (int i = 0; i < N_ROWS; i++)
        take_row(facts, tree, &rows[i]);
    build(facts);
    names(facts->kernels_built, sizeof facts->kernels_built, edgellm_kernel_built);
    el_cli_facts_groups(facts, tree);
    el_cli_facts_processor(facts, tree);
    swap(facts, tree);
    kernel(facts, tree);
    surroundings(facts, tree);
    if (facts->rt_runtime != EL_CLI_UNKNOWN)
        facts->rt_taken_back = el_throttle_share(tree->root, 0);
    if (live) ask(facts);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static json_t *row_json(const el_cli_facts *facts, const row *r)
{
    const void *field = (const char *)facts + r->field;
    if (r->kind == TEXT) {
        const char *text = field;
        return text[0] != '\0' ? json_string(text) : json_null();
    }
    int64_t value;
    memcpy(&value, field, sizeof value);
    if (value == EL_CLI_UNKNOWN) return json_null();
    if (r->kind == FLAG) return json_boolean(value != 0);
    if (r->kind == LIMIT && value == EL_CLI_UNLIMITED) return json_string("unlimited");
    return json_integer(value);
}

json_t *el_cli_facts_json(const el_cli_facts *facts)
{
    json_t *object = json_object();
    for (int i = 0; i < N_ROWS; i++)
        json_object_set_new(object, rows[i].key, row_json(facts, &rows[i]));
    return object;
}
