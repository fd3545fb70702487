/*
 * cli_thermostat.h: how fast to compute, as pure arithmetic on times that are arguments.
 *
 * The schedule is absolute: a token is due a period after the one before was due, so that a late
 * one does not shift the rest; one that is late by a period or more begins the schedule anew, so
 * that those after it do not come in a rush.
 *
 * The thermostat turns temperatures into a duty: the share of the time in which to compute, 1 if
 * nothing is to be held back. It is a proportional-integral law. Below limit - BAND the duty is 1;
 * from there on it falls with the temperature, and the integral moves it until the temperature
 * stands still AIM below the limit. What rises is taken for where it will be in some seconds. Heat
 * follows the duty nearly linearly, so that both settle instead of swinging as they do where a
 * clock is cut and given back.
 */
#ifndef EL_CLI_CLI_THERMOSTAT_H
#define EL_CLI_CLI_THERMOSTAT_H

#include <stdbool.h>

typedef struct el_cli_schedule {
    double due_ms; /* of the next token */
} el_cli_schedule;

/* A token came at `now`; the next one is due a period later. */
void el_cli_schedule_begin(el_cli_schedule *s, double now_ms, double period_ms);

/* A token is ready at `now`: when it is to be given out, `now` or later. Moves on to the next. */
double el_cli_schedule_take(el_cli_schedule *s, double now_ms, double period_ms);

#define EL_CLI_DUTY_LEAST 0.05 /* some progress is made at any temperature */

typedef struct el_cli_thermostat {
    double limit;                                  /* degrees Celsius */
    double smooth, slope, integral, duty, last_ms; /* slope: degrees a second */
    bool begun;
} el_cli_thermostat;

void el_cli_thermostat_begin(el_cli_thermostat *t, double limit);

/* A reading at `now`; returns the duty from now on. */
double el_cli_thermostat_step(el_cli_thermostat *t, double now_ms, double celsius);

#endif
