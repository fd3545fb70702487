/*
 * inject.c: a library to be preloaded (LD_PRELOAD) that makes one call of a program fail, or ends
 * the program there as a power cut would. It asks the environment:
 *
 *   EDGELLM_FAULT=CALL:N:HOW    the Nth CALL (memory, mmap, open, ...: see `names`) fails with
 *                               error number HOW; "short": a read or write takes half the bytes;
 *                               "kill": SIGKILL in place of the call, of a write half way through
 *   EDGELLM_FAULT_MARK=FILE     appears when that call is made
 *   EDGELLM_FAULT_CLOCK=1       the time of day leaps by years, back and forth, at each look
 *
 * What libc calls inside itself is not seen, but its allocations are. Counting begins with main():
 * how a library fares that fails before it is not for the program to say. A program that starts
 * another one hands all this on, and there counting begins again.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum call {
    MEMORY,
    MMAP,
    MLOCK,
    OPEN,
    READ,
    WRITE,
    FSYNC,
    CLOSE,
    RENAME,
    THREAD,
    EXEC,
    POLICY, /* sched_setattr() */
    CALLS
};

static const char *const names[CALLS] = {"memory", "mmap",  "mlock",  "open",   "read", "write",
                                         "fsync",  "close", "rename", "thread", "exec", "policy"};

static enum { FAIL, SHORT, KILL } how;
static enum call which = CALLS;
static int error_number;
static atomic_long left; /* calls until it happens */

static void read_environment(void)
{
    char name[16] = "", action[16] = "";
    long n = 0;
    const char *text = getenv("EDGELLM_FAULT");
    if (!text || sscanf(text, "%15[^:]:%ld:%15s", name, &n, action) != 3) return;
    how = !strcmp(action, "kill") ? KILL : !strcmp(action, "short") ? SHORT : FAIL;
    error_number = atoi(action);
    left = n;
    for (int i = 0; i < CALLS; i++)
        if (!strcmp(names[i], name)) which = (enum call)i;
}

static void leave_mark(void)
{
    const char *path = getenv("EDGELLM_FAULT_MARK");
    long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT, 0600) : -1;
    if (fd >= 0) syscall(SYS_close, fd);
}

/* Is this call the one? */
static bool happens(enum call call)
{
    if (call != which || atomic_fetch_sub(&left, 1) != 1) return false;
    leave_mark();
    return true;
}

/* Must this call fail? Sets errno then. */
static bool fails(enum call call)
{
    if (!happens(call)) return false;
    if (how == KILL) kill(getpid(), SIGKILL);
    errno = error_number;
    return true;
}

/* The function that takes the place of the system's, which `real` is in its body. */
#define REPLACE(type, name, ...)                                                                   \
    type name(__VA_ARGS__);                                                                        \
    __attribute__((visibility("default"))) type name(__VA_ARGS__)
#define REAL(type, name, ...)                                                                      \
    static type (*real)(__VA_ARGS__);                                                              \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, name)

REPLACE(void *, malloc, size_t size)
{
    REAL(void *, "malloc", size_t);
    return fails(MEMORY) ? NULL : real(size);
}

REPLACE(void *, calloc, size_t n, size_t size)
{
    REAL(void *, "calloc", size_t, size_t);
    return fails(MEMORY) ? NULL : real(n, size);
}

REPLACE(void *, realloc, void *p, size_t size)
{
    REAL(void *, "realloc", void *, size_t);
    return fails(MEMORY) ? NULL : real(p, size);
}

REPLACE(void *, aligned_alloc, size_t alignment, size_t size)
{
    REAL(void *, "aligned_alloc", size_t, size_t);
    return fails(MEMORY) ? NULL : real(alignment, size);
}

REPLACE(long, syscall, long number, ...)
{
    REAL(long, "syscall", long, ...);
    va_list rest;
    long a[6];
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(rest, long); /* as libc does: what was not given is not looked at */
    va_end(rest);
    if (number == SYS_sched_setattr && fails(POLICY)) return -1;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

REPLACE(int, mlock, const void *p, size_t n)
{
    REAL(int, "mlock", const void *, size_t);
    return fails(MLOCK) ? -1 : real(p, n);
}

REPLACE(int, clock_gettime, clockid_t clock, struct timespec *t)
{
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    static atomic_long looks;
    const int status = real(clock, t);
    const char *text = clock == CLOCK_REALTIME ? getenv("EDGELLM_FAULT_CLOCK") : NULL;
    if (text && text[0] == '@') {
        t->tv_sec = strtol(text + 1, NULL, 10);
    } else if (text) {
        t->tv_sec += (atomic_fetch_add(&looks, 1) % 5 - 2) * 100000000;
    }
    return status;
}

REPLACE(time_t, time, time_t *at)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (at) *at = t.tv_sec;
    return t.tv_sec;
}

