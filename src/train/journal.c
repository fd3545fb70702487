#include "train/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32.h"

static const char magic[8] = {'E', 'D', 'G', 'E', 'L', 'L', 'M', 'J'};

typedef struct header {
    char magic[8];
    uint64_t fingerprint;
} header;

typedef struct record {
    uint32_t kind, crc;
    uint64_t bytes;
} record;

static edgellm_status failed(const el_journal *j, const char *what, edgellm_error *err)
{
    return el_fail(err, EDGELLM_ERR_IO, "cannot %s '%.300s': %s", what, j->path, strerror(errno));
}

static bool read_all(int fd, void *data, size_t bytes)
{
    for (uint8_t *p = data; bytes > 0;) {
        ssize_t n = read(fd, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

static bool write_all(int fd, const void *data, size_t bytes)
{
    for (const uint8_t *p = data; bytes > 0;) {
        ssize_t n = write(fd, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* An existing file: is it ours to go on with? */
static edgellm_status check_header(el_journal *j, uint64_t fingerprint, edgellm_error *err)
{
    header h;
    if (!read_all(j->fd, &h, sizeof h) || memcmp(h.magic, magic, sizeof magic) != 0) {
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "'%.300s' does not hold an unfinished run: delete it to begin anew",
                       j->path);
    }
    if (h.fingerprint != fingerprint) {
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "'%.300s' is an unfinished run of another source or other options: give "
                       "those, or delete it to begin anew",
                       j->path);
    }
    return EDGELLM_OK;
}

static edgellm_status begin(el_journal *j, uint64_t fingerprint, edgellm_error *err)
{
    header h = {.fingerprint = fingerprint};
    memcpy(h.magic, magic, sizeof magic);
    if (!write_all(j->fd, &h, sizeof h)) return failed(j, "write", err);
    return EDGELLM_OK;
}

/* What a crash leaves that came before the first record: nothing to go on with, and nothing lost.
 */
static bool is_cut_header(const el_journal *j, off_t bytes)
{
    uint8_t start[sizeof(header)];
    size_t known = (size_t)bytes < sizeof magic ? (size_t)bytes : sizeof magic;
    return read_all(j->fd, start, (size_t)bytes) && memcmp(start, magic, known) == 0;
}

static edgellm_status open_file(el_journal *j, uint64_t fingerprint, bool resume,
                                edgellm_error *err)
{
    struct stat s;
    j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (j->fd < 0) return failed(j, "open", err);
    if (flock(j->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        return el_fail(err, EDGELLM_ERR_USAGE, "'%.300s' belongs to a run that goes on", j->path);
    }
    if (fstat(j->fd, &s) != 0) return failed(j, "read", err);
    if (s.st_size < (off_t)sizeof(header) && is_cut_header(j, s.st_size)) {
        if (lseek(j->fd, 0, SEEK_SET) < 0 || ftruncate(j->fd, 0) != 0)
            return failed(j, "write", err);
        return begin(j, fingerprint, err);
    }
    if (!resume) {
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "'%.300s' is an unfinished run for this target: go on with --resume, or "
                       "delete it to begin anew",
                       j->path);
    }
    j->reading = true;
    return check_header(j, fingerprint, err);
}

edgellm_status el_journal_open(el_journal *j, const char *target, uint64_t fingerprint, bool resume,
                               edgellm_error *err)
{
    *j = (el_journal){.fd = -1};
    size_t room = strlen(target) + sizeof ".unfinished-edgellm";
    j->path = malloc(room);
    if (!j->path) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for a file's name");
    snprintf(j->path, room, "%s.unfinished-edgellm", target);
    edgellm_status status = open_file(j, fingerprint, resume, err);
    if (status != EDGELLM_OK) el_journal_close(j, false);
    return status;
}

static bool take(el_journal *j, uint32_t kind, void *data, size_t bytes)
{
    record r;
    return read_all(j->fd, &r, sizeof r) && r.kind == kind && r.bytes == bytes &&
           read_all(j->fd, data, bytes) && el_crc32(0, data, bytes) == r.crc;
}

bool el_journal_take(el_journal *j, uint32_t kind, void *data, size_t bytes)
{
    if (!j->reading) return false;
    off_t at = lseek(j->fd, 0, SEEK_CUR);
    if (take(j, kind, data, bytes)) return j->any = true;
    j->reading = false;
    /* A failure shows when the next record is written. */
    if (lseek(j->fd, at, SEEK_SET) < 0 || ftruncate(j->fd, at) != 0) return false;
    return false;
}

edgellm_status el_journal_add(el_journal *j, uint32_t kind, const void *data, size_t bytes,
                              edgellm_error *err)
{
    const record r = {kind, el_crc32(0, data, bytes), bytes};
    j->reading = false;
    if (!write_all(j->fd, &r, sizeof r) || !write_all(j->fd, data, bytes) || fsync(j->fd) != 0) {
        return failed(j, "write", err);
    }
    j->any = true;
    return EDGELLM_OK;
}

/* ---- states ----------------------------------------------------------------------------- */

typedef struct state {
    uint64_t number;
    uint32_t crc, zero;
    uint64_t bytes;
} state;

static uint64_t bytes_of(const el_span *spans, uint32_t n)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += spans[i].bytes;
    return bytes;
}

static state state_of(uint64_t number, const el_span *spans, uint32_t n)
{
    state s = {.number = number, .crc = el_crc32(0, &number, sizeof number)};
    for (uint32_t i = 0; i < n; i++)
        s.crc = el_crc32(s.crc, spans[i].data, spans[i].bytes);
    s.bytes = bytes_of(spans, n);
    return s;
}

/* Goes to the place of a state; `records`: where the records end. */
static bool seek_state(const el_journal *j, off_t records, uint64_t number, uint64_t bytes)
{
    off_t at = records + (off_t)(number % 2 * (sizeof(state) + bytes));
    return lseek(j->fd, at, SEEK_SET) == at;
}

edgellm_status el_journal_keep(el_journal *j, const el_span *spans, uint32_t n, edgellm_error *err)
{
    const state s = state_of(j->states + 1, spans, n);
    const off_t records = lseek(j->fd, 0, SEEK_CUR);
    bool good =
        records >= 0 && seek_state(j, records, s.number, s.bytes) && write_all(j->fd, &s, sizeof s);
    for (uint32_t i = 0; i < n; i++)
        good = good && write_all(j->fd, spans[i].data, spans[i].bytes);
    if (!good || fsync(j->fd) != 0) return failed(j, "write", err);
    if (lseek(j->fd, records, SEEK_SET) < 0) return failed(j, "write", err);
    j->states = s.number;
    return EDGELLM_OK;
}

/* The number of the state in the place of an even or an odd one, 0 if it is not whole. */
static uint64_t number_of(const el_journal *j, off_t records, uint64_t place, uint64_t bytes)
{
    uint8_t piece[65536];
    state s;
    if (!seek_state(j, records, place, bytes) || !read_all(j->fd, &s, sizeof s)) return 0;
    if (s.bytes != bytes || s.number % 2 != place) return 0;
    uint32_t crc = el_crc32(0, &s.number, sizeof s.number);
    for (uint64_t left = bytes; left > 0;) {
        size_t n = left < sizeof piece ? (size_t)left : sizeof piece;
        if (!read_all(j->fd, piece, n)) return 0;
        crc = el_crc32(crc, piece, n);
        left -= n;
    }
    return crc == s.crc ? s.number : 0;
}

edgellm_status el_journal_kept(el_journal *j, const el_span *spans, uint32_t n, edgellm_error *err)
{
    if (!j->reading) return EDGELLM_OK;
    const uint64_t bytes = bytes_of(spans, n);
    const off_t records = lseek(j->fd, 0, SEEK_CUR);
    const uint64_t even = number_of(j, records, 0, bytes), odd = number_of(j, records, 1, bytes);
    state s;
    j->states = even > odd ? even : odd;
    bool good = j->states == 0 ||
                (seek_state(j, records, j->states, bytes) && read_all(j->fd, &s, sizeof s));
    for (uint32_t i = 0; i < n && j->states > 0; i++)
        good = good && read_all(j->fd, spans[i].data, spans[i].bytes);
    if (!good || lseek(j->fd, records, SEEK_SET) < 0) return failed(j, "read", err);
    return EDGELLM_OK;
}

void el_journal_close(el_journal *j, bool done)
{
    if (!j->path) return;
    if (done) unlink(j->path);
    if (j->fd >= 0) close(j->fd);
    free(j->path);
    *j = (el_journal){.fd = -1};
}
