/* doctor_checks_system.c: the kernel and the surroundings: who may interrupt a token, and why. */
#include <stdio.h>
#include <string.h>

#include "cli/doctor_checks.h"

enum { MILLION = 1000000 };

/* ---- real time ---------------------------------------------------------------------------- */

void el_cli_check_real_time(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice granted = {
        .effect =
            "beside busy programs, `edgellm run --rt` is not interrupted by them; without --rt"
            " the engine does not ask for this"};
    static const el_cli_advice refused = {
        .effect = "beside busy programs a token waits for its turn: times get uneven; on an idle"
                  " machine it makes no difference",
        .remedy = "sudo prlimit --pid $$ --rtprio=50 --nice=40   # then: edgellm run --rt ...",
        .lasting = "printf '%s - rtprio 50\\n%s - nice -20\\n' $USER $USER |\n"
                   "sudo tee /etc/security/limits.d/edgellm-rt.conf   # systemd: LimitRTPRIO=50"};
    static const el_cli_advice contained = {
        .effect =
            "a container has no real-time rights unless it is given them: beside busy programs"
            " a token waits for its turn, and --rt gets little",
        .remedy = "docker run --cap-add SYS_NICE --ulimit rtprio=50 --ulimit memlock=-1 ...",
        .lasting = "# compose: cap_add: [SYS_NICE], ulimits: {rtprio: 50, memlock: -1}"};
    char rtprio[32] = "unlimited", lowest[48] = "";
    if (f->limit_rtprio != EL_CLI_UNLIMITED)
        snprintf(rtprio, sizeof rtprio, "%lld", (long long)f->limit_rtprio);
    if (f->nice_lowest != EL_CLI_UNKNOWN)
        snprintf(lowest, sizeof lowest, ", nice down to %lld", (long long)f->nice_lowest);
    if (f->fifo_works == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "whether SCHED_FIFO is granted");
        return;
    }
    el_cli_find(finding, f->fifo_works ? EL_CLI_STATE_OK : EL_CLI_STATE_NOTE,
                f->fifo_works             ? &granted
                : f->container[0] != '\0' ? &contained
                                          : &refused,
                "SCHED_FIFO is %s (tried)%s; limit of priority %s",
                f->fifo_works ? "granted" : "refused", lowest,
                f->limit_rtprio == EL_CLI_UNKNOWN ? "unknown" : rtprio);
}

void el_cli_check_rt_throttle(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice off = {
        .effect = "a busy real-time task is never stalled (nor can anything else stop one)"};
    static const el_cli_advice on = {
        .effect = "run under SCHED_FIFO, a busy engine is stalled that long in every period, unless"
                  " it leaves the time between tokens by itself, as --rt does; under the ordinary"
                  " scheduler it has no effect. Without the throttle a real-time task that never"
                  " sleeps can lock up its core",
        .remedy = "sudo sysctl kernel.sched_rt_runtime_us=-1",
        .lasting = "echo kernel.sched_rt_runtime_us=-1 | sudo tee /etc/sysctl.d/edgellm-rt.conf"};
    static const el_cli_advice server = {
        .effect = "the throttle is off, but the fair server of Linux 6.12 and later still gives"
                  " ordinary programs that wait so much of a core, at one time; --rt leaves it to"
                  " them between tokens",
        .remedy = "for f in /sys/kernel/debug/sched/fair_server/cpu*/runtime; do\n"
                  "echo 0 | sudo tee $f; done   # then nothing can stop a busy real-time task"};
    if (f->rt_runtime == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "the throttle of real-time tasks");
        return;
    }
    int64_t period = f->rt_period > 0 ? f->rt_period : MILLION;
    if ((f->rt_runtime < 0 || f->rt_runtime >= period) && f->rt_taken_back > 0) {
        el_cli_find(finding, EL_CLI_STATE_NOTE, &server,
                    "no throttle of real-time tasks, but a fair server with %.1f %% of each core",
                    (double)f->rt_taken_back / 10);
        return;
    }
    if (f->rt_runtime < 0 || f->rt_runtime >= period) {
        el_cli_find(finding, EL_CLI_STATE_OK, &off, "no throttle of real-time tasks");
        return;
    }
    el_cli_find(finding, EL_CLI_STATE_NOTE, &on,
                "real-time tasks are stalled for %lld ms of every %lld ms",
                (long long)(period - f->rt_runtime) / 1000, (long long)period / 1000);
}

/* ---- kernel ------------------------------------------------------------------------------- */

static const el_cli_advice fast_clock = {
    .effect = "time is read without a system call: measuring tokens costs nothing"};
static const el_cli_advice slow_clock = {
    .effect = "every look at the clock is a system call of a microsecond or more: times of tokens"
              " are longer and coarser",
    .remedy = "echo tsc |\n"
              "sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource",
    .lasting = "sudo dmesg | grep -i clocksource   # why not tsc? (tsc=reliable)"};
static const el_cli_advice other_clock = {
    .effect = "whether time can be read without a system call is not known for this one"};

static const struct clock_row {
    const char *name;
    el_cli_state state;
    const el_cli_advice *advice;
} clocks[] = {
    {"tsc", EL_CLI_STATE_OK, &fast_clock},
    {"arch_sys_counter", EL_CLI_STATE_OK, &fast_clock},
    {"riscv_clocksource", EL_CLI_STATE_OK, &fast_clock},
    {"kvm-clock", EL_CLI_STATE_OK, &fast_clock},
    {"hyperv_clocksource_tsc_page", EL_CLI_STATE_OK, &fast_clock},
    {"hpet", EL_CLI_STATE_WARN, &slow_clock},
    {"acpi_pm", EL_CLI_STATE_WARN, &slow_clock},
    {"jiffies", EL_CLI_STATE_WARN, &slow_clock},
    {"refined-jiffies", EL_CLI_STATE_WARN, &slow_clock},
    {NULL, EL_CLI_STATE_NOTE, &other_clock},
};

