#include "cli/bench_load.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/bench_process.h"

enum { SETTLE_MS = 200 }; /* until all of them are at it */

static const struct kind {
    unsigned bit;
    const char *name;
} kinds[] = {{EL_CLI_LOAD_CPU, "cpu"}, {EL_CLI_LOAD_MEM, "mem"}, {EL_CLI_LOAD_IO, "io"}};

const el_cli_choice el_cli_bench_loads[] = {{"none", 0},
                                            {"cpu", EL_CLI_LOAD_CPU},
                                            {"mem", EL_CLI_LOAD_MEM},
                                            {"io", EL_CLI_LOAD_IO},
                                            {"all", EL_CLI_LOAD_ALL},
                                            {NULL, 0}};

/* What a process is to do; in its own memory after the fork. */
typedef struct task {
    void (*work)(const struct task *task); /* returns only if it cannot go on, with errno */
    int core, file;                        /* core -1: any */
    size_t bytes;                          /* of memory */
    pid_t parent;
    const int *gate;
} task;

/* ---- work: only what is safe between fork and exec ----------------------------------------- */

static void spin(const task *t)
{
    volatile uint64_t x = 1;
    (void)t;
    for (;;)
        x = x * 6364136223846793005u + 1442695040888963407u;
}

/* Each line is read and written. */
static void stream(const task *t)
{
    enum { WORDS = 8 };
    volatile uint64_t *words =
        mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (words == MAP_FAILED) return;
    for (;;) {
        for (size_t i = 0; i < t->bytes / sizeof *words; i += WORDS)
            words[i] += i;
    }
}

static void write_file(const task *t)
{
    static char piece[1 << 16]; /* constant it would be 64 kB of the program's file */
    piece[0] = 1;
    for (;;) {
        for (off_t at = 0; at < EL_CLI_LOAD_IO_BYTES; at += (off_t)sizeof piece) {
            if (pwrite(t->file, piece, sizeof piece, at) < 0 && errno != EINTR) return;
        }
        if (fdatasync(t->file) != 0 && errno != EINTR) return;
    }
}

/* As any other program's: this one may have been started with more rights. */
static void be_ordinary(void)
{
    const struct sched_param none = {0};
    if (sched_getscheduler(0) != SCHED_OTHER) sched_setscheduler(0, SCHED_OTHER, &none);
    if (getpriority(PRIO_PROCESS, 0) < 0) setpriority(PRIO_PROCESS, 0, 0);
}

static void pin(int core)
{
    cpu_set_t one;
    if (core < 0) return;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static _Noreturn void be_load(const task *t)
{
    char none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != t->parent) _exit(0); /* it ended before that was said */
    signal(SIGINT, SIG_IGN);              /* Ctrl-C is for the parent, which then stops this */
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    close(t->gate[1]);
    be_ordinary();
    pin(t->core);
    while (read(t->gate[0], &none, 1) < 0 && errno == EINTR) {
    }
    t->work(t);
    _exit(errno & 0xff); /* said by el_cli_bench_load_check() */
}

/* ---- starting ----------------------------------------------------------------------------- */

static edgellm_status start(el_cli_bench_load *load, const task *t, edgellm_error *err)
{
    pid_t pid = fork();
    if (pid == 0) be_load(t);
    if (pid < 0) {
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "cannot start process %u of the load: %s",
                           load->n + 1, strerror(errno));
    }
    load->pids[load->n++] = pid;
    return EDGELLM_OK;
}

/* A file without a name, in TMPDIR. */
static edgellm_status open_file(int *file, edgellm_error *err)
{
    const char *folder = getenv("TMPDIR");
    char path[512];
    if (folder == NULL || folder[0] == '\0') folder = "/tmp";
    int n = snprintf(path, sizeof path, "%s/edgellm-load-XXXXXX", folder);
    *file = n > 0 && (size_t)n < sizeof path ? mkostemp(path, O_CLOEXEC) : -1;
    if (*file < 0) {
        return el_cli_fail(err, EDGELLM_ERR_IO,
                           "cannot make the load's file in '%.200s' (TMPDIR names the folder): %s",
                           folder, strerror(errno));
    }
    unlink(path);
    return EDGELLM_OK;
}

static edgellm_status start_io(el_cli_bench_load *load, task t, edgellm_error *err)
{
    EL_CLI_TRY(open_file(&t.file, err));
    t.work = write_file;
    edgellm_status status = start(load, &t, err);
    close(t.file);
    return status;
}

