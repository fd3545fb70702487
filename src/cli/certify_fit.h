/*
 * certify_fit.h: from measured times to what computing costs. Pure; its test is
 * tests/test_certify_fit.c. Times are nanoseconds.
 */
#ifndef EL_CLI_CERTIFY_FIT_H
#define EL_CLI_CERTIFY_FIT_H

#include "cli/cli.h"

/* Times of batches of one size, each at its position. */
typedef struct el_cli_series {
    uint32_t tokens; /* of a batch; 1: steps */
    size_t n, room;
    uint32_t every, skip; /* one in `every` is kept; `skip` until the next */
    uint32_t *position;   /* (room) */
    double *ns;           /* (room) */
    uint32_t worst_position;
    double worst_ns; /* the longest of all, kept or not */
    uint64_t seen;
} el_cli_series;

/* Reserves and touches memory; false: there is none. Room is even. Release it in any case. */
bool el_cli_series_open(el_cli_series *s, uint32_t tokens, size_t room);
void el_cli_series_release(el_cli_series *s);

/* When the room is full every second one is dropped, and from then on every second one kept. */
void el_cli_series_add(el_cli_series *s, uint32_t position, double ns);

/*
 * Costs from series[0], steps, and series[1 .. n-1], chunks in the order of their sizes. A slope is
 * what medians gain from the near half of the positions to the far one (one for chunks of all
 * sizes); the start is the mean of what it leaves, for a sum of many steps is forecast, without the
 * largest 2 %, for one stall of a second shall not make every step dearer. A margin is the 99th
 * percentile of what is above the line (the 90th with less than 1000 samples, the largest with less
 * than 100), that of chunks is of the largest size. Each series has a sample. scratch: (largest n).
 */
void el_cli_fit(const el_cli_series *series, uint32_t n, double *scratch, edgellm_costs *costs);

/* The table of passes, from series whose `tokens` are sessions and whose positions are those of
 * each, with the slope of steps that the costs have: the mean of what that leaves, as above. */
void el_cli_fit_passes(const el_cli_series *series, uint32_t n, double *scratch,
                       edgellm_costs *costs);

/* By how much steps (tokens 1) or chunks took longer than forecast, sorted; out: (s->n). */
void el_cli_fit_over(const el_cli_series *s, const edgellm_costs *costs, double *out);

/* What they took as a share of the forecast: the median. scratch: (s->n). */
double el_cli_fit_share(const el_cli_series *s, const edgellm_costs *costs, double *scratch);

/* The most that any took beyond the forecast; 0 at least. */
double el_cli_fit_most_over(const el_cli_series *s, const edgellm_costs *costs);

#endif
