/*
 * cli_stats.h: time as a distribution, and the memory this process has used. A percentile p is
 * given only with at least 10/(1-p) samples; with fewer it would be noise with a name.
 */
#ifndef EL_CLI_CLI_STATS_H
#define EL_CLI_CLI_STATS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Milliseconds of a clock that only goes forward. Makes no system call on Linux. */
double el_cli_now_ms(void);

/* When this process began, on that clock, as near as it can tell itself: the processor time that it
 * has used counts as the time since. Exact to what it waited until then (for a disk): ask early. */
double el_cli_birth_ms(void);

/* Sorts ascending. */
void el_cli_sort(double *samples, size_t n);

/* Nearest-rank percentile (0 < p < 1) of sorted samples; NaN with too few. */
double el_cli_percentile(const double *sorted, size_t n, double p);

double el_cli_median(const double *sorted, size_t n);     /* NaN for n 0 */
double el_cli_mean(const double *samples, size_t n);      /* NaN for n 0 */
double el_cli_deviation(const double *samples, size_t n); /* of the sample (n-1); NaN for n < 2 */

/* Largest resident set so far, in bytes; 0 if the system does not tell. */
uint64_t el_cli_peak_rss(void);

/* {"samples", "mean", "p50", "p90", "p99", "p99.9", "max"}; null where samples are too few. */
json_t *el_cli_distribution(const double *sorted, size_t n);

/* Those as a line of text on standard output: "TITLE P50 1.0  P90 ... max 9.0 ms (N samples)". n: 1
 * or more. */
void el_cli_print_tail(const char *title, const double *sorted, size_t n);

/* A number, or null for NaN. */
json_t *el_cli_json_real(double value);

#endif
