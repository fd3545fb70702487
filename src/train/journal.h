/*
 * journal.h: what a long run has finished, kept in a file beside its target, so that a run that was
 * stopped, or killed, goes on where it was. Records follow one another; each has a checksum. The
 * run asks for them in the order in which it made them; from the first that is missing, damaged or
 * cut off, the rest of the file is dropped and the run's own records take its place.
 *
 *   header   "EDGELLMJ", u64 fingerprint of everything that decides the result
 *   record   u32 kind, u32 CRC-32 of the data, u64 bytes, data
 *
 * Behind the last record there is room for two states of a stage that is too long to be lost, but
 * has no parts to be kept one by one. They are written in turn, the older one is replaced, so that
 * one is whole whatever happens:
 *
 *   state    u64 number, counted from 1, u32 CRC-32 of number and data, u32 0, u64 bytes, data
 */
#ifndef EL_TRAIN_JOURNAL_H
#define EL_TRAIN_JOURNAL_H

#include "base/error.h"
#include "train/span.h"

typedef struct el_journal {
    int fd;
    bool reading;    /* no record was missing so far */
    bool any;        /* it has a record */
    uint64_t states; /* kept so far */
    char *path;      /* owned */
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

/*
 * Keeps a state, which is `n` spans one after another, and sees to it that it is on the disk. The
 * journal's records are complete. Errors: IO.
 */
edgellm_status el_journal_keep(el_journal *journal, const el_span *spans, uint32_t n,
                               edgellm_error *err);

/* Reads the last state that is whole, of these sizes, if all records were there; if there is none,
 * the spans stay as they are. Errors: IO. */
edgellm_status el_journal_kept(el_journal *journal, const el_span *spans, uint32_t n,
                               edgellm_error *err);

/* Closes it; `done`: the run is over, the file is removed. A journal that was never opened ({0}) or
 * is closed already is left alone. */
void el_journal_close(el_journal *journal, bool done);

#endif
