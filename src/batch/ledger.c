#include "batch/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/answer.h"

#define SUFFIX ".part"
enum {
    ROUNDS = 100, /* in which others may finish the same output at the same time */
    LOOK = 256,   /* bytes of a line of the output that are looked at */
    ROOM = 2 * EL_ANSWER_ROOM,
    ID_BEGINS = 7 /* bytes of {"id":" */
};

/* ---- names --------------------------------------------------------------------------------- */

void el_ledger_id(const el_ledger *ledger, uint64_t number, char id[48])
{
    snprintf(id, 48, "%.26s_%" PRIu64, ledger->prefix + ID_BEGINS, number);
}

/* The number of the line of the input that one of the output answers; 0: it is none of this batch,
 * or not whole. */
static uint64_t number_of(const el_ledger *ledger, const el_line *line)
{
    const size_t n = strlen(ledger->prefix);
    uint64_t number = 0;
    size_t i = n + 1;
    if (!line->has_end || line->has_nul || line->last != '}' || line->len < n + 3) return 0;
    if (memcmp(line->text, ledger->prefix, n) != 0 || line->text[n] != '_') return 0;
    for (; i < line->len && line->text[i] >= '0' && line->text[i] <= '9'; i++) {
        if (number > ledger->lines) return 0;
        number = 10 * number + (uint64_t)(line->text[i] - '0');
    }
    if (i == line->len || line->text[i] != '"' || number > ledger->lines) return 0;
    return number;
}

/* Does the first line begin as one of this batch? Only one without an end may be shorter than that.
 */
static bool is_ours(const el_ledger *ledger, const el_line *first)
{
    const size_t n = strlen(ledger->prefix);
    if (first->has_end && first->len < n) return false;
    return memcmp(first->text, ledger->prefix, first->len < n ? first->len : n) == 0;
}

/* ---- what is there ------------------------------------------------------------------------- */

static void mark(el_ledger *ledger, uint64_t number)
{
    ledger->done[number / 8] |= (uint8_t)(1 << number % 8);
    ledger->n_done++;
}

/* Goes through the lines that are whole; *ours false: the file is of something else. */
static edgellm_status take_up(el_ledger *ledger, int fd, const char *path, bool *ours,
                              edgellm_error *err)
{
    el_lines lines;
    el_line line;
    bool any = true;
    *ours = true;
    EL_TRY(el_lines_open(&lines, fd, path, LOOK, err));
    edgellm_status status = el_lines_seek(&lines, 0, 1, err);
    while (status == EDGELLM_OK) {
        status = el_lines_next(&lines, &line, &any, err);
        if (status != EDGELLM_OK || !any) break;
        if (line.number == 1) *ours = is_ours(ledger, &line);
        const uint64_t number = number_of(ledger, &line);
        if (number == 0 || el_ledger_has(ledger, number)) break; /* it and what follows is cut */
        mark(ledger, number);
        ledger->size = line.next;
    }
    el_lines_close(&lines);
    return status;
}

static edgellm_status not_ours(const char *path, edgellm_error *err)
{
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "'%.300s' is there, and is not the output of this input, model, version and "
                   "options (--seed, -c, --exact, --max-line): remove it, or give another name",
                   path);
}

