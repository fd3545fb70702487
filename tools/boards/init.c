/*
 * init.c: the first and only process of an emulated board (tools/test_boards.py). Loads the modules
 * that /modules lists, mounts the disk at /model, runs the steps of /steps one after the other, and
 * says of each what it printed, how it ended and what it took of memory; then the power goes off.
 *
 * A step is a line, its fields separated by tabs: a name, the bytes that its control group may have
 * (0: any), the program and its arguments.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define GROUP "/sys/fs/cgroup/step"

enum { MAX_FIELDS = 32, POLL_US = 20000 };

static void complain(const char *what, const char *where)
{
    printf("init: cannot %s %s: %s\n", what, where, strerror(errno));
}

/* ---- the system ---------------------------------------------------------------------------- */

static void mount_at(const char *type, const char *what, const char *where, unsigned long flags)
{
    mkdir(where, 0755);
    if (mount(what, where, type, flags, NULL) != 0) complain("mount", where);
}

static void load_module(const char *path)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || syscall(SYS_finit_module, file, "", 0) != 0) complain("load", path);
    if (file >= 0) close(file);
}

static void write_text(const char *path, const char *text)
{
    const int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, text, strlen(text)) < 0) complain("write", path);
    if (file >= 0) close(file);
}

/* The number after `name` in /proc/meminfo, in kB. */
static long meminfo(const char *name)
{
    char line[128];
    long kb = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file) return 0;
    while (kb == 0 && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0) kb = strtol(line + strlen(name), NULL, 10);
    fclose(file);
    return kb;
}

/* ---- steps --------------------------------------------------------------------------------- */

/* The child: nothing of it returns. */
static void become(char **argv, bool limited)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (limited) write_text(GROUP "/cgroup.procs", pid);
    dup2(STDOUT_FILENO, STDERR_FILENO);
    execv(argv[0], argv);
    complain("run", argv[0]);
    _exit(127);
}

/* Waits for the child; returns the least memory that was available meanwhile, in kB. */
static long watch(pid_t pid, int *status, struct rusage *used)
{
    long least = meminfo("MemAvailable:");
    while (wait4(pid, status, WNOHANG, used) == 0) {
        const long now = meminfo("MemAvailable:");
        if (now < least) least = now;
        usleep(POLL_US);
    }
    return least;
}

static void run_step(char **fields)
{
    const bool limited = strcmp(fields[1], "0") != 0;
    int status = 0;
    struct rusage used = {0};
    if (limited) write_text(GROUP "/memory.max", fields[1]);
    printf("\n== begin %s\n", fields[0]);
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) become(fields + 2, limited);
    const long least = watch(pid, &status, &used);
    printf("\n== end %s %d %ld %ld\n", fields[0],
           WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), used.ru_maxrss, least);
    fflush(stdout);
}

static void parse_step(char *line)
{
    char *fields[MAX_FIELDS + 1], *rest = line;
    int n = 0;
    line[strcspn(line, "\n")] = 0;
    while (n < MAX_FIELDS && (fields[n] = strsep(&rest, "\t")) != NULL)
        n++;
    fields[n] = NULL;
    if (n >= 3) run_step(fields);
}

/* Calls `each` with every line of a file. */
static void each_line(const char *path, void (*each)(char *line))
{
    char line[4096];
    FILE *file = fopen(path, "re");
    if (!file) complain("open", path);
    while (file && fgets(line, sizeof line, file))
        each(line);
    if (file) fclose(file);
}

static void module_line(char *line)
{
    line[strcspn(line, "\n")] = 0;
    load_module(line);
}

int main(void)
{
    mount_at("proc", "proc", "/proc", 0);
    mount_at("sysfs", "sysfs", "/sys", 0);
    mount_at("devtmpfs", "devtmpfs", "/dev", 0);
    mount_at("cgroup2", "cgroup2", "/sys/fs/cgroup", 0);
    write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
    mkdir(GROUP, 0755);
    each_line("/modules", module_line);
    mount_at("ext4", "/dev/vda", "/model", MS_RDONLY);
    printf("\n== memory %ld %ld\n", meminfo("MemTotal:"), meminfo("MemAvailable:"));
    each_line("/steps", parse_step);
    puts("== done");
    fflush(stdout);
    reboot(RB_POWER_OFF);
    return 0;
}
