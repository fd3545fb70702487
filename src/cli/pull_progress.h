/* pull_progress.h: one line on a terminal: how far fetching is, how fast, how much longer. */
#ifndef EL_CLI_PULL_PROGRESS_H
#define EL_CLI_PULL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#define EL_PULL_UNKNOWN UINT64_MAX

typedef struct el_pull_progress {
    bool show;
    const char *name;     /* of the file that comes */
    uint64_t done, total; /* bytes of all files; total: EL_PULL_UNKNOWN if one is not known */
    uint64_t done_before; /* of files before this one */
    uint64_t began_done;  /* `done` when the rate began to be taken */
    double began_ms, drawn_ms;
} el_pull_progress;

/* `bytes` of the present file are there. Drawn at most five times a second. */
void el_pull_progress_draw(el_pull_progress *progress, uint64_t bytes);

/* The rate is taken anew from here: a pause, or another file. */
void el_pull_progress_pause(el_pull_progress *progress);

/* Instead of it, until it is drawn again. */
void el_pull_progress_say(const el_pull_progress *progress, const char *text);
void el_pull_progress_clear(const el_pull_progress *progress);

#endif
