#include "cli/pull_part.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/cli_output.h"
#include "cli/pull.h"

static edgellm_status cannot(const char *what, const char *path, edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_IO, "cannot %s '%.250s': %s", what, path, strerror(errno));
}

/* ---- NAME.about ---------------------------------------------------------------------------- */

/* By a rename, but not synced: after a power cut it may be gone, and the file comes anew. */
static edgellm_status write_about(const el_pull_part *p, edgellm_error *err)
{
    char *draft;
    EL_CLI_TRY(el_pull_text(&draft, err, "%s.tmp", p->about));
    json_t *o = json_pack("{s:s, s:s, s:I, s:s}", "identity", p->identity, "etag", p->etag, "bytes",
                          (json_int_t)p->bytes, "sha256", p->sha256);
    edgellm_status status = EDGELLM_OK;
    if (json_dump_file(o, draft, JSON_COMPACT) != 0 || rename(draft, p->about) != 0)
        status = cannot("write", p->about, err);
    json_decref(o);
    free(draft);
    return status;
}

static void take_text(const json_t *o, const char *key, char *text, size_t size)
{
    const char *value = json_string_value(json_object_get(o, key));
    text[0] = '\0';
    if (value != NULL && strlen(value) < size) stpcpy(text, value);
}

/* What it says, if it is about the same file; *bytes: of the whole one, 0 while it is none. */
static bool read_about(el_pull_part *p, uint64_t *bytes)
{
    json_error_t why;
    json_t *o = json_load_file(p->about, 0, &why);
    const char *identity = json_string_value(json_object_get(o, "identity"));
    const bool same = identity != NULL && strcmp(identity, p->identity) == 0;
    if (same) {
        take_text(o, "etag", p->etag, sizeof p->etag);
        take_text(o, "sha256", p->sha256, sizeof p->sha256);
        *bytes = (uint64_t)json_integer_value(json_object_get(o, "bytes"));
    }
    json_decref(o);
    return same;
}

/* ---- the part ------------------------------------------------------------------------------ */

static bool is_whole(const el_pull_part *p, uint64_t bytes)
{
    struct stat facts;
    return p->sha256[0] != '\0' && stat(p->path, &facts) == 0 && S_ISREG(facts.st_mode) &&
           (uint64_t)facts.st_size == bytes;
}

static edgellm_status open_part(el_pull_part *p, bool same, edgellm_error *err)
{
    struct stat facts;
    p->fd = open(p->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (p->fd < 0 || fstat(p->fd, &facts) != 0) return cannot("open", p->part, err);
    if (!same) return el_pull_part_reset(p, err);
    EL_CLI_TRY(el_pull_sum_begin(&p->sum, err));
    EL_CLI_TRY(el_pull_sum_file(&p->sum, p->fd, (uint64_t)facts.st_size, err));
    p->bytes = (uint64_t)facts.st_size;
    return EDGELLM_OK;
}

static edgellm_status prepare(el_pull_part *p, const char *path, edgellm_error *err)
{
    EL_CLI_TRY(el_pull_text(&p->path, err, "%s", path));
    EL_CLI_TRY(el_pull_text(&p->part, err, "%s.part", path));
    return el_pull_text(&p->about, err, "%s.about", path);
}

edgellm_status el_pull_part_open(el_pull_part *p, const char *path, const char *identity,
                                 edgellm_error *err)
{
    uint64_t bytes = 0;
    *p = (el_pull_part){.fd = -1};
    edgellm_status status = prepare(p, path, err);
    if (status == EDGELLM_OK) {
        el_pull_sum_text(identity, p->identity);
        const bool same = read_about(p, &bytes);
        if (same && is_whole(p, bytes)) {
            p->bytes = bytes;
            return EDGELLM_OK;
        }
        p->sha256[0] = '\0';
        status = open_part(p, same, err);
    }
    if (status != EDGELLM_OK) el_pull_part_close(p);
    return status;
}

void el_pull_part_close(el_pull_part *p)
{
    if (p->fd >= 0) close(p->fd);
    el_pull_sum_end(&p->sum, NULL);
    free(p->path);
    free(p->part);
    free(p->about);
    *p = (el_pull_part){.fd = -1};
}

edgellm_status el_pull_part_reset(el_pull_part *p, edgellm_error *err)
{
    p->bytes = 0;
    p->etag[0] = '\0';
    if (ftruncate(p->fd, 0) != 0) return cannot("empty", p->part, err);
    return el_pull_sum_begin(&p->sum, err);
}

edgellm_status el_pull_part_note(el_pull_part *p, const char *etag, edgellm_error *err)
{
    const bool strong = etag[0] == '"' && strlen(etag) < sizeof p->etag;
    stpcpy(p->etag, strong ? etag : "");
    return write_about(p, err);
}

edgellm_status el_pull_part_add(el_pull_part *p, const void *bytes, size_t n, edgellm_error *err)
{
    const char *from = bytes;
    while (n > 0) {
        const ssize_t written = pwrite(p->fd, from, n, (off_t)p->bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return cannot("write", p->part, err);
        el_pull_sum_add(&p->sum, from, (size_t)written);
        from += written;
        n -= (size_t)written;
        p->bytes += (uint64_t)written;
    }
    return EDGELLM_OK;
}

edgellm_status el_pull_room(int fd, uint64_t bytes, edgellm_error *err)
{
    static const uint64_t spare = 1 << 20; /* for folders and notes */
    struct statvfs disk;
    if (fstatvfs(fd, &disk) != 0) return EDGELLM_OK; /* it cannot say: writing will tell */
    const uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (bytes <= free_bytes && free_bytes - bytes >= spare) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_IO,
                       "no room on the disk of the store: %.1f MB are needed, %.1f MB are free; "
                       "remove models with 'edgellm rm', or put the store elsewhere with "
                       "EDGELLM_HOME",
                       (double)bytes / EL_CLI_MB, (double)free_bytes / EL_CLI_MB);
}

static edgellm_status wrong_sum(el_pull_part *p, const char *expected, edgellm_error *err)
{
    const char *slash = strrchr(p->path, '/');
    edgellm_status status =
        el_cli_fail(err, EDGELLM_ERR_FORMAT,
                    "what came as '%.100s' is not what was to come: its SHA-256 is %s instead of "
                    "%.64s; it was removed",
                    slash != NULL ? slash + 1 : p->path, p->sha256, expected);
    unlink(p->part);
    unlink(p->about);
    p->sha256[0] = '\0';
    return status;
}

edgellm_status el_pull_part_finish(el_pull_part *p, const char *expected, edgellm_error *err)
{
    el_pull_sum_end(&p->sum, p->sha256);
    if (p->sha256[0] == '\0')
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a SHA-256");
    if (expected[0] != '\0' && strcmp(expected, p->sha256) != 0) return wrong_sum(p, expected, err);
    if (fsync(p->fd) != 0) return cannot("write", p->part, err);
    EL_CLI_TRY(write_about(p, err)); /* then the name: what has it is described */
    if (rename(p->part, p->path) != 0) return cannot("rename", p->part, err);
    close(p->fd);
    p->fd = -1;
    return EDGELLM_OK;
}
