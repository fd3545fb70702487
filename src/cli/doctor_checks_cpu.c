/* doctor_checks_cpu.c: the processor: its instructions, its cores, its clock and its heat. */
#include <stdio.h>
#include <string.h>

#include "cli/doctor_checks.h"

/* ---- processor and instructions ----------------------------------------------------------- */

static const char *or_unknown(const char *text)
{
    return text[0] != '\0' ? text : "unknown";
}

void el_cli_check_cpu(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice advice = {
        .effect = "decoding reads every weight once a token: memory bandwidth, then the core's"
                  " vector units, set the speed"};
    if (f->cpu_model[0] == '\0' && f->board[0] == '\0' && f->machine[0] == '\0') {
        el_cli_not_known(finding, "the processor's name");
        return;
    }
    el_cli_find(finding, EL_CLI_STATE_OK, &advice, "%s (%s), %s%s%s", or_unknown(f->cpu_model),
                or_unknown(f->cpu_vendor), or_unknown(f->machine), f->board[0] != '\0' ? ", " : "",
                f->board);
}

/* Is the level in use the last of those built? A processor may lack others: not every one with
 * AVX-512 has AVX-VNNI. */
static bool is_fastest(const el_cli_facts *f)
{
    const char *last = strrchr(f->kernels_built, ' ');
    return strcmp(last != NULL ? last + 1 : f->kernels_built, f->kernel_used) == 0;
}

void el_cli_check_instructions(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice best = {
        .effect = "the fastest kernels of this build are in use; results are bit-identical at"
                  " every level"};
    static const el_cli_advice slower = {
        .effect = "a faster level was built, but this processor lacks its instructions; results"
                  " are bit-identical at every level"};
    static const el_cli_advice portable = {
        .effect = "portable C kernels: the same bits, several times slower than a vector level;"
                  " this version has such levels for x86-64 (SSE4.1, AVX2, AVX-VNNI, AVX-512),"
                  " ARM (NEON, dot products, int8 matrix products) and RISC-V (V 1.0)"};
    const char *features = f->cpu_features[0] != '\0' ? f->cpu_features : "none known";
    if (f->kernel_used[0] == '\0') {
        el_cli_find(finding, EL_CLI_STATE_UNKNOWN, NULL,
                    "not known here: the level in use; the processor lists: %s", features);
        return;
    }
    bool scalar = strcmp(f->kernel_used, "scalar") == 0;
    const el_cli_advice *advice = scalar ? &portable : is_fastest(f) ? &best : &slower;
    el_cli_find(finding, advice == &best ? EL_CLI_STATE_OK : EL_CLI_STATE_NOTE, advice,
                "%s is used; built: %s; runs here: %s; the processor lists: %s", f->kernel_used,
                f->kernels_built, f->kernels_runnable, features);
}

/* ---- cores -------------------------------------------------------------------------------- */

static const char *plural(int64_t n)
{
    return n == 1 ? "" : "s";
}

static void cores_text(const el_cli_facts *f, char *text, size_t size)
{
    char more[96];
    snprintf(text, size, "%lld core%s online, %lld usable", (long long)f->cores_online,
             plural(f->cores_online), (long long)f->cores_allowed);
    if (f->cores_quota != EL_CLI_UNKNOWN) {
        snprintf(more, sizeof more, "a quota of %.2f", (double)f->cores_quota / 1000);
        el_cli_append(text, size, ", ", more);
    }
    if (f->cores_isolated[0] != '\0') {
        snprintf(more, sizeof more, "isolated: %s", f->cores_isolated);
        el_cli_append(text, size, ", ", more);
    }
}

/* Can the threads use up the quota before a period ends? */
static bool quota_binds(const el_cli_facts *f)
{
    int64_t cores = f->cores_affinity > 0 && f->cores_affinity < f->cores_online ? f->cores_affinity
                                                                                 : f->cores_online;
    return f->cores_quota != EL_CLI_UNKNOWN && f->cores_quota / 1000 < cores;
}

