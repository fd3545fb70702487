#include "cli/quantize_pace.h"

#include <math.h>
#include <stdio.h>

static const double fades = 120;                     /* seconds: what is older counts little */
static const double leap = 0.01, leap_seconds = 0.1; /* so much in less than that */
static const double first_share = 0.03, first_seconds = 3;

void el_cli_pace_note(el_cli_pace *p, double seconds, double done)
{
    double took = seconds - p->seconds, gain = done - p->done;
    p->seconds = seconds;
    p->done = done;
    if (!p->begun || (gain >= leap && took < leap_seconds)) {
        p->spent = p->managed = 0;
        p->begun = true;
        return;
    }
    double remains = exp(-took / fades);
    p->spent = p->spent * remains + took;
    p->managed = p->managed * remains + gain;
}

double el_cli_pace_left(const el_cli_pace *p)
{
    bool known = p->done >= first_share && p->spent >= first_seconds && p->managed > 0;
    return known ? (1 - p->done) * p->spent / p->managed : NAN;
}

void el_cli_pace_text(double seconds, char *text, size_t size)
{
    enum { MINUTE = 60, HOUR = 3600, FINE = 10 * MINUTE };
    long coarse = seconds < MINUTE ? 5 : seconds < FINE ? 10 : MINUTE;
    long s = lround(seconds / (double)coarse) * coarse;
    if (s < MINUTE) {
        snprintf(text, size, "%ld s", s > 0 ? s : coarse);
    } else if (s < FINE && s % MINUTE != 0) {
        snprintf(text, size, "%ld min %ld s", s / MINUTE, s % MINUTE);
    } else if (s < HOUR) {
        snprintf(text, size, "%ld min", s / MINUTE);
    } else {
        snprintf(text, size, "%ld h %ld min", s / HOUR, s % HOUR / MINUTE);
    }
}
