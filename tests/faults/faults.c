#include "faults/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/wrap.h"

static const fault *armed;
static atomic_bool paused;
static _Atomic unsigned countdown; /* calls until it happens; 0: it has happened */
static _Atomic int memory, maps, descriptors, streams, threads;

void faults_arm(const fault *f, unsigned nth)
{
    countdown = nth;
    armed = f;
}

bool faults_disarm(void)
{
    armed = NULL;
    return countdown == 0;
}

unsigned faults_armed(void)
{
    return armed ? armed->calls : 0;
}

void faults_pause(bool pause)
{
    paused = pause;
}

faults_held faults_now(void)
{
    return (faults_held){memory, maps, descriptors, streams, threads};
}

/* Is this call the one? Threads count together: of two that come at once, one is the last. */
static bool happens(unsigned call, fault_way way)
{
    const fault *f = armed;
    if (!f || paused || !(f->calls & call) || f->way != way) return false;
    unsigned left = countdown;
    while (left > 0) {
        if (atomic_compare_exchange_weak(&countdown, &left, left - 1)) return left == 1;
    }
    return f->lasting;
}

/* Must this call fail? Sets errno then. */
static bool fails(unsigned call)
{
    if (!happens(call, FAULT_ERROR)) return false;
    errno = armed->error;
    return true;
}

/* ---- memory ------------------------------------------------------------------------------ */

/* The declarations of a function that takes the place of another. */
#define WRAP(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

static void *taken(void *p)
{
    if (p) memory++;
    return p;
}

WRAP(void *, malloc, size_t size)
{
    return fails(FAULT_MEMORY) ? NULL : taken(__real_malloc(size));
}

WRAP(void *, calloc, size_t n, size_t size)
{
    return fails(FAULT_MEMORY) ? NULL : taken(__real_calloc(n, size));
}

WRAP(void *, realloc, void *p, size_t size)
{
    if (fails(FAULT_MEMORY)) return NULL;
    return p ? __real_realloc(p, size) : taken(__real_realloc(p, size));
}

WRAP(void *, aligned_alloc, size_t alignment, size_t size)
{
    return fails(FAULT_MEMORY) ? NULL : taken(__real_aligned_alloc(alignment, size));
}

WRAP(char *, strdup, const char *text)
{
    return fails(FAULT_MEMORY) ? NULL : taken(__real_strdup(text));
}

WRAP(char *, realpath, const char *path, char *resolved)
{
    return fails(FAULT_MEMORY) ? NULL : taken(__real_realpath(path, resolved));
}

WRAP(void, free, void *p)
{
    if (p) memory--;
    __real_free(p);
}

/* ---- mappings ---------------------------------------------------------------------------- */