void el_cli_check_cores(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice whole = {
        .effect = "one thread a core, at most 8 unless -j says otherwise; no quota stops them"};
    static const el_cli_advice quota = {
        .effect = "when the quota of a period (100 ms by default) is used up, all threads stop"
                  " until the next one: bind cores instead",
        .remedy = "docker update --cpu-quota=-1 --cpuset-cpus=0 CONTAINER   # 0-3: four cores",
        .lasting = "docker run --cpuset-cpus=0 ...   # not --cpus; systemd: AllowedCPUs=0"};
    static const el_cli_advice part = {
        .effect = "fewer threads than the machine has cores; more than the allowed are refused",
        .remedy = "taskset -c 0-$(($(nproc --all) - 1)) edgellm run MODEL -p TEXT"};
    char text[224];
    if (f->cores_online == EL_CLI_UNKNOWN || f->cores_allowed == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "the number of cores");
        return;
    }
    const int64_t others = f->isolated > 0 ? f->isolated : 0; /* in nobody's mask by default */
    const el_cli_advice *advice = quota_binds(f)                                ? &quota
                                  : f->cores_allowed < f->cores_online - others ? &part
                                                                                : &whole;
    el_cli_state state = advice == &quota   ? EL_CLI_STATE_WARN
                         : advice == &whole ? EL_CLI_STATE_OK
                                            : EL_CLI_STATE_NOTE;
    cores_text(f, text, sizeof text);
    el_cli_find(finding, state, advice, "%s", text);
}

void el_cli_check_isolation(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice isolated = {
        .effect = "the scheduler puts nothing on isolated cores by itself: the quietest place for"
                  " one thread (more than one are not spread over them)",
        .remedy = "taskset -c $(cut -d, -f1 /sys/devices/system/cpu/isolated | cut -d- -f1) \\\n"
                  "edgellm run MODEL -j 1 -p TEXT"};
    static const el_cli_advice shared = {
        .effect =
            "any program may come onto any core; one that is kept free of them, of timer ticks"
            " and of the kernel's own work is the quietest place for one thread",
        .remedy = "n=$(($(nproc --all) - 1)) && sudo sed -i \\\n"
                  "\"s/^GRUB_CMDLINE_LINUX=\\\"/&isolcpus=$n nohz_full=$n rcu_nocbs=$n /\" \\\n"
                  "/etc/default/grub && sudo update-grub   # then reboot",
        .lasting = "# on a Pi: isolcpus=3 nohz_full=3 rcu_nocbs=3 in /boot/firmware/cmdline.txt"};
    static const el_cli_advice single = {
        .effect = "one core is everybody's: only --rt and an idle machine keep times even"};
    if (f->isolated == EL_CLI_UNKNOWN || f->cores_online == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "which cores are isolated");
    } else if (f->isolated > 0) {
        el_cli_find(finding, EL_CLI_STATE_OK, &isolated, "isolated: %s", f->cores_isolated);
    } else if (f->cores_online < 2) {
        el_cli_find(finding, EL_CLI_STATE_OK, &single, "no core is isolated, there is but one");
    } else {
        el_cli_find(finding, EL_CLI_STATE_NOTE, &shared, "no core is isolated (isolcpus)");
    }
}

void el_cli_check_clusters(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice same = {
        .effect = "every thread gets an equal share of the rows; equal cores finish together"};
    static const el_cli_advice mixed = {
        .effect = "threads get equal shares of the work, so the slowest core sets the pace: use"
                  " the fast ones alone",
        .remedy = "fast=$(grep -lx 1024 /sys/devices/system/cpu/cpu*/cpu_capacity |\n"
                  "grep -o '[0-9]*' | paste -sd,); taskset -c $fast edgellm run MODEL -p TEXT"};
    if (f->capacity_max == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "the capacity of cores (x86 and older kernels)");
    } else if (f->capacity_min == f->capacity_max) {
        el_cli_find(finding, EL_CLI_STATE_OK, &same, "%lld equal core%s", (long long)f->cores_fast,
                    plural(f->cores_fast));
    } else {
        el_cli_find(finding, EL_CLI_STATE_WARN, &mixed,
                    "%lld fast core%s of capacity %lld; the slowest has %lld",
                    (long long)f->cores_fast, plural(f->cores_fast), (long long)f->capacity_max,
                    (long long)f->capacity_min);
    }
}

/* ---- clock -------------------------------------------------------------------------------- */

#define SET_GOVERNOR                                                                               \
    "echo performance |\nsudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