void el_cli_check_clock(const el_cli_facts *f, el_cli_finding *finding)
{
    const struct clock_row *clock = clocks;
    if (f->clock_source[0] == '\0') {
        el_cli_not_known(finding, "the clock source");
        return;
    }
    while (clock->name != NULL && strcmp(clock->name, f->clock_source) != 0)
        clock++;
    el_cli_find(finding, clock->state, clock->advice, "%s (of: %s)", f->clock_source,
                f->clock_sources[0] != '\0' ? f->clock_sources : f->clock_source);
}

void el_cli_check_kernel(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice preemptible = {
        .effect = "the kernel's own work can be interrupted: a token seldom waits for it"};
    static const el_cli_advice patient = {
        .effect = "the kernel finishes its own work first: now and then a token waits milliseconds"
                  " more",
        .remedy = "echo full | sudo tee /sys/kernel/debug/sched/preempt",
        .lasting = "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&preempt=full /' /etc/default/grub &&\n"
                   "sudo update-grub   # on a Pi: append it to /boot/firmware/cmdline.txt"};
    static const el_cli_advice fixed = {
        .effect = "the kernel finishes its own work first: now and then a token waits milliseconds"
                  " more; this kernel was built so",
        .remedy = "apt-cache search '^linux-image-rt'   # install one, with PREEMPT_RT"};
    if (f->kernel_release[0] == '\0' || f->preemption[0] == '\0') {
        el_cli_not_known(finding, "the kernel's version");
        return;
    }
    bool is_fixed = strncmp(f->preemption, "PREEMPT", 7) != 0;
    bool is_patient =
        strcmp(f->preemption_mode, "none") == 0 || strcmp(f->preemption_mode, "voluntary") == 0;
    const el_cli_advice *advice = is_fixed ? &fixed : is_patient ? &patient : &preemptible;
    el_cli_find(finding, advice == &preemptible ? EL_CLI_STATE_OK : EL_CLI_STATE_NOTE, advice,
                "Linux %s, preemption: %s%s%s", f->kernel_release, f->preemption,
                f->preemption_mode[0] != '\0' ? ", mode " : "", f->preemption_mode);
}

/* ---- surroundings ------------------------------------------------------------------------- */

void el_cli_check_virtual(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice bare = {
        .effect = "no host takes cores away; what is measured here is this machine"};
    static const el_cli_advice guest = {
        .effect = "the host may take cores away at any time: jitter measured here is the host's as"
                  " well; measure on the board itself"};
    static const el_cli_advice robbed = {
        .effect = "the host took cores away for that share of time: each time a token waits",
        .remedy = "vmstat 1 10   # column st; then give the machine cores of its own on the host"};
    if (f->virtual_machine[0] == '\0' && f->steal == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "what this machine runs on");
        return;
    }
    bool steals = f->steal > MILLION / 100, is_guest = f->virtual_machine[0] != '\0';
    double percent = f->steal > 0 ? (double)f->steal / 1e4 : 0;
    el_cli_find(finding,
                steals     ? EL_CLI_STATE_WARN
                : is_guest ? EL_CLI_STATE_NOTE
                           : EL_CLI_STATE_OK,
                steals     ? &robbed
                : is_guest ? &guest
                           : &bare,
                "%s%s, container: %s, %.2f %% of time stolen",
                is_guest ? "virtual machine: " : "no sign of a virtual machine", f->virtual_machine,
                f->container[0] != '\0' ? f->container : "no sign of one", percent);
}

void el_cli_check_load(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice idle = {
        .effect = "the cores are free: a thread that waits for others is not kept from its core"};
    static const el_cli_advice busy = {
        .effect = "other programs share the cores: all threads of a token wait for the one that was"
                  " interrupted",
        .remedy = "ps -eo pcpu,pid,comm --sort=-pcpu | head   # who? then: renice 19 PID"};
    if (f->load == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "the load");
        return;
    }
    int64_t cores = f->cores_allowed > 0 ? f->cores_allowed : 1;
    el_cli_state state = f->load >= cores * 1000  ? EL_CLI_STATE_WARN
                         : f->load >= cores * 500 ? EL_CLI_STATE_NOTE
                                                  : EL_CLI_STATE_OK;
    el_cli_find(finding, state, state == EL_CLI_STATE_OK ? &idle : &busy,
                "%.2f in the last minute, for %lld usable core%s", (double)f->load / 1000,
                (long long)cores, cores == 1 ? "" : "s");
}

void el_cli_check_build(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice release = {.effect = "compiled with optimisation"};
    static const el_cli_advice debug = {
        .effect = "compiled for finding bugs: several times slower; figures mean nothing",
        .remedy = "cmake --preset release && cmake --build --preset release"};
    bool slow = f->optimised != 1 || f->sanitized == 1;
    el_cli_find(finding, slow ? EL_CLI_STATE_WARN : EL_CLI_STATE_OK, slow ? &debug : &release,
                "edgellm %s, %s, %lld bits%s%s", f->version, f->compiler,
                (long long)f->pointer_bits, f->optimised == 1 ? "" : ", not optimised",
                f->sanitized == 1 ? ", sanitizers on" : "");
}
