#include "cli/cli_stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double el_cli_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

double el_cli_birth_ms(void)
{
    struct timespec used = {0};
    const double now = el_cli_now_ms();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return now - (double)used.tv_sec * 1e3 - (double)used.tv_nsec * 1e-6;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void el_cli_sort(double *samples, size_t n)
{
    if (n > 1) qsort(samples, n, sizeof *samples, ascending);
}

double el_cli_percentile(const double *sorted, size_t n, double p)
{
    if ((double)n * (1 - p) < 10 - 1e-6) return NAN;
    size_t rank = (size_t)ceil(p * (double)n - 1e-9);
    return sorted[rank > 0 ? rank - 1 : 0];
}

double el_cli_median(const double *sorted, size_t n)
{
    if (n == 0) return NAN;
    return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

double el_cli_mean(const double *samples, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += samples[i];
    return n > 0 ? sum / (double)n : NAN;
}

double el_cli_deviation(const double *samples, size_t n)
{
    double mean = el_cli_mean(samples, n), sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (samples[i] - mean) * (samples[i] - mean);
    return n > 1 ? sqrt(sum / (double)(n - 1)) : NAN;
}

uint64_t el_cli_peak_rss(void)
{
    char line[256];
    uint64_t kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL) return 0;
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) kib = strtoull(line + 6, NULL, 10);
    }
    fclose(status);
    return kib * 1024;
}

json_t *el_cli_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

void el_cli_print_tail(const char *title, const double *sorted, size_t n)
{
    static const struct {
        const char *name;
        double p;
    } rows[] = {{"P50", 0.5}, {"P90", 0.9}, {"P99", 0.99}, {"P99.9", 0.999}};
    printf("%-16s", title);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const double ms = el_cli_percentile(sorted, n, rows[i].p);
        if (!isnan(ms)) printf("%s %.3f  ", rows[i].name, ms);
    }
    printf("max %.3f ms (%zu samples)\n", sorted[n - 1], n);
}

json_t *el_cli_distribution(const double *sorted, size_t n)
{
    static const struct {
        const char *key;
        double p;
    } rows[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
    json_t *object = json_object();
    json_object_set_new(object, "samples", json_integer((json_int_t)n));
    json_object_set_new(object, "mean", el_cli_json_real(el_cli_mean(sorted, n)));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_object_set_new(object, rows[i].key,
                            el_cli_json_real(el_cli_percentile(sorted, n, rows[i].p)));
    }
    json_object_set_new(object, "max", el_cli_json_real(n > 0 ? sorted[n - 1] : NAN));
    return object;
}
