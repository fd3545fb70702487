#include "cli/pull_progress.h"

#include <stdio.h>

#include "cli/cli_output.h"
#include "cli/cli_stats.h"

static const double between_ms = 200;

static void draw_total(const el_pull_progress *p)
{
    if (p->total == EL_PULL_UNKNOWN || p->total == 0) {
        fprintf(stderr, "\r%.50s, %.1f MB", p->name, (double)p->done / EL_CLI_MB);
    } else {
        fprintf(stderr, "\r[%3.0f %%] %.50s, %.1f of %.1f MB",
                (double)p->done * 100 / (double)p->total, p->name, (double)p->done / EL_CLI_MB,
                (double)p->total / EL_CLI_MB);
    }
}

static void draw_rate(const el_pull_progress *p, double now)
{
    const double seconds = (now - p->began_ms) / 1e3;
    if (seconds < 1 || p->done <= p->began_done) return;
    const double rate = (double)(p->done - p->began_done) / seconds;
    fprintf(stderr, ", %.1f MB/s", rate / EL_CLI_MB);
    if (p->total != EL_PULL_UNKNOWN && p->total > p->done)
        fprintf(stderr, ", %.0f s left", (double)(p->total - p->done) / rate);
}

void el_pull_progress_draw(el_pull_progress *p, uint64_t bytes)
{
    const double now = el_cli_now_ms();
    p->done = p->done_before + bytes;
    if (p->began_ms == 0) {
        p->began_ms = now;
        p->began_done = p->done;
    }
    if (!p->show || now - p->drawn_ms < between_ms) return;
    p->drawn_ms = now;
    draw_total(p);
    draw_rate(p, now);
    fputs("\033[K", stderr);
}

void el_pull_progress_pause(el_pull_progress *p)
{
    p->began_ms = 0;
}

void el_pull_progress_say(const el_pull_progress *p, const char *text)
{
    if (p->show) fprintf(stderr, "\r%.150s\033[K", text);
}

void el_pull_progress_clear(const el_pull_progress *p)
{
    if (p->show) fputs("\r\033[K", stderr);
}
