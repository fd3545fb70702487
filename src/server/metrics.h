/*
 * metrics.h: what the network's thread counts for /metrics, in memory of a fixed size. What the
 * other counts is in compute.h.
 */
#ifndef EL_SERVER_METRICS_H
#define EL_SERVER_METRICS_H

#include "server/account.h"
#include "server/histogram.h"
#include "server/swap.h"

/* A route and a status that there were; so many of them can never be. */
enum { EL_METRICS_ROWS = 256 };

typedef struct el_metrics_row {
    const el_route *route; /* NULL: paths that are none */
    unsigned status;       /* 0: none was sent */
    uint64_t n;
} el_metrics_row;

typedef struct el_metrics {
    el_metrics_row rows[EL_METRICS_ROWS];
    uint32_t n_rows;
    uint64_t prompt_tokens, answer_tokens;
    uint64_t deadlines[EL_DEADLINE_RESULTS];
    uint64_t connections, turned_away;
    uint64_t keys_read, keys_kept; /* again; and that failed */
    uint64_t models[EL_SWAP_RESULTS];
    el_histogram request; /* those that were answered with tokens */
    el_histogram lateness;
} el_metrics;

/* Each route is there from the start, with 0 for 200. */
void el_metrics_open(el_metrics *metrics);
void el_metrics_count(el_metrics *metrics, const el_account *account);

/* A deadline alone, of one more choice. */
void el_metrics_count_deadline(el_metrics *metrics, const el_account *account);

#endif
