/* outfile.c: write beside the target, then rename over it. */
#include "base/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX       ".tmp-edgellm"
#define ROUNDS       100 /* in which others may create and remove the temporary at the same time */
#define BUFFER_BYTES 65536

/* Frees what the structure owns. That close() fails says nothing: the bytes were synced, or are
 * given up. */
static void release(el_outfile *out)
{
    if (out->temporary) close(out->fd);
    free(out->path);
    free(out->temporary);
    free(out->buffer);
    *out = (el_outfile){0};
}

static void discard(el_outfile *out)
{
    if (out->temporary) unlink(out->temporary);
    release(out);
}

/* ---- the target -------------------------------------------------------------------------- */

static edgellm_status no_memory(const char *path, edgellm_error *err)
{
    return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory to write '%.300s'", path);
}

/* *target: what `path` leads to, with symbolic links followed: it is the file that is to be
 * replaced, not the link. */
static edgellm_status resolve(const char *path, char **target, edgellm_error *err)
{
    struct stat status;
    bool exists = lstat(path, &status) == 0;
    if (!exists && errno != ENOENT) {
        return el_fail(err, EDGELLM_ERR_IO, "cannot write '%.300s': %s", path, strerror(errno));
    }
    bool link = exists && S_ISLNK(status.st_mode);
    *target = link ? realpath(path, NULL) : strdup(path);
    if (*target) return EDGELLM_OK;
    if (errno == ENOMEM) return no_memory(path, err);
    return el_fail(err, EDGELLM_ERR_IO, "cannot follow the symbolic link '%.300s': %s", path,
                   strerror(errno));
}

/* Refuses what a rename must not, or cannot, replace. */
static edgellm_status check_target(const char *path, edgellm_error *err)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        if (errno == ENOENT && *path) return EDGELLM_OK;
        return el_fail(err, EDGELLM_ERR_IO, "cannot write '%.300s': %s", path, strerror(errno));
    }
    if (S_ISDIR(status.st_mode)) {
        return el_fail(err, EDGELLM_ERR_IO, "cannot write '%.300s': it is a directory", path);
    }
    if (!S_ISREG(status.st_mode)) {
        return el_fail(err, EDGELLM_ERR_IO,
                       "cannot write '%.300s': it is a device or pipe, which writing would "
                       "replace by a file; name a regular file",
                       path);
    }
    return EDGELLM_OK;
}

/* ---- the temporary ----------------------------------------------------------------------- */

/* Does the name still belong to the open file? */
static bool is_named(int fd, const char *name)
{
    struct stat open_file, named_file;
    return fstat(fd, &open_file) == 0 && lstat(name, &named_file) == 0 &&
           open_file.st_dev == named_file.st_dev && open_file.st_ino == named_file.st_ino;
}

static int fail_and_close(int fd, int error)
{
    close(fd);
    errno = error;
    return -1;
}

/* Creates the file with the permissions that the umask allows, and locks it. Returns -1 with
 * EEXIST also if another writer took the new file for a stale one before it was locked. */
static int create_locked(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        return fail_and_close(fd, EEXIST);
    }
    return is_named(fd, name) ? fd : fail_and_close(fd, EEXIST);
}

/* Removes a file that no writer holds. Returns -1 with EWOULDBLOCK if one does. Only the holder
 * of the lock may remove or rename the file, so the name cannot change hands in between. */
static int remove_stale(const char *name)
{
    int fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? 0 : -1;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || (is_named(fd, name) && unlink(name) != 0)) {
        return fail_and_close(fd, errno);
    }
    close(fd);
    return 0;
}

/* Returns the descriptor, or -1 with errno set. */
static int create_temporary(const char *name)
{
    int fd = -1;
    for (int i = 0; i < ROUNDS && fd < 0; i++) {
        fd = create_locked(name);
        if (fd < 0 && (errno != EEXIST || remove_stale(name) != 0)) break;
    }
    return fd;
}

static edgellm_status open_temporary(el_outfile *out, edgellm_error *err)
{
    size_t room = strlen(out->path) + sizeof SUFFIX;
    char *name = malloc(room);
    out->buffer = malloc(BUFFER_BYTES);
    if (!name || !out->buffer) {
        free(name);
        return no_memory(out->path, err);
    }
    snprintf(name, room, "%s" SUFFIX, out->path);
    out->fd = create_temporary(name);
    if (out->fd >= 0) {
        out->temporary = name;
        return EDGELLM_OK;
    }
    int error = errno;
    free(name);
    if (error == EWOULDBLOCK) {
        return el_fail(err, EDGELLM_ERR_IO,
                       "'%.300s' is being written by another program: wait for it, or give "
                       "another name",
                       out->path);
    }
    return el_fail(err, EDGELLM_ERR_IO, "cannot create the temporary file '%.300s" SUFFIX "': %s",
                   out->path, strerror(error));
}

