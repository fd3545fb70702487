#include "cli/certify_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_stats.h"

/* ---- samples ------------------------------------------------------------------------------ */

bool el_cli_series_open(el_cli_series *s, uint32_t tokens, size_t room)
{
    *s = (el_cli_series){.tokens = tokens, .room = room, .every = 1};
    s->position = malloc(room * sizeof *s->position);
    s->ns = malloc(room * sizeof *s->ns);
    if (s->position == NULL || s->ns == NULL) return false;
    memset(s->position, 0, room * sizeof *s->position);
    memset(s->ns, 0, room * sizeof *s->ns);
    return true;
}

void el_cli_series_release(el_cli_series *s)
{
    free(s->position);
    free(s->ns);
    *s = (el_cli_series){.n = 0};
}

static void thin(el_cli_series *s)
{
    s->n /= 2;
    for (size_t i = 0; i < s->n; i++) {
        s->position[i] = s->position[2 * i];
        s->ns[i] = s->ns[2 * i];
    }
    s->every *= 2;
}

void el_cli_series_add(el_cli_series *s, uint32_t position, double ns)
{
    s->seen++;
    if (ns > s->worst_ns) {
        s->worst_ns = ns;
        s->worst_position = position;
    }
    if (s->skip > 0) {
        s->skip--;
        return;
    }
    if (s->n == s->room) thin(s);
    s->position[s->n] = position;
    s->ns[s->n++] = ns;
    s->skip = s->every - 1;
}

/* ---- lines -------------------------------------------------------------------------------- */

/* x is tokens * position: for a step its position. */
static double x_of(const el_cli_series *s, size_t i)
{
    return (double)s->position[i] * s->tokens;
}

/* From the near half of the positions to the far one: what medians and means of x gain. */
typedef struct rise {
    double x, ns;
} rise;

static double middle_of(const el_cli_series *s)
{
    double least = x_of(s, 0), most = least;
    for (size_t i = 1; i < s->n; i++) {
        const double x = x_of(s, i);
        if (x < least) least = x;
        if (x > most) most = x;
    }
    return (least + most) / 2;
}

/* Median of the times in one half; *x: the mean of its x. NaN: it is empty. */
static double half_median(const el_cli_series *s, bool far, double middle, double *scratch,
                          double *x)
{
    size_t n = 0;
    *x = 0;
    for (size_t i = 0; i < s->n; i++) {
        if ((x_of(s, i) > middle) != far) continue;
        *x += x_of(s, i);
        scratch[n++] = s->ns[i];
    }
    *x = n > 0 ? *x / (double)n : 0;
    el_cli_sort(scratch, n);
    return el_cli_median(scratch, n);
}

static rise rise_of(const el_cli_series *s, double *scratch)
{
    const double middle = middle_of(s);
    double near_x, far_x;
    const double near_ns = half_median(s, false, middle, scratch, &near_x);
    const double far_ns = half_median(s, true, middle, scratch, &far_x);
    if (isnan(near_ns) || isnan(far_ns)) return (rise){.x = 0};
    return (rise){.x = far_x - near_x, .ns = far_ns - near_ns};
}

/* Noise may say that a longer context is faster: it is not. */
static double slope_of(rise r)
{
    return r.x > 0 && r.ns > 0 ? r.ns / r.x : 0;
}

/* The mean of what the slope leaves, without the largest: one in 50, one at least of 5 or more. */
static double start_of(const el_cli_series *s, double slope, double *scratch)
{
    const size_t dropped = s->n >= 50 ? s->n / 50 : s->n >= 5;
    for (size_t i = 0; i < s->n; i++)
        scratch[i] = s->ns[i] - slope * x_of(s, i);
    el_cli_sort(scratch, s->n);
    const double start = el_cli_mean(scratch, s->n - dropped);
    return start > 0 ? start : 0;
}

static void fit_steps(const el_cli_series *s, double *scratch, edgellm_costs *c)
{
    c->step_position = slope_of(rise_of(s, scratch));
    c->step = start_of(s, c->step_position, scratch);
}

static void fit_chunks(const el_cli_series *series, uint32_t n, double *scratch, edgellm_costs *c)
{
    rise all = {.x = 0};
    for (uint32_t i = 0; i < n; i++) {
        const rise one = rise_of(&series[i], scratch);
        all.x += one.x;
        all.ns += one.ns;
    }
    c->chunk_pair = slope_of(all);
    c->n_chunks = n;
    for (uint32_t i = 0; i < n; i++) {
        c->chunk_tokens[i] = series[i].tokens;
        c->chunk[i] = start_of(&series[i], c->chunk_pair, scratch);
    }
}

void el_cli_fit_passes(const el_cli_series *series, uint32_t n, double *scratch, edgellm_costs *c)
{
    c->n_passes = n;
    for (uint32_t i = 0; i < n; i++) {
        c->pass_sessions[i] = series[i].tokens;
        c->pass[i] = start_of(&series[i], c->step_position, scratch);
    }
}

/* ---- what the lines leave ----------------------------------------------------------------- */

/* As src/engine/forecast.c has it, for sizes that are in the table. */
static double forecast(const el_cli_series *s, const edgellm_costs *c, uint32_t position)
{
    if (s->tokens == 1) return c->step + c->step_position * position;
    double time = 0;
    for (uint32_t i = 0; i < c->n_chunks; i++) {
        if (c->chunk_tokens[i] == s->tokens) time = c->chunk[i];
    }
    return time + c->chunk_pair * s->tokens * position;
}

void el_cli_fit_over(const el_cli_series *s, const edgellm_costs *c, double *out)
{
    for (size_t i = 0; i < s->n; i++)
        out[i] = s->ns[i] - forecast(s, c, s->position[i]);
    el_cli_sort(out, s->n);
}

double el_cli_fit_share(const el_cli_series *s, const edgellm_costs *c, double *scratch)
{
    for (size_t i = 0; i < s->n; i++) {
        const double expected = forecast(s, c, s->position[i]);
        scratch[i] = expected > 0 ? s->ns[i] / expected : 1;
    }
    el_cli_sort(scratch, s->n);
    return el_cli_median(scratch, s->n);
}

double el_cli_fit_most_over(const el_cli_series *s, const edgellm_costs *c)
{
    double most = s->worst_ns - forecast(s, c, s->worst_position);
    for (size_t i = 0; i < s->n; i++) {
        const double over = s->ns[i] - forecast(s, c, s->position[i]);
        if (over > most) most = over;
    }
    return most > 0 ? most : 0;
}

static double margin(const el_cli_series *s, const edgellm_costs *c, double *scratch)
{
    const size_t above = s->n >= 1000 ? s->n / 100 : s->n >= 100 ? s->n / 10 : 0;
    if (above == 0) return el_cli_fit_most_over(s, c);
    el_cli_fit_over(s, c, scratch);
    const double over = scratch[s->n - 1 - above];
    return over > 0 ? over : 0;
}

void el_cli_fit(const el_cli_series *series, uint32_t n, double *scratch, edgellm_costs *c)
{
    *c = (edgellm_costs){.n_chunks = 0};
    fit_steps(&series[0], scratch, c);
    fit_chunks(series + 1, n - 1, scratch, c);
    c->step_margin = margin(&series[0], c, scratch);
    c->chunk_margin = margin(&series[n - 1], c, scratch);
}
