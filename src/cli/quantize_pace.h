/*
 * quantize_pace.h: how much longer work will take, from how it went so far. Pure: time comes from
 * the caller.
 */
#ifndef EL_CLI_QUANTIZE_PACE_H
#define EL_CLI_QUANTIZE_PACE_H

#include <stdbool.h>
#include <stddef.h>

/* How fast work goes, of late rather than on average. */
typedef struct el_cli_pace {
    bool begun;
    double seconds, done;  /* at the last note */
    double spent, managed; /* seconds and share of the work, fading */
} el_cli_pace;

/* Is told the time and the share that is done, both growing. A leap, such as over what an earlier
 * run has finished, does not count as speed. */
void el_cli_pace_note(el_cli_pace *pace, double seconds, double done);

/* Seconds left; NaN as long as nothing honest can be said. */
double el_cli_pace_left(const el_cli_pace *pace);

/* "35 s", "4 min 10 s", "14 min", "1 h 25 min": as exact as is to be believed. */
void el_cli_pace_text(double seconds, char *text, size_t size);

#endif
