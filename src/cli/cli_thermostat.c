#include "cli/cli_thermostat.h"

#include <math.h>

/* Chosen on models of boards (tests/test_thermostat.c) from a chip that warms up in a second to a
 * case that takes minutes, with sensors that lag, step by whole degrees and jitter. */
static const double band = 10;       /* degrees below the limit in which the duty is moved */
static const double aim = 2;         /* degrees below the limit at which it settles */
static const double gain = 0.07;     /* duty for a degree */
static const double integral_s = 15; /* seconds in which the integral does as much again */
static const double cautious = 2;    /* degrees that the integral counts at most */
static const double ahead_s = 3;     /* seconds that what rises is looked ahead */
static const double slope_s = 2;     /* of the slope */
static const double smoothing_s = 1; /* of readings */

/* ---- schedule ----------------------------------------------------------------------------- */

void el_cli_schedule_begin(el_cli_schedule *s, double now_ms, double period_ms)
{
    s->due_ms = now_ms + period_ms;
}

double el_cli_schedule_take(el_cli_schedule *s, double now_ms, double period_ms)
{
    const double due = s->due_ms;
    const bool fresh = now_ms - due >= period_ms;
    s->due_ms = (fresh ? now_ms : due) + period_ms;
    return due > now_ms ? due : now_ms;
}

/* ---- thermostat --------------------------------------------------------------------------- */

static double between(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

/* With this integral the duty is 1 where the band begins. */
static double resting_integral(void)
{
    return 1 - gain * (band - aim);
}

void el_cli_thermostat_begin(el_cli_thermostat *t, double limit)
{
    *t = (el_cli_thermostat){.limit = limit, .integral = resting_integral(), .duty = 1};
}

static double weight(double seconds, double of)
{
    return 1 - exp(-seconds / of);
}

/* The temperature, smoothed, and where it will be if it rises. */
static double expected(el_cli_thermostat *t, double celsius, double seconds)
{
    if (!t->begun) t->smooth = celsius;
    const double step = (celsius - t->smooth) * weight(seconds, smoothing_s);
    t->smooth += step;
    t->begun = true;
    if (seconds > 0) t->slope += (step / seconds - t->slope) * weight(seconds, slope_s);
    return t->smooth + (t->slope > 0 ? t->slope * ahead_s : 0);
}

double el_cli_thermostat_step(el_cli_thermostat *t, double now_ms, double celsius)
{
    const double seconds = t->begun && now_ms > t->last_ms ? (now_ms - t->last_ms) / 1e3 : 0;
    const double now = expected(t, celsius, seconds), error = t->limit - aim - now;
    t->last_ms = now_ms;
    if (now < t->limit - band) t->integral = resting_integral();
    /* At an end of the range the integral does not go on, or it would have to come back first. */
    const double wanted = gain * error + t->integral;
    const bool stuck = (wanted >= 1 && error > 0) || (wanted <= EL_CLI_DUTY_LEAST && error < 0);
    const double learnt = between(error, -cautious, cautious); /* on the way up it learns little */
    if (!stuck) t->integral = between(t->integral + gain / integral_s * learnt * seconds, -1, 1);
    t->duty = between(gain * error + t->integral, EL_CLI_DUTY_LEAST, 1);
    return t->duty;
}