#define KEEP_GOVERNOR                                                                              \
    "printf 'w %s/policy*/scaling_governor - - - - performance\\n' \\\n"                           \
    "/sys/devices/system/cpu/cpufreq |\nsudo tee /etc/tmpfiles.d/edgellm-governor.conf"

static const el_cli_advice steady = {
    .effect = "the clock stays at its maximum: no ramp at the start of an answer, even tokens"};
static const el_cli_advice ramping = {
    .effect = "the clock rises only after work has begun and falls between requests: a slower"
              " first token, uneven times",
    .remedy = SET_GOVERNOR,
    .lasting = KEEP_GOVERNOR};
static const el_cli_advice slowest = {.effect =
                                          "the clock stays at its lowest: speed falls with it",
                                      .remedy = SET_GOVERNOR,
                                      .lasting = KEEP_GOVERNOR};
static const el_cli_advice by_hardware = {
    .effect = "with this driver the processor itself moves the clock: a little unevenness after a"
              " pause",
    .remedy = SET_GOVERNOR,
    .lasting = KEEP_GOVERNOR};
static const el_cli_advice by_program = {.effect =
                                             "a program sets the clock; what it sets is the speed",
                                         .remedy = SET_GOVERNOR,
                                         .lasting = KEEP_GOVERNOR};
static const el_cli_advice capped = {
    .effect = "a limit below what the hardware offers: speed falls with it (unless set on purpose"
              " against heat, which makes times even)",
    .remedy = "for p in /sys/devices/system/cpu/cpufreq/policy*; do\n"
              "sudo tee $p/scaling_max_freq < $p/cpuinfo_max_freq; done",
    .lasting = "systemctl list-units 'cpu*' 'tlp*' 'tuned*'   # who sets it? also config.txt"};

static const struct governor {
    const char *name, *driver; /* driver: the row counts for it alone, if not NULL */
    el_cli_state state;
    const el_cli_advice *advice;
} governors[] = {
    {"performance", NULL, EL_CLI_STATE_OK, &steady},
    {"powersave", "intel_pstate", EL_CLI_STATE_NOTE, &by_hardware},
    {"powersave", "amd-pstate-epp", EL_CLI_STATE_NOTE, &by_hardware},
    {"powersave", NULL, EL_CLI_STATE_WARN, &slowest},
    {"userspace", NULL, EL_CLI_STATE_NOTE, &by_program},
    {NULL, NULL, EL_CLI_STATE_WARN, &ramping}, /* ondemand, conservative, schedutil, ... */
};

static const struct governor *judge_governor(const el_cli_facts *f)
{
    const struct governor *g = governors;
    while (g->name != NULL && (strcmp(g->name, f->governor) != 0 ||
                               (g->driver != NULL && strcmp(g->driver, f->frequency_driver) != 0)))
        g++;
    return g;
}

/* " 600 to 1800 MHz, now 1800", as far as it is known. */
static void clock_text(const el_cli_facts *f, char *text, size_t size)
{
    text[0] = '\0';
    if (f->frequency_min <= 0 || f->frequency_max <= 0) return;
    int used = snprintf(text, size, ", %lld to %lld MHz", (long long)f->frequency_min / 1000,
                        (long long)f->frequency_max / 1000);
    if (f->frequency_now > 0 && used > 0 && (size_t)used < size)
        snprintf(text + used, size - (size_t)used, ", now %lld",
                 (long long)f->frequency_now / 1000);
}

void el_cli_check_frequency(const el_cli_facts *f, el_cli_finding *finding)
{
    char clock[96];
    if (f->frequency_policies <= 0) {
        el_cli_not_known(finding, "frequency control");
        return;
    }
    const struct governor *g = judge_governor(f);
    bool is_capped = f->frequency_max > 0 && f->frequency_max < f->frequency_top / 100 * 99;
    const char *boost = f->boost == EL_CLI_UNKNOWN ? "" : f->boost ? ", boost on" : ", boost off";
    clock_text(f, clock, sizeof clock);
    if (g->state != EL_CLI_STATE_WARN && is_capped) {
        el_cli_find(finding, EL_CLI_STATE_WARN, &capped,
                    "governor %s%s, limited: the hardware can do %lld MHz%s", f->governor, clock,
                    (long long)f->frequency_top / 1000, boost);
        return;
    }
    el_cli_find(finding, g->state, g->advice, "governor %s in %lld group%s of cores%s%s",
                f->governor, (long long)f->frequency_policies, plural(f->frequency_policies), clock,
                boost);
}

