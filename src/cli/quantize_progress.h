/*
 * quantize_progress.h: one line on a terminal that says how far long work is, and how much longer
 * it will take.
 */
#ifndef EL_CLI_QUANTIZE_PROGRESS_H
#define EL_CLI_QUANTIZE_PROGRESS_H

#include "cli/quantize_pace.h"

typedef struct el_cli_progress {
    bool show;
    el_cli_pace pace;
    double drawn; /* seconds */
} el_cli_progress;

/* "[ 37 %] layer 12 of 30, 4 min 10 s left", drawn again at most five times a second. */
void el_cli_progress_draw(el_cli_progress *progress, const char *stage, double done);

/* Takes the line away, before other text or at the end. */
void el_cli_progress_clear(const el_cli_progress *progress);

#endif