/* An output that has its name is whole, or somebody else's. */
static edgellm_status look_at_finished(el_ledger *ledger, edgellm_error *err)
{
    struct stat file;
    bool ours;
    if (lstat(ledger->path, &file) != 0) {
        if (errno == ENOENT) return EDGELLM_OK;
        return el_fail(err, EDGELLM_ERR_IO, "cannot write '%.300s': %s", ledger->path,
                       strerror(errno));
    }
    if (!S_ISREG(file.st_mode))
        return el_fail(err, EDGELLM_ERR_IO, "cannot write '%.300s': it is no regular file",
                       ledger->path);
    if (file.st_size == 0) return EDGELLM_OK; /* nothing is lost when it is replaced */
    const int fd = open(ledger->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return el_fail(err, EDGELLM_ERR_IO, "cannot read '%.300s': %s", ledger->path,
                       strerror(errno));
    const edgellm_status status = take_up(ledger, fd, ledger->path, &ours, err);
    close(fd);
    if (status != EDGELLM_OK) return status;
    if (ledger->n_done < ledger->requests || ledger->size != (uint64_t)file.st_size)
        return not_ours(ledger->path, err);
    ledger->is_finished = true;
    return EDGELLM_OK;
}

/* ---- the part ------------------------------------------------------------------------------ */

/* Does the name still belong to the open file? */
static bool is_named(const el_ledger *ledger)
{
    struct stat file, named;
    return fstat(ledger->fd, &file) == 0 && lstat(ledger->part, &named) == 0 &&
           file.st_dev == named.st_dev && file.st_ino == named.st_ino;
}

static void let_go(el_ledger *ledger)
{
    if (ledger->fd >= 0) close(ledger->fd);
    ledger->fd = -1;
}

static edgellm_status cannot(const el_ledger *ledger, const char *what, edgellm_error *err)
{
    return el_fail(err, EDGELLM_ERR_IO, "cannot %s '%.300s': %s", what, ledger->part,
                   strerror(errno));
}

/* It is somebody else's. */
static edgellm_status not_locked(el_ledger *ledger, edgellm_error *err)
{
    const bool is_held = errno == EWOULDBLOCK;
    if (!is_held) cannot(ledger, "lock", err);
    let_go(ledger);
    if (!is_held) return err->status;
    return el_fail(err, EDGELLM_ERR_IO,
                   "'%.300s' is being written by another program: wait for it, or give another "
                   "name",
                   ledger->part);
}

/* Opens and locks it. Whoever had it may have given it its name, or removed it, just before. */
static edgellm_status lock_part(el_ledger *ledger, edgellm_error *err)
{
    for (int i = 0; i < ROUNDS; i++) {
        ledger->fd =
            open(ledger->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
        if (ledger->fd < 0) return cannot(ledger, "write", err);
        if (flock(ledger->fd, LOCK_EX | LOCK_NB) != 0) return not_locked(ledger, err);
        if (is_named(ledger)) return EDGELLM_OK;
        let_go(ledger);
    }
    errno = EBUSY;
    return cannot(ledger, "lock", err);
}

/* Goes on behind the last line that is whole. */
static edgellm_status resume_part(el_ledger *ledger, edgellm_error *err)
{
    struct stat file;
    bool ours;
    if (fstat(ledger->fd, &file) != 0) return cannot(ledger, "read", err);
    if (!S_ISREG(file.st_mode))
        return el_fail(err, EDGELLM_ERR_IO, "cannot write '%.300s': it is no regular file",
                       ledger->part);
    EL_TRY(take_up(ledger, ledger->fd, ledger->part, &ours, err));
    if (!ours) return not_ours(ledger->part, err);
    if (ftruncate(ledger->fd, (off_t)ledger->size) != 0) return cannot(ledger, "write", err);
    if (lseek(ledger->fd, 0, SEEK_END) < 0) return cannot(ledger, "write", err);
    return EDGELLM_OK;
}

/* ---- life ---------------------------------------------------------------------------------- */

uint64_t el_ledger_bytes(uint64_t lines)
{
    return lines / 8 + 1 + ROOM;
}

static edgellm_status allocate(el_ledger *ledger, const char *path, edgellm_error *err)
{
    const size_t len = strlen(path);
    ledger->path = strdup(path);
    ledger->part = malloc(len + sizeof SUFFIX);
    ledger->done = calloc(ledger->lines / 8 + 1, 1);
    ledger->out = (el_out){.at = malloc(ROOM), .room = ROOM};
    if (!ledger->path || !ledger->part || !ledger->done || !ledger->out.at)
        return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for an output of %" PRIu64 " lines",
                       ledger->lines);
    snprintf(ledger->part, len + sizeof SUFFIX, "%s" SUFFIX, path);
    return EDGELLM_OK;
}

static edgellm_status start(el_ledger *ledger, const char *path, edgellm_error *err)
{
    EL_TRY(allocate(ledger, path, err));
    EL_TRY(lock_part(ledger, err));
    EL_TRY(look_at_finished(ledger, err));
    return ledger->is_finished ? EDGELLM_OK : resume_part(ledger, err);
}

edgellm_status el_ledger_open(el_ledger *ledger, const char *path, uint64_t fingerprint,
                              uint64_t lines, uint64_t requests, edgellm_error *err)
{
    *ledger = (el_ledger){.fd = -1, .lines = lines, .requests = requests};
    snprintf(ledger->prefix, sizeof ledger->prefix, "{\"id\":\"batch_req_%016" PRIx64, fingerprint);
    const edgellm_status status = start(ledger, path, err);
    if (status != EDGELLM_OK) el_ledger_close(ledger);
    return status;
}

void el_ledger_close(el_ledger *ledger)
{
    struct stat file;
    if (ledger->fd >= 0 && fstat(ledger->fd, &file) == 0 && S_ISREG(file.st_mode) &&
        file.st_size == 0)
        unlink(ledger->part); /* nothing came into it */
    let_go(ledger);
    free(ledger->path);
    free(ledger->part);
    free(ledger->done);
    free(ledger->out.at);
    *ledger = (el_ledger){.fd = -1};
}

/* ---- writing ------------------------------------------------------------------------------- */

void el_ledger_drain(el_ledger *ledger)
{
    size_t done = 0;
    while (!ledger->failed_errno && done < ledger->out.used) {
        const ssize_t n = write(ledger->fd, ledger->out.at + done, ledger->out.used - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            ledger->failed_errno = n < 0 ? errno : EIO;
        else
            done += (size_t)n;
    }
    ledger->out.used = 0;
}

void el_ledger_begin(el_ledger *ledger, uint64_t number)
{
    el_out_print(&ledger->out, "%s_%" PRIu64 "\"", ledger->prefix, number);
}

edgellm_status el_ledger_end(el_ledger *ledger, uint64_t number, edgellm_error *err)
{
    el_out_text(&ledger->out, "\n");
    if (ledger->out.is_full) return el_fail(err, EDGELLM_ERR_INTERNAL, "a line was cut");
    el_ledger_drain(ledger);
    if (ledger->failed_errno == 0) {
        const off_t end = lseek(ledger->fd, 0, SEEK_CUR);
        if (end > 0) ledger->size = (uint64_t)end;
        mark(ledger, number);
        return EDGELLM_OK;
    }
    if (ftruncate(ledger->fd, (off_t)ledger->size) != 0) { /* then the next run cuts it */
    }
    return el_fail(err, EDGELLM_ERR_IO,
                   "cannot write '%.200s': %s; the %" PRIu64
                   " lines before are there, and the same command goes on from them",
                   ledger->part, strerror(ledger->failed_errno), ledger->n_done);
}

/* ---- the end ------------------------------------------------------------------------------- */

/* Makes the rename itself survive a power cut. Cuts the file's name off its path. */
static void sync_folder(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash) slash[slash == path] = '\0';
    const int fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

edgellm_status el_ledger_finish(el_ledger *ledger, edgellm_error *err)
{
    if (ledger->n_done != ledger->requests)
        return el_fail(err, EDGELLM_ERR_INTERNAL, "%" PRIu64 " of %" PRIu64 " requests are done",
                       ledger->n_done, ledger->requests);
    if (fsync(ledger->fd) != 0) return cannot(ledger, "write", err);
    if (rename(ledger->part, ledger->path) != 0)
        return el_fail(err, EDGELLM_ERR_IO, "cannot give '%.200s' its name: %s", ledger->part,
                       strerror(errno));
    let_go(ledger);
    sync_folder(ledger->part);
    return EDGELLM_OK;
}
