/*
 * cli_climate.h: heat, clock and energy while answers are made, and holding back for them: an even
 * rate of tokens (--target-rate), or whatever rate keeps the processor below a temperature
 * (--max-temp). Tokens are computed as fast as ever and given out at their time.
 *
 * What the machine does not tell is absent. Between tokens nothing is read but by --max-temp, four
 * times a second, and a meter of power, ten times a second, which --rt leaves out.
 */
#ifndef EL_CLI_CLI_CLIMATE_H
#define EL_CLI_CLI_CLIMATE_H

#include <jansson.h>

#include "cli/cli_meter.h"
#include "cli/cli_options.h"
#include "cli/cli_sensors.h"
#include "cli/cli_thermostat.h"

/* Options, embedded in a command's values under the name `climate`. */
typedef struct el_cli_climate_values {
    float target_rate; /* tokens a second; 0: as fast as it goes */
    float max_temp;    /* degrees Celsius; 0: none */
    const char *root;  /* NULL: this system */
} el_cli_climate_values;

#define EL_CLI_CLIMATE_ROWS(type)                                                                  \
    {.name = "target-rate",                                                                        \
     .kind = EL_CLI_FLOAT,                                                                         \
     .field = offsetof(type, climate.target_rate),                                                 \
     .argument = "R",                                                                              \
     .help = "give tokens out evenly, R a second, not as fast as it goes",                         \
     .min = 0.01,                                                                                  \
     .max = 1e6},                                                                                  \
        {.name = "max-temp",                                                                       \
         .kind = EL_CLI_FLOAT,                                                                     \
         .field = offsetof(type, climate.max_temp),                                                \
         .argument = "C",                                                                          \
         .help = "lower the rate so that the processor stays below C degrees Celsius",             \
         .min = 20,                                                                                \
         .max = 150},                                                                              \
    {                                                                                              \
        .name = "root", .kind = EL_CLI_TEXT, .field = offsetof(type, climate.root),                \
        .argument = "DIR", .help = "read sensors and meters below DIR instead of this system's"    \
    }

typedef struct el_cli_reading {
    int64_t heat, khz, flags; /* cli_sensors.h; EL_CLI_UNKNOWN */
} el_cli_reading;

typedef struct el_cli_climate {
    el_cli_climate_values asked;
    el_cli_tree *tree; /* owned; NULL: not open, and every call but open is without effect */
    el_cli_zones zones;
    int zone, core;
    el_cli_reading first, last;
    int64_t heat_most;
    el_cli_meter meter;
    double prompt_joules, answer_joules;
    uint64_t steps; /* tokens after the first of each answer */
    bool lost;      /* energy of some answer is not known */
    /* holding back */
    el_cli_schedule schedule;
    el_cli_thermostat thermostat;
    double compute_ms; /* of a token, smoothed */
    double looked_ms, waited_ms, duty_least;
    uint32_t blind; /* looks at which no temperature could be read, of those for --max-temp */
} el_cli_climate;

/* `realtime`: no meter that would have to be read between tokens. Release in any case. Errors:
 * MEMORY; IO (--max-temp, and no temperature can be read). */
edgellm_status el_cli_climate_open(el_cli_climate *c, const el_cli_climate_values *asked,
                                   bool realtime, edgellm_error *err);
void el_cli_climate_release(el_cli_climate *c);

/* Is anything held back? */
bool el_cli_climate_paces(const el_cli_climate *c);

/* Around an answer: before its prompt; between prompt and first token; after the last of `steps`
 * more. Figures add up over answers. */
void el_cli_climate_begin(el_cli_climate *c);
void el_cli_climate_answer(el_cli_climate *c);
void el_cli_climate_end(el_cli_climate *c, size_t steps);

/* The first token is given out now. */
void el_cli_climate_first(el_cli_climate *c, double now_ms);

/* A token is ready that was begun at `began`: waits until it is its turn, or for a signal. Returns
 * how many milliseconds. */
double el_cli_climate_hold(el_cli_climate *c, double began_ms);

/* The same for a piece of a prompt: rests as long as the temperature asks for. */
void el_cli_climate_rest(el_cli_climate *c, double began_ms);

/* "temperature", "clock", "firmware", "energy", "pace": null what there is none of. */
json_t *el_cli_climate_json(const el_cli_climate *c);

/* " | up to 61.2 C | 0.412 J a token | ..." to `out`; nothing of what there is none of. */
void el_cli_climate_print(const el_cli_climate *c, FILE *out);

/* The same as lines of a report. */
void el_cli_climate_print_lines(const el_cli_climate *c, FILE *out);

#endif