void *REAL_64(mmap)(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *WRAP_64(mmap)(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *WRAP_64(mmap)(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    if (fails(fd < 0 ? FAULT_MMAP : FAULT_MMAP_FILE)) return MAP_FAILED;
    void *p = REAL_64(mmap)(at, n, prot, flags, fd, offset);
    if (p != MAP_FAILED) maps++;
    return p;
}

WRAP(int, munmap, void *p, size_t n)
{
    maps--;
    return __real_munmap(p, n);
}

WRAP(int, mlock, const void *p, size_t n)
{
    return fails(FAULT_LOCK) ? -1 : __real_mlock(p, n);
}

WRAP(int, madvise, void *p, size_t n, int advice)
{
    return fails(FAULT_LOCK) ? -1 : __real_madvise(p, n, advice);
}

/* ---- files ------------------------------------------------------------------------------- */

static bool is_hint(const char *path, int flags)
{
    return (flags & O_DIRECTORY) || !strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5);
}

int REAL_64(open)(const char *path, int flags, ...);
int WRAP_64(open)(const char *path, int flags, ...);
int WRAP_64(open)(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    unsigned mode = flags & O_CREAT ? va_arg(rest, unsigned) : 0;
    va_end(rest);
    if (fails(is_hint(path, flags) ? FAULT_OPEN_HINT : FAULT_OPEN)) return -1;
    int fd = REAL_64(open)(path, flags, mode);
    if (fd >= 0) descriptors++;
    return fd;
}

WRAP(int, close, int fd)
{
    bool failed = happens(FAULT_CLOSE, FAULT_ERROR);
    int result = __real_close(fd);
    if (result == 0) descriptors--; /* a second close of the same shows as one too few */
    if (!failed) return result;
    errno = armed->error;
    return -1;
}

FILE *REAL_64(fopen)(const char *path, const char *mode);
FILE *WRAP_64(fopen)(const char *path, const char *mode);
FILE *WRAP_64(fopen)(const char *path, const char *mode)
{
    if (fails(FAULT_OPEN_HINT)) return NULL;
    FILE *stream = REAL_64(fopen)(path, mode);
    if (stream) streams++;
    return stream;
}

WRAP(int, fclose, FILE *stream)
{
    streams--;
    return __real_fclose(stream);
}

static size_t half(size_t size)
{
    return size > 1 ? size / 2 : size;
}

WRAP(ssize_t, read, int fd, void *bytes, size_t size)
{
    if (fails(FAULT_READ)) return -1;
    return __real_read(fd, bytes, happens(FAULT_READ, FAULT_SHORT) ? half(size) : size);
}

ssize_t REAL_64(pread)(int fd, void *bytes, size_t size, off_t offset);
ssize_t WRAP_64(pread)(int fd, void *bytes, size_t size, off_t offset);
ssize_t WRAP_64(pread)(int fd, void *bytes, size_t size, off_t offset)
{
    if (fails(FAULT_READ_FILE)) return -1;
    if (happens(FAULT_READ_FILE, FAULT_SHORT)) size = half(size);
    return REAL_64(pread)(fd, bytes, size, offset);
}

WRAP(ssize_t, write, int fd, const void *bytes, size_t size)
{
    if (fails(FAULT_WRITE)) return -1;
    return __real_write(fd, bytes, happens(FAULT_WRITE, FAULT_SHORT) ? half(size) : size);
}

off_t REAL_64(lseek)(int fd, off_t offset, int from);
off_t WRAP_64(lseek)(int fd, off_t offset, int from);
off_t WRAP_64(lseek)(int fd, off_t offset, int from)
{
    return fails(FAULT_SEEK) ? -1 : REAL_64(lseek)(fd, offset, from);
}

int REAL_64(fstat)(int fd, struct stat *status);

/* The disk is left in peace: that bytes survive a power cut is nothing that a test here sees. */
WRAP(int, fsync, int fd)
{
    struct stat status;
    if (REAL_64(fstat)(fd, &status) != 0) return -1;
    return fails(S_ISDIR(status.st_mode) ? FAULT_SYNC_FOLDER : FAULT_SYNC) ? -1 : 0;
}

WRAP(int, rename, const char *from, const char *to)
{
    return fails(FAULT_RENAME) ? -1 : __real_rename(from, to);
}

WRAP(int, flock, int fd, int operation)
{
    return fails(FAULT_FLOCK) ? -1 : __real_flock(fd, operation);
}

int WRAP_64(fstat)(int fd, struct stat *status);
int WRAP_64(fstat)(int fd, struct stat *status)
{
    return fails(FAULT_STAT) ? -1 : REAL_64(fstat)(fd, status);
}

int REAL_64(stat)(const char *path, struct stat *status);
int WRAP_64(stat)(const char *path, struct stat *status);
int WRAP_64(stat)(const char *path, struct stat *status)
{
    return fails(FAULT_STAT) ? -1 : REAL_64(stat)(path, status);
}

int REAL_64(lstat)(const char *path, struct stat *status);
int WRAP_64(lstat)(const char *path, struct stat *status);
int WRAP_64(lstat)(const char *path, struct stat *status)
{
    return fails(FAULT_STAT) ? -1 : REAL_64(lstat)(path, status);
}

/* ---- threads ----------------------------------------------------------------------------- */

WRAP(int, sched_getaffinity, pid_t pid, size_t size, cpu_set_t *set)
{
    return fails(FAULT_AFFINITY) ? -1 : __real_sched_getaffinity(pid, size, set);
}

WRAP(int, sched_setaffinity, pid_t pid, size_t size, const cpu_set_t *set)
{
    return fails(FAULT_PIN) ? -1 : __real_sched_setaffinity(pid, size, set);
}

/* How many arguments the program gives a call: to look at more is not allowed. */
static int arguments_of(long number)
{
    switch (number) {
    case SYS_gettid:
        return 0;
    case SYS_sched_setattr:
    case SYS_tgkill:
        return 3;
    case SYS_sched_getattr:
        return 4;
    default:
        return 6;
    }
}

/* Those that libc has no function for. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long a[6] = {0};
    const int n = arguments_of(number);
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < n; i++)
        a[i] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_sched_setattr && fails(FAULT_POLICY)) return -1;
    if (number == SYS_sched_getattr && fails(FAULT_POLICY_GET)) return -1;
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes,
     void *(*start)(void *), void *argument)
{
    if (fails(FAULT_THREAD)) return errno;
    int error = __real_pthread_create(thread, attributes, start, argument);
    if (!error) threads++;
    return error;
}

WRAP(int, pthread_join, pthread_t thread, void **result)
{
    threads--;
    return __real_pthread_join(thread, result);
}
