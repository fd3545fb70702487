/* mapfile.c: opens without waiting (a FIFO would), checks what it got, maps or copies all of it. */
#include "base/mapfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/refusal.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; older kernels refuse it */
#endif

/* Of 2 to 3 GB of addresses, beside the session; a larger file would be refused by mmap here and
 * accepted there. */
#define LARGEST_IN_32_BITS 1500000000

/* What to call a thing that is not a regular file. */
static const char *kind_name(mode_t mode)
{
    static const struct {
        mode_t kind;
        const char *name;
    } kinds[] = {
        {S_IFDIR, "a directory"}, {S_IFIFO, "a pipe"},    {S_IFCHR, "a device"},
        {S_IFBLK, "a device"},    {S_IFSOCK, "a socket"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if ((mode & S_IFMT) == kinds[i].kind) return kinds[i].name;
    }
    return "not a regular file";
}

static edgellm_status check_kind(int fd, const char *path, size_t *size, edgellm_error *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return el_fail(err, EDGELLM_ERR_IO, "cannot examine '%.300s': %s", path, strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return el_fail(err, EDGELLM_ERR_IO, "'%.300s' is %s; a regular file is needed", path,
                       kind_name(status.st_mode));
    }
    if (status.st_size <= 0) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "'%.300s' is empty", path);
    }
    if (sizeof(void *) < 8 && status.st_size > LARGEST_IN_32_BITS) {
        return el_fail(
            err, EDGELLM_ERR_UNSUPPORTED,
            "'%.300s' has %llu bytes, but in 32 bits there is room for files of %.1f GB: "
            "take a smaller model, or a 64-bit system",
            path, (unsigned long long)status.st_size, LARGEST_IN_32_BITS / 1e9);
    }
    *size = (size_t)status.st_size;
    return EDGELLM_OK;
}

static edgellm_status cannot_map(const char *path, size_t size, edgellm_error *err)
{
    return el_fail(err, errno == ENOMEM ? EDGELLM_ERR_MEMORY : EDGELLM_ERR_IO,
                   "cannot map '%.300s' (%zu bytes): %s", path, size, el_refusal_of(errno).text);
}

static edgellm_status map_descriptor(el_mapfile *map, int fd, const char *path, edgellm_error *err)
{
    size_t size = 0;
    EL_TRY(check_kind(fd, path, &size, err));
    void *data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) return cannot_map(path, size, err);
    *map = (el_mapfile){data, size};
    return EDGELLM_OK;
}

static edgellm_status read_all(uint8_t *data, size_t size, int fd, const char *path,
                               edgellm_error *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, data + done, size - done, (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            return el_fail(err, EDGELLM_ERR_IO, "cannot read '%.300s': %s", path, strerror(errno));
        }
        if (n == 0) {
            return el_fail(err, EDGELLM_ERR_IO,
                           "'%.300s' was cut short while it was read: try again", path);
        }
        done += (size_t)n;
    }
    return EDGELLM_OK;
}

/* Where pages of this size begin, as most systems have them: elsewhere they are small ones. */
#define HUGE_PAGE ((size_t)2 << 20)

/* Memory that begins where a huge page can, if it holds one. NULL: none, errno says why. */
static void *own_memory(size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), slack = size < HUGE_PAGE ? 0 : HUGE_PAGE;
    if (size > SIZE_MAX - slack - page) {
        errno = ENOMEM;
        return NULL;
    }
    const size_t used = (size + page - 1) / page * page, taken = used + slack;
    uint8_t *data = mmap(NULL, taken, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return NULL;
    const size_t before = slack == 0 ? 0 : (HUGE_PAGE - (uintptr_t)data % HUGE_PAGE) % HUGE_PAGE;
    if (before > 0) munmap(data, before);
    if (slack > before) munmap(data + before + used, slack - before);
    if (slack > 0) madvise(data + before, used, MADV_HUGEPAGE);
    return data + before;
}

static edgellm_status copy_descriptor(el_mapfile *map, int fd, const char *path, uint64_t room,
                                      edgellm_error *err)
{
    size_t size = 0;
    EL_TRY(check_kind(fd, path, &size, err));
    if (size > room)
        return el_fail(
            err, EDGELLM_ERR_MEMORY,
            "a copy of '%.300s' takes %zu bytes of memory, there are %llu: without a copy "
            "it is read again from the file where memory does not hold it",
            path, size, (unsigned long long)room);
    void *data = own_memory(size);
    if (data == NULL) return cannot_map(path, size, err);
    edgellm_status status = read_all(data, size, fd, path, err);
    if (status == EDGELLM_OK)
        *map = (el_mapfile){data, size};
    else
        munmap(data, size);
    return status;
}

static edgellm_status open_file(const char *path, int *fd, edgellm_error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd >= 0) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_IO, "cannot open '%.300s': %s", path, strerror(errno));
}

edgellm_status el_mapfile_open(el_mapfile *map, const char *path, edgellm_error *err)
{
    int fd;
    EL_TRY(open_file(path, &fd, err));
    edgellm_status status = map_descriptor(map, fd, path, err);
    close(fd);
    return status;
}

edgellm_status el_mapfile_copy(el_mapfile *map, const char *path, edgellm_error *err)
{
    return el_mapfile_copy_within(map, path, UINT64_MAX, err);
}

edgellm_status el_mapfile_copy_within(el_mapfile *map, const char *path, uint64_t room,
                                      edgellm_error *err)
{
    int fd;
    EL_TRY(open_file(path, &fd, err));
    edgellm_status status = copy_descriptor(map, fd, path, room, err);
    close(fd);
    return status;
}

void el_mapfile_settle(const el_mapfile *map)
{
    if (!map->data) return;
    void *data = (void *)(uintptr_t)map->data;
    if (mlock(data, map->size) == 0) return;
    if (madvise(data, map->size, MADV_POPULATE_READ) == 0) return;
    madvise(data, map->size, MADV_WILLNEED);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const volatile uint8_t *bytes = map->data;
    for (size_t at = 0; at < map->size; at += page)
        (void)bytes[at];
}

/* Linux then reads ahead of each thread, not around it, and lets go of what is past: of a model of
 * 97 MB in a group of 64 MB a quarter less is read. */
void el_mapfile_stream(const el_mapfile *map)
{
    if (map->data) madvise((void *)(uintptr_t)map->data, map->size, MADV_SEQUENTIAL);
}

void el_mapfile_close(el_mapfile *map)
{
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (el_mapfile){0};
}