REPLACE(int, gettimeofday, struct timeval *restrict at, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    *at = (struct timeval){.tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000};
    return 0;
}

/* With 64-bit offsets, as the program is compiled, glibc's headers name the calls so. */
void *mmap64(void *at, size_t n, int prot, int flags, int fd, off_t offset);
__attribute__((visibility("default"))) void *mmap64(void *at, size_t n, int prot, int flags, int fd,
                                                    off_t offset)
{
    REAL(void *, "mmap64", void *, size_t, int, int, int, off_t);
    return fails(MMAP) ? MAP_FAILED : real(at, n, prot, flags, fd, offset);
}

int open64(const char *path, int flags, ...);
__attribute__((visibility("default"))) int open64(const char *path, int flags, ...)
{
    REAL(int, "open64", const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    unsigned mode = flags & O_CREAT ? va_arg(rest, unsigned) : 0;
    va_end(rest);
    return fails(OPEN) ? -1 : real(path, flags, mode);
}

static size_t half(size_t size)
{
    return size > 1 ? size / 2 : size;
}

REPLACE(ssize_t, read, int fd, void *bytes, size_t size)
{
    REAL(ssize_t, "read", int, void *, size_t);
    if (how == SHORT) return real(fd, bytes, happens(READ) ? half(size) : size);
    return fails(READ) ? -1 : real(fd, bytes, size);
}

ssize_t pread64(int fd, void *bytes, size_t size, off_t offset);
__attribute__((visibility("default"))) ssize_t pread64(int fd, void *bytes, size_t size,
                                                       off_t offset)
{
    REAL(ssize_t, "pread64", int, void *, size_t, off_t);
    if (how == SHORT) return real(fd, bytes, happens(READ) ? half(size) : size, offset);
    return fails(READ) ? -1 : real(fd, bytes, size, offset);
}

REPLACE(ssize_t, write, int fd, const void *bytes, size_t size)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    if (how == FAIL) return fails(WRITE) ? -1 : real(fd, bytes, size);
    if (!happens(WRITE)) return real(fd, bytes, size);
    ssize_t done = real(fd, bytes, half(size));
    if (how == KILL) kill(getpid(), SIGKILL);
    return done;
}

/* The disk is left in peace. */
REPLACE(int, fsync, int fd)
{
    (void)fd;
    return fails(FSYNC) ? -1 : 0;
}

REPLACE(int, close, int fd)
{
    REAL(int, "close", int);
    bool failed = fails(CLOSE);
    int result = real(fd);
    if (!failed) return result;
    errno = error_number;
    return -1;
}

REPLACE(int, rename, const char *from, const char *to)
{
    REAL(int, "rename", const char *, const char *);
    return fails(RENAME) ? -1 : real(from, to);
}

REPLACE(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes,
        void *(*start)(void *), void *argument)
{
    REAL(int, "pthread_create", pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    return fails(THREAD) ? errno : real(thread, attributes, start, argument);
}

REPLACE(int, execv, const char *path, char *const *words)
{
    REAL(int, "execv", const char *, char *const *);
    return fails(EXEC) ? -1 : real(path, words);
}

/* ---- from here on calls are counted ------------------------------------------------------ */

static int (*program_main)(int, char **, char **);

static int counted_main(int argc, char **argv, char **environment)
{
    read_environment();
    return program_main(argc, argv, environment);
}

/* Calls main(); glibc's and musl's, whose further arguments differ but are pointers. */
REPLACE(int, __libc_start_main, int (*start)(int, char **, char **), int argc, char **argv,
        void (*a)(void), void (*b)(void), void (*c)(void), void *d)
{
    REAL(int, "__libc_start_main", int (*)(int, char **, char **), int, char **, void (*)(void),
         void (*)(void), void (*)(void), void *);
    program_main = start;
    return real(counted_main, argc, argv, a, b, c, d);
}
