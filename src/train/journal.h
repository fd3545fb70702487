/*
 * journal.h: what a long run has finished, kept in a file beside its target, so that a run that was
 * stopped, or killed, goes on where it was. Records follow one another; each has a checksum. The
 * run asks for them in the order in which it made them; from the first that is missing, damaged or
 * cut off, the rest of the file is dropped and the run's own records take its place.
 *
 *   header   "EDGELLMJ", u64 fingerprint of everything that decides the result
 *   record   u32 kind, u32 CRC-32 of the data, u64 bytes, data
 */
#ifndef EL_TRAIN_JOURNAL_H
#define EL_TRAIN_JOURNAL_H

#include "base/error.h"

typedef struct el_journal {
    int fd;
    bool reading; /* no record was missing so far */
    bool any;     /* it has a record */
    char *path;   /* owned */
} el_journal;

/*
 * Opens PATH, which is target + ".unfinished-edgellm". With `resume`, goes on with what it holds,
 * if its fingerprint is this one; without, there must be no such file. Errors: IO, MEMORY, USAGE
 * (there is one; or it is of another source or other options).
 */
edgellm_status el_journal_open(el_journal *journal, const char *target, uint64_t fingerprint,
                               bool resume, edgellm_error *err);

/* The next record, if it is there: of this kind and size. */
bool el_journal_take(el_journal *journal, uint32_t kind, void *data, size_t bytes);

/* Appends a record and sees to it that it is on the disk. Errors: IO. */
edgellm_status el_journal_add(el_journal *journal, uint32_t kind, const void *data, size_t bytes,
                              edgellm_error *err);

/* Closes it; `done`: the run is over, the file is removed. A journal that was never opened ({0}) or
 * is closed already is left alone. */
void el_journal_close(el_journal *journal, bool done);

#endif