edgellm_status el_outfile_create(el_outfile *out, const char *path, edgellm_error *err)
{
    el_outfile fresh = {0};
    edgellm_status status = resolve(path, &fresh.path, err);
    if (status == EDGELLM_OK) status = check_target(fresh.path, err);
    if (status == EDGELLM_OK) status = open_temporary(&fresh, err);
    if (status == EDGELLM_OK) {
        *out = fresh;
    } else {
        discard(&fresh);
    }
    return status;
}

/* ---- writing ----------------------------------------------------------------------------- */

static void remember(el_outfile *out, int error)
{
    if (out->failed_errno == 0) out->failed_errno = error;
}

/* Returns the number of bytes that the system took: `size`, unless it failed. */
static size_t write_all(el_outfile *out, const void *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = write(out->fd, (const uint8_t *)bytes + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            remember(out, n < 0 ? errno : EIO);
            break;
        }
        done += (size_t)n;
    }
    return done;
}

/* Empties the buffer. After a failure `written` is what the system took, and stays so. */
static void drain(el_outfile *out)
{
    if (out->failed_errno) return;
    out->written -= out->buffered - write_all(out, out->buffer, out->buffered);
    out->buffered = 0;
}

void el_outfile_write(el_outfile *out, const void *bytes, size_t size)
{
    if (size == 0) return;
    if (size > BUFFER_BYTES - out->buffered) drain(out);
    if (out->failed_errno) return;
    if (size > BUFFER_BYTES) {
        out->written += write_all(out, bytes, size);
        return;
    }
    memcpy(out->buffer + out->buffered, bytes, size);
    out->buffered += size;
    out->written += size;
}

void el_outfile_align(el_outfile *out, size_t alignment)
{
    static const uint8_t zeroes[512];
    if (alignment == 0) return;
    size_t left = (size_t)(out->written % alignment);
    if (left) left = alignment - left;
    while (left && !out->failed_errno) {
        size_t piece = left < sizeof zeroes ? left : sizeof zeroes;
        el_outfile_write(out, zeroes, piece);
        left -= piece;
    }
}

edgellm_status el_outfile_check(const el_outfile *out, edgellm_error *err)
{
    if (out->failed_errno == 0) return EDGELLM_OK;
    bool full = out->failed_errno == ENOSPC || out->failed_errno == EDQUOT;
    return el_fail(err, EDGELLM_ERR_IO,
                   "%s '%.300s' after %llu bytes: %s; what was there before is untouched",
                   full ? "no space left for" : "cannot write", out->path,
                   (unsigned long long)out->written, strerror(out->failed_errno));
}

edgellm_status el_outfile_patch(el_outfile *out, uint64_t offset, const void *bytes, size_t size,
                                edgellm_error *err)
{
    EL_TRY(el_outfile_flush(out, err));
    if (offset > out->written || size > out->written - offset) {
        return el_fail(err, EDGELLM_ERR_INTERNAL,
                       "patch of %zu bytes at %llu is outside the %llu bytes written", size,
                       (unsigned long long)offset, (unsigned long long)out->written);
    }
    if (lseek(out->fd, (off_t)offset, SEEK_SET) < 0) remember(out, errno);
    if (!out->failed_errno) write_all(out, bytes, size);
    if (!out->failed_errno && lseek(out->fd, 0, SEEK_END) < 0) remember(out, errno);
    return el_outfile_check(out, err);
}

edgellm_status el_outfile_flush(el_outfile *out, edgellm_error *err)
{
    drain(out);
    return el_outfile_check(out, err);
}

/* ---- the end ----------------------------------------------------------------------------- */

/* Makes the rename itself survive a power cut. A directory that cannot be synced is no failure:
 * the file is in place, whole. Cuts the file's name off its path. */
static void sync_directory(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash) slash[slash == path] = 0;
    int fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

edgellm_status el_outfile_commit(el_outfile *out, edgellm_error *err)
{
    drain(out);
    if (!out->failed_errno && fsync(out->fd) != 0) remember(out, errno);
    /* Still locked, so that nobody takes the temporary for a stale one. */
    if (!out->failed_errno && rename(out->temporary, out->path) != 0) remember(out, errno);
    edgellm_status status = el_outfile_check(out, err);
    if (status != EDGELLM_OK) {
        discard(out);
        return status;
    }
    sync_directory(out->path);
    release(out);
    return EDGELLM_OK;
}

void el_outfile_cancel(el_outfile *out)
{
    discard(out);
}
