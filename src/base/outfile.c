/* outfile.c: write beside the target, then rename over it. */
#include "base/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_TRIED 100 /* temporaries that killed processes of the same number left behind */

/* Frees what the structure owns and closes without saying anything. */
static void release(el_outfile *out)
{
    if (out->stream) fclose(out->stream);
    free(out->path);
    free(out->temporary);
    *out = (el_outfile){0};
}

static void discard(el_outfile *out)
{
    if (out->temporary) unlink(out->temporary);
    release(out);
}

/* *target: what `path` leads to, with symbolic links followed: it is the file that is to be
 * replaced, not the link. */
static edgellm_status resolve(const char *path, char **target, edgellm_error *err)
{
    struct stat status;
    bool link = lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
    *target = link ? realpath(path, NULL) : strdup(path);
    if (*target) return EDGELLM_OK;
    if (errno == ENOMEM) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory");
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

/* Creates the temporary with the permissions that the umask allows. Returns its descriptor, or
 * -1 with errno set. */
static int create_temporary(el_outfile *out)
{
    size_t room = strlen(out->path) + 40;
    out->temporary = malloc(room);
    if (!out->temporary) return -1;
    int fd = -1;
    for (unsigned i = 0; i < NAMES_TRIED && fd < 0; i++) {
        snprintf(out->temporary, room, "%s.tmp%ld-%u", out->path, (long)getpid(), i);
        fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST) break;
    }
    if (fd < 0) { /* so that clean-up does not remove a file of somebody else */
        int saved = errno;
        free(out->temporary);
        out->temporary = NULL;
        errno = saved;
    }
    return fd;
}

static edgellm_status open_stream(el_outfile *out, edgellm_error *err)
{
    int fd = create_temporary(out);
    if (fd >= 0) {
        out->stream = fdopen(fd, "wb");
        if (out->stream) return EDGELLM_OK;
        int saved = errno;
        close(fd);
        errno = saved;
    }
    return el_fail(err, errno == ENOMEM ? EDGELLM_ERR_MEMORY : EDGELLM_ERR_IO,
                   "cannot create a temporary file beside '%.300s': %s", out->path,
                   strerror(errno));
}

edgellm_status el_outfile_create(el_outfile *out, const char *path, edgellm_error *err)
{
    el_outfile fresh = {0};
    edgellm_status status = resolve(path, &fresh.path, err);
    if (status == EDGELLM_OK) status = check_target(fresh.path, err);
    if (status == EDGELLM_OK) status = open_stream(&fresh, err);
    if (status == EDGELLM_OK) {
        *out = fresh;
    } else {
        discard(&fresh);
    }
    return status;
}

static void remember(el_outfile *out)
{
    if (out->failed_errno == 0) out->failed_errno = errno ? errno : EIO;
}

void el_outfile_write(el_outfile *out, const void *bytes, size_t size)
{
    if (out->failed_errno || size == 0) return;
    errno = 0;
    size_t done = fwrite(bytes, 1, size, out->stream);
    out->written += done;
    if (done != size) remember(out);
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
    if (out->failed_errno == ENOSPC || out->failed_errno == EDQUOT) {
        return el_fail(err, EDGELLM_ERR_IO,
                       "no space left for '%.300s' after %llu bytes: %s; what was there before "
                       "is untouched",
                       out->path, (unsigned long long)out->written, strerror(out->failed_errno));
    }
    return el_fail(err, EDGELLM_ERR_IO,
                   "cannot write '%.300s' after %llu bytes: %s; what was there before is "
                   "untouched",
                   out->path, (unsigned long long)out->written, strerror(out->failed_errno));
}

edgellm_status el_outfile_patch(el_outfile *out, uint64_t offset, const void *bytes, size_t size,
                                edgellm_error *err)
{
    EL_TRY(el_outfile_check(out, err));
    if (offset > out->written || size > out->written - offset) {
        return el_fail(err, EDGELLM_ERR_INTERNAL,
                       "patch of %zu bytes at %llu is outside the %llu bytes written", size,
                       (unsigned long long)offset, (unsigned long long)out->written);
    }
    errno = 0;
    if (fseeko(out->stream, (off_t)offset, SEEK_SET) != 0 ||
        fwrite(bytes, 1, size, out->stream) != size ||
        fseeko(out->stream, (off_t)out->written, SEEK_SET) != 0) {
        remember(out);
    }
    return el_outfile_check(out, err);
}

/* Makes the rename itself survive a power cut. A directory that cannot be synced is no failure:
 * the file is in place, whole. */
static void sync_directory(const char *path)
{
    char *folder = strdup(path);
    if (!folder) return;
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

static void flush_and_close(el_outfile *out)
{
    errno = 0;
    if (!out->failed_errno && (fflush(out->stream) != 0 || fsync(fileno(out->stream)) != 0)) {
        remember(out);
    }
    if (fclose(out->stream) != 0) remember(out);
    out->stream = NULL;
}

edgellm_status el_outfile_flush(el_outfile *out, edgellm_error *err)
{
    if (!out->failed_errno && fflush(out->stream) != 0) remember(out);
    return el_outfile_check(out, err);
}

edgellm_status el_outfile_commit(el_outfile *out, edgellm_error *err)
{
    flush_and_close(out);
    if (!out->failed_errno && rename(out->temporary, out->path) != 0) remember(out);
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
