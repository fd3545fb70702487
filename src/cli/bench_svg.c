#include "cli/bench_svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli_stats.h"

enum {
    WIDTH = 960,
    HEIGHT = 120,
    LEFT = 64,   /* of the picture, for the numbers */
    BOTTOM = 20, /* and below */
    BINS = 96,
    TICKS = 4,
    COLUMNS = WIDTH - LEFT - 8,
    DOTS = 200, /* outliers shown in one timeline */
};

/* Of values to places. */
typedef struct axes {
    double x0, x1, y0, y1;
} axes;

static double clamp(double value, double low, double high)
{
    if (!(value > low)) return low;
    return value < high ? value : high;
}

static double x_of(const axes *a, double x)
{
    const double share = a->x1 > a->x0 ? (x - a->x0) / (a->x1 - a->x0) : 0;
    return LEFT + clamp(share, 0, 1) * COLUMNS;
}

static double y_of(const axes *a, double y)
{
    const double share = a->y1 > a->y0 ? (y - a->y0) / (a->y1 - a->y0) : 0;
    return HEIGHT - BOTTOM - clamp(share, 0, 1) * (HEIGHT - BOTTOM - 8);
}

/* Four digits, without an exponent. */
static const char *number(double value, char *room, size_t size)
{
    const double magnitude = fabs(value);
    snprintf(room, size, "%.*f",
             magnitude >= 1000 || magnitude <= 0 ? 0
             : magnitude >= 100                  ? 1
             : magnitude >= 10                   ? 2
                                                 : 3,
             value);
    return room;
}

static void begin(el_outfile *out, const axes *a, const char *title, const char *y_unit)
{
    char room[32];
    el_cli_bench_put(out,
                     "<svg viewBox=\"0 0 %d %d\" role=\"img\"><title>%s</title>\n"
                     "<path class=\"axis\" d=\"M%d %dH%dM%d 8V%d\"/>\n",
                     WIDTH, HEIGHT, title, LEFT, HEIGHT - BOTTOM, WIDTH - 8, LEFT, HEIGHT - BOTTOM);
    el_cli_bench_put(out, "<text x=\"%d\" y=\"16\" class=\"y\">%s%s</text>\n", LEFT - 4,
                     number(a->y1, room, sizeof room), y_unit);
    el_cli_bench_put(out, "<text x=\"%d\" y=\"%d\" class=\"y\">%s</text>\n", LEFT - 4,
                     HEIGHT - BOTTOM, number(a->y0, room, sizeof room));
}

/* The last one ends where the picture does. */
static void mark_x(el_outfile *out, const axes *a, const char *unit)
{
    char room[32];
    for (int i = 0; i <= TICKS; i++) {
        const double x = a->x0 + (a->x1 - a->x0) * i / TICKS;
        el_cli_bench_put(out, "<text x=\"%.1f\" y=\"%d\" class=\"%s\">%s%s</text>\n", x_of(a, x),
                         HEIGHT - 5, i < TICKS ? "x" : "y", number(x, room, sizeof room), unit);
    }
}

static void end(el_outfile *out)
{
    el_cli_bench_put(out, "</svg>\n");
}

/* ---- histogram ---------------------------------------------------------------------------- */

static size_t sorted_samples(const el_cli_bench_series *s, el_cli_bench_metric metric)
{
    size_t n = el_cli_bench_collect(s, metric, EL_CLI_BENCH_ALL, s->scratch);
    el_cli_sort(s->scratch, n);
    return n;
}

bool el_cli_bench_span_of(const el_cli_bench_report *report, el_cli_bench_metric metric,
                          el_cli_bench_span *span)
{
    const double share = 0.995;
    bool any = false;
    for (uint32_t i = 0; i < report->n; i++) {
        const el_cli_bench_row *row = &report->rows[i];
        if (row->backend == NULL && metric == EL_CLI_BENCH_FIRST) continue;
        const size_t n = sorted_samples(row->series, metric);
        if (n == 0) continue;
        const double low = row->series->scratch[0];
        const double high = row->series->scratch[(size_t)((double)(n - 1) * share)];
        span->low = any && span->low < low ? span->low : low;
        span->high = any && span->high > high ? span->high : high;
        any = true;
    }
    return any;
}

void el_cli_bench_put_histogram(el_outfile *out, const el_cli_bench_row *row,
                                el_cli_bench_metric metric, el_cli_bench_span span,
                                const char *colour)
{
    size_t bins[BINS] = {0}, most = 0;
    const size_t n = sorted_samples(row->series, metric);
    const double width = (span.high - span.low) / BINS;
    for (size_t i = 0; i < n; i++) {
        const double at = width > 0 ? (row->series->scratch[i] - span.low) / width : 0;
        size_t *bin = &bins[(size_t)clamp(at, 0, BINS - 1)];
        if (++*bin > most) most = *bin;
    }
    const axes a = {span.low, span.high, 0, (double)most};
    begin(out, &a, el_cli_bench_metric_titles[metric], "");
    for (int i = 0; i < BINS; i++) {
        if (bins[i] == 0) continue;
        const double y = y_of(&a, (double)bins[i]), step = (double)COLUMNS / BINS;
        el_cli_bench_put(out,
                         "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                         "fill=\"%s\"/>\n",
                         LEFT + i * step, y, step - 1, HEIGHT - BOTTOM - y, colour);
    }
    mark_x(out, &a, " ms");
    end(out);
}

