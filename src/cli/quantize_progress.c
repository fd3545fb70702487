#include "cli/quantize_progress.h"

#include <math.h>
#include <stdio.h>

#include "cli/cli_stats.h"

static const double between = 0.2; /* seconds from one drawing to the next */

void el_cli_progress_draw(el_cli_progress *p, const char *stage, double done)
{
    double now = el_cli_now_ms() / 1e3;
    char left[32] = "";
    if (!p->show) return;
    el_cli_pace_note(&p->pace, now, done);
    if (now - p->drawn < between) return;
    p->drawn = now;
    double seconds = el_cli_pace_left(&p->pace);
    if (!isnan(seconds)) el_cli_pace_text(seconds, left, sizeof left);
    fprintf(stderr, "\r[%3.0f %%] %.60s%s%s%s\033[K", floor(done * 100), stage,
            left[0] != '\0' ? ", " : "", left, left[0] != '\0' ? " left" : "");
}

void el_cli_progress_clear(const el_cli_progress *p)
{
    if (p->show) fputs("\r\033[K", stderr);
}