/* ---- heat and power ----------------------------------------------------------------------- */

enum { UNDER_VOLTAGE_BIT = 1, THROTTLED_NOW = 0xf, THROTTLED_SINCE_BOOT = 0xf0000 };
enum { HOT = 80000, WARM = 70000 };

static const el_cli_advice cool = {.effect = "no slowing down by heat or by a weak supply"};
static const el_cli_advice weak_supply = {
    .effect = "the supply's voltage sags and the firmware lowers the clock: slow, uneven, or a"
              " crash in the middle of an answer",
    .remedy = "vcgencmd get_throttled   # after changing to the board's own power supply"};
static const el_cli_advice slowed = {
    .effect = "the clock is being lowered: token times grow while an answer runs",
    .remedy = "vcgencmd measure_temp   # then a heat sink or fan, and look again"};
static const el_cli_advice was_slowed = {
    .effect = "the clock was lowered at some time since boot: times measured then are too long",
    .remedy = "watch -n 1 cat /sys/class/thermal/thermal_zone*/temp   # add cooling"};
static const el_cli_advice hot = {
    .effect = "most boards lower the clock from 80 to 85 degrees on: token times then grow while an"
              " answer runs",
    .remedy = "watch -n 1 cat /sys/class/thermal/thermal_zone*/temp   # add cooling"};

/* The worst that can be said; NULL: nothing bad. */
static const el_cli_advice *trouble(const el_cli_facts *f, el_cli_state *state)
{
    int64_t bits = f->throttled > 0 ? f->throttled : 0;
    *state = EL_CLI_STATE_WARN;
    if ((bits & UNDER_VOLTAGE_BIT) != 0 || f->under_voltage > 0) return &weak_supply;
    if ((bits & THROTTLED_NOW) != 0) return &slowed;
    if (f->temperature >= HOT) return &hot;
    *state = EL_CLI_STATE_NOTE;
    if ((bits & THROTTLED_SINCE_BOOT) != 0 || f->throttle_events > 0) return &was_slowed;
    return f->temperature >= WARM ? &hot : NULL;
}

static void add_firmware_words(const el_cli_facts *f, char *text, size_t size)
{
    static const struct {
        int bit;
        const char *words;
    } bits[] = {{0, "under-voltage now"},       {1, "clock capped now"},
                {2, "throttled now"},           {3, "at the soft temperature limit now"},
                {16, "under-voltage happened"}, {17, "capping happened"},
                {18, "throttling happened"},    {19, "the soft temperature limit was reached"}};
    if (f->throttled == 0) el_cli_append(text, size, ", ", "the firmware reports no throttling");
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        if (f->throttled > 0 && (f->throttled >> bits[i].bit & 1) != 0)
            el_cli_append(text, size, ", ", bits[i].words);
    }
}

void el_cli_check_heat(const el_cli_facts *f, el_cli_finding *finding)
{
    char text[224] = "", events[64];
    el_cli_state state;
    if (f->temperature != EL_CLI_UNKNOWN) {
        snprintf(text, sizeof text, "%.1f degrees Celsius (%s)", (double)f->temperature / 1000,
                 or_unknown(f->temperature_zone));
    }
    add_firmware_words(f, text, sizeof text);
    if (f->under_voltage > 0) el_cli_append(text, sizeof text, ", ", "under-voltage alarm");
    if (f->throttle_events != EL_CLI_UNKNOWN) {
        snprintf(events, sizeof events, "core 0 slowed down %lld times",
                 (long long)f->throttle_events);
        el_cli_append(text, sizeof text, ", ", events);
    }
    const el_cli_advice *advice = trouble(f, &state);
    if (text[0] == '\0') {
        el_cli_not_known(finding, "temperature and throttling");
    } else if (advice == NULL) {
        el_cli_find(finding, EL_CLI_STATE_OK, &cool, "%s", text);
    } else {
        el_cli_find(finding, state, advice, "%s", text);
    }
}
