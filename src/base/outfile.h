/*
 * outfile.h: a file that appears under its name whole or not at all. Bytes go to a temporary
 * file beside the target, PATH.tmp-edgellm; commit syncs and renames it over the target; cancel,
 * or a failed commit, removes it and leaves what was there.
 *
 * The writer holds a lock on the temporary. A killed process loses its lock and leaves at most
 * that one file, which the next writer of the same target removes; a second writer of a target
 * that is being written is refused. Where the file system has no locks, a temporary that is in
 * the way is an error: it may be in use.
 */
#ifndef EL_BASE_OUTFILE_H
#define EL_BASE_OUTFILE_H

#include "base/error.h"

typedef struct el_outfile {
    int fd; /* open as long as `temporary` is not NULL */
    char *path;
    char *temporary;
    uint8_t *buffer; /* for small pieces */
    size_t buffered;
    uint64_t written; /* bytes so far, those in the buffer included */
    int failed_errno; /* errno of the first failed write; 0 if none */
} el_outfile;

/* Errors: IO (also: it is being written already), MEMORY. */
edgellm_status el_outfile_create(el_outfile *out, const char *path, edgellm_error *err);

/* Appends. A failure is remembered and reported by the next checked call. */
void el_outfile_write(el_outfile *out, const void *bytes, size_t size);

/* Appends zero bytes until `written` is a multiple of `alignment`. */
void el_outfile_align(el_outfile *out, size_t alignment);

/* Overwrites `size` bytes at `offset`, which were written before. */
edgellm_status el_outfile_patch(el_outfile *out, uint64_t offset, const void *bytes, size_t size,
                                edgellm_error *err);

/* Hands everything written to the system, so that others can read the temporary. */
edgellm_status el_outfile_flush(el_outfile *out, edgellm_error *err);

/* Reports a remembered failure at once, so that long work stops when the disk is full. */
edgellm_status el_outfile_check(const el_outfile *out, edgellm_error *err);

/* Both release everything. */
edgellm_status el_outfile_commit(el_outfile *out, edgellm_error *err);
void el_outfile_cancel(el_outfile *out);

#endif