/* ---- timeline ----------------------------------------------------------------------------- */

static double when(const el_cli_bench_series *s, uint32_t request, uint32_t token)
{
    return (s->requests[request].start_ms + el_cli_bench_times(s, request)[token]) * 1e-3;
}

/* The least and the greatest of each column. */
typedef struct columns {
    double low[COLUMNS + 1], high[COLUMNS + 1]; /* high 0: empty */
} columns;

static void note(columns *c, double x, double gap)
{
    const int i = (int)clamp(x - LEFT, 0, COLUMNS);
    if (c->high[i] <= 0 || gap < c->low[i]) c->low[i] = gap;
    if (gap > c->high[i]) c->high[i] = gap;
}

static axes timeline_axes(const el_cli_bench_series *s)
{
    axes a = {0, 0, 0, 0};
    for (uint32_t i = 0; i < s->n; i++) {
        const double *times = el_cli_bench_times(s, i);
        if (s->requests[i].count < 2) continue;
        if (a.x1 <= 0) a.x0 = when(s, i, 0);
        a.x1 = when(s, i, s->requests[i].count - 1);
        for (uint32_t t = 1; t < s->requests[i].count; t++)
            a.y1 = fmax(a.y1, times[t] - times[t - 1]);
    }
    return a;
}

static void put_columns(el_outfile *out, const el_cli_bench_series *s, const axes *a,
                        const char *colour)
{
    columns c = {.high = {0}};
    for (uint32_t i = 0; i < s->n; i++) {
        const double *times = el_cli_bench_times(s, i);
        for (uint32_t t = 1; t < s->requests[i].count; t++)
            note(&c, x_of(a, when(s, i, t)), times[t] - times[t - 1]);
    }
    el_cli_bench_put(out, "<path stroke=\"%s\" stroke-width=\"1.2\" d=\"", colour);
    for (int i = 0; i <= COLUMNS; i++) {
        if (c.high[i] <= 0) continue;
        el_cli_bench_put(out, "M%d %.1fV%.1f", LEFT + i, y_of(a, c.low[i]) + 0.6,
                         y_of(a, c.high[i]) - 0.6);
    }
    el_cli_bench_put(out, "\"/>\n");
}

static void put_dots(el_outfile *out, const el_cli_bench_row *row, const axes *a)
{
    char words[160];
    const size_t every = row->listed / DOTS + 1;
    for (size_t i = 0; i < row->listed; i += every) {
        const el_cli_bench_outlier *o = &row->outliers[i];
        el_cli_bench_put(out,
                         "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"><title>request %u, token %u: "
                         "%.2f ms: %s</title></circle>\n",
                         x_of(a, when(row->series, o->request, o->step)), y_of(a, o->gap),
                         o->request + 1, o->step + 1, o->gap,
                         row->backend != NULL
                             ? el_cli_bench_cause_words(o->causes, words, sizeof words)
                             : "not watched");
    }
}

void el_cli_bench_put_timeline(el_outfile *out, const el_cli_bench_row *row, const char *colour)
{
    axes a = timeline_axes(row->series);
    const double begun = a.x0;
    begin(out, &a, "gaps over time", " ms");
    put_columns(out, row->series, &a, colour);
    put_dots(out, row, &a);
    const axes since = {0, a.x1 - begun, a.y0, a.y1};
    mark_x(out, &since, " s");
    end(out);
}

/* ---- positions ---------------------------------------------------------------------------- */

void el_cli_bench_put_positions(el_outfile *out, const el_cli_bench_row *row, const char *colour)
{
    axes a = {0, 1, 0, 0};
    if (row->n_ranges == 0) return;
    a.x0 = (double)row->ranges[0].first;
    a.x1 = (double)row->ranges[row->n_ranges - 1].last;
    for (uint32_t i = 0; i < row->n_ranges; i++)
        a.y1 = fmax(a.y1, 1.25 * row->ranges[i].median);
    begin(out, &a, "gap by position", " ms");
    for (uint32_t i = 0; i < row->n_ranges; i++) {
        const el_cli_bench_range *r = &row->ranges[i];
        const double x = x_of(&a, (double)r->first), y = y_of(&a, r->median);
        el_cli_bench_put(out, "<path stroke=\"%s\" stroke-width=\"3\" d=\"M%.1f %.1fH%.1f\"/>\n",
                         colour, x, y, x_of(&a, (double)r->last) + 1);
    }
    if (!isnan(row->fit.b)) {
        el_cli_bench_put(out, "<path class=\"fit\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", x_of(&a, a.x0),
                         y_of(&a, row->fit.a + row->fit.b * a.x0), x_of(&a, a.x1),
                         y_of(&a, row->fit.a + row->fit.b * a.x1));
    }
    mark_x(out, &a, "");
    end(out);
}
