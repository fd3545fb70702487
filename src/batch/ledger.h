/*
 * ledger.h: the output of a batch while it is written, which is also all that is remembered of it:
 * a process that is killed at any moment leaves PATH.part, and the next one goes on behind the last
 * line that is whole. The "id" of each line holds the batch's fingerprint and the number of the
 * line in the input that it answers, so that a line tells by itself whether it belongs here and
 * what is done. When all is done the file gets its name.
 *
 * The writer holds a lock on PATH.part; a second one is refused.
 */
#ifndef EL_BATCH_LEDGER_H
#define EL_BATCH_LEDGER_H

#include "batch/lines.h"
#include "server/out.h"

typedef struct el_ledger {
    char *path, *part;
    int fd;                   /* of `part`, locked; -1: none */
    char prefix[48];          /* what a line begins with, as far as its number */
    uint8_t *done;            /* (lines / 8 + 1) a bit for each line of the input */
    uint64_t lines, requests; /* of the input */
    uint64_t n_done;          /* lines that are there, whole */
    uint64_t size;            /* bytes of them */
    bool is_finished;         /* PATH itself has them all, of an earlier run */
    el_out out;               /* of the line in hand */
    int failed_errno;         /* of the first write that failed */
} el_ledger;

/* What it will allocate. */
uint64_t el_ledger_bytes(uint64_t lines);

/* Takes up what an earlier run left. Errors: IO (also: somebody else writes it), MEMORY; USAGE
 * (there is a file that is not this batch's). */
edgellm_status el_ledger_open(el_ledger *ledger, const char *path, uint64_t fingerprint,
                              uint64_t lines, uint64_t requests, edgellm_error *err);

/* What was written stays. */
void el_ledger_close(el_ledger *ledger);

static inline bool el_ledger_has(const el_ledger *ledger, uint64_t number)
{
    return ledger->done[number / 8] >> number % 8 & 1;
}

/* The name of a request by its line: 1 .. 47 bytes, without quotes. */
void el_ledger_id(const el_ledger *ledger, uint64_t number, char id[48]);

/* Begins the line that answers that one: {"id":"..." */
void el_ledger_begin(el_ledger *ledger, uint64_t number);

/* Makes room in `out` for what comes next of it. */
void el_ledger_drain(el_ledger *ledger);

/* Ends it with a line feed. Errors: IO; nothing of it is there then. */
edgellm_status el_ledger_end(el_ledger *ledger, uint64_t number, edgellm_error *err);

/* All requests are done: the file gets its name. Errors: IO; INTERNAL (they are not). */
edgellm_status el_ledger_finish(el_ledger *ledger, edgellm_error *err);

#endif
