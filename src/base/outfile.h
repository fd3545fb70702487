/*
 * outfile.h: a file that appears under its name whole or not at all. Bytes go to a temporary
 * file beside the target; commit flushes, syncs and renames it over the target; cancel, or a
 * failed commit, removes it and leaves what was there. A killed process leaves only the temporary.
 */
#ifndef EL_BASE_OUTFILE_H
#define EL_BASE_OUTFILE_H

#include <stdio.h>

#include "base/error.h"

typedef struct el_outfile {
    FILE *stream;
    char *path;
    char *temporary;
    uint64_t written; /* bytes so far */
    int failed_errno; /* errno of the first failed write; 0 if none */
} el_outfile;

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