/* cpu and mem: one process a core each. */
static edgellm_status start_on_cores(el_cli_bench_load *load, const cpu_set_t *cores, task t,
                                     edgellm_error *err)
{
    const int count = CPU_COUNT(cores) < EL_CLI_LOAD_CORES ? CPU_COUNT(cores) : EL_CLI_LOAD_CORES;
    int done = 0;
    t.bytes = EL_CLI_LOAD_MEM_TOTAL / (size_t)(count > 0 ? count : 1);
    if (t.bytes > EL_CLI_LOAD_MEM_BYTES) t.bytes = EL_CLI_LOAD_MEM_BYTES;
    for (t.core = 0; t.core < CPU_SETSIZE && done < count; t.core++) {
        if (!CPU_ISSET(t.core, cores)) continue;
        done++;
        t.work = spin;
        if (load->kinds & EL_CLI_LOAD_CPU) EL_CLI_TRY(start(load, &t, err));
        t.work = stream;
        if (load->kinds & EL_CLI_LOAD_MEM) EL_CLI_TRY(start(load, &t, err));
    }
    return EDGELLM_OK;
}

edgellm_status el_cli_bench_load_prepare(el_cli_bench_load *load, unsigned wanted,
                                         const cpu_set_t *cores, edgellm_error *err)
{
    int gate[2];
    load->gate = -1;
    if (wanted == 0) return EDGELLM_OK;
    if (pipe2(gate, O_CLOEXEC) != 0) {
        return el_cli_fail(err, EDGELLM_ERR_IO, "cannot make a pipe for the load: %s",
                           strerror(errno));
    }
    load->kinds = wanted;
    load->gate = gate[1];
    el_cli_bench_core_list(cores, load->cores, sizeof load->cores);
    const task t = {.core = -1, .file = -1, .parent = getpid(), .gate = gate};
    edgellm_status status = start_on_cores(load, cores, t, err);
    if (status == EDGELLM_OK && (wanted & EL_CLI_LOAD_IO)) status = start_io(load, t, err);
    close(gate[0]);
    return status;
}

edgellm_status el_cli_bench_load_prepare_here(el_cli_bench_load *load, unsigned wanted,
                                              cpu_set_t *cores, edgellm_error *err)
{
    load->gate = -1;
    CPU_ZERO(cores);
    if (sched_getaffinity(0, sizeof *cores, cores) != 0)
        return el_cli_fail(err, EDGELLM_ERR_IO, "cannot tell the cores that are allowed: %s",
                           strerror(errno));
    return el_cli_bench_load_prepare(load, wanted, cores, err);
}

void el_cli_bench_load_begin(el_cli_bench_load *load)
{
    if (load->gate < 0) return;
    close(load->gate);
    load->gate = -1;
    poll(NULL, 0, SETTLE_MS);
}

/* ---- the end ------------------------------------------------------------------------------ */

static edgellm_status has_ended(int how, edgellm_error *err)
{
    if (WIFEXITED(how)) {
        return el_cli_fail(err, EDGELLM_ERR_IO, "the load has ended by itself: %s",
                           strerror(WEXITSTATUS(how)));
    }
    return el_cli_fail(err, EDGELLM_ERR_IO, "the load was ended by signal %d", WTERMSIG(how));
}

edgellm_status el_cli_bench_load_check(el_cli_bench_load *load, edgellm_error *err)
{
    for (uint32_t i = 0; i < load->n; i++) {
        int how = 0;
        if (waitpid(load->pids[i], &how, WNOHANG) != load->pids[i]) continue;
        load->pids[i] = load->pids[--load->n]; /* no longer ours to kill */
        return has_ended(how, err);
    }
    return EDGELLM_OK;
}

void el_cli_bench_load_stop(el_cli_bench_load *load)
{
    for (uint32_t i = 0; i < load->n; i++)
        kill(load->pids[i], SIGKILL);
    for (uint32_t i = 0; i < load->n; i++) {
        while (waitpid(load->pids[i], NULL, 0) < 0 && errno == EINTR) {
        }
    }
    if (load->gate >= 0) close(load->gate);
    *load = (el_cli_bench_load){.gate = -1};
}

const char *el_cli_bench_load_words(const el_cli_bench_load *load, char *room, size_t size)
{
    room[0] = '\0';
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (load->kinds & kinds[i].bit) el_cli_append(room, size, ", ", kinds[i].name);
    }
    if (load->kinds == 0) snprintf(room, size, "none");
    size_t used = strlen(room);
    if (load->kinds != 0)
        snprintf(room + used, size - used, " on cores %s, %u processes", load->cores, load->n);
    return room;
}
