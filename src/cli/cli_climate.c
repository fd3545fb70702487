#include "cli/cli_climate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli_output.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

static const double look_ms = 250; /* between two looks at the temperature */
static const double share = 0.125; /* of the last token in what one takes */

/* ---- reading ------------------------------------------------------------------------------ */

static double celsius(int64_t thousandths)
{
    return (double)thousandths / 1e3;
}

static el_cli_reading read_now(el_cli_climate *c)
{
    const el_cli_reading r = {el_cli_zones_hottest(c->tree, &c->zones, &c->zone),
                              el_cli_core_khz(c->tree, c->core),
                              el_cli_firmware_throttled(c->tree)};
    if (r.heat > c->heat_most) c->heat_most = r.heat;
    return r;
}

static void find_meter(el_cli_climate *c, bool realtime)
{
    el_cli_meter *m = &c->meter;
    el_cli_meter_find(m, c->tree);
    if (!realtime || m->kind == EL_CLI_METER_NONE || m->kind == EL_CLI_METER_COUNTER) return;
    m->kind = EL_CLI_METER_NONE;
    snprintf(m->why, sizeof m->why,
             "it tells power, and would have to be read between tokens: not with --rt");
}

edgellm_status el_cli_climate_open(el_cli_climate *c, const el_cli_climate_values *asked,
                                   bool realtime, edgellm_error *err)
{
    *c = (el_cli_climate){.asked = *asked, .heat_most = EL_CLI_UNKNOWN, .duty_least = 1};
    c->first = c->last = (el_cli_reading){EL_CLI_UNKNOWN, EL_CLI_UNKNOWN, EL_CLI_UNKNOWN};
    c->tree = malloc(sizeof *c->tree);
    if (c->tree == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to read /sys");
    c->tree->root = asked->root != NULL ? asked->root : "";
    el_cli_zones_find(c->tree, &c->zones);
    find_meter(c, realtime);
    el_cli_thermostat_begin(&c->thermostat, (double)asked->max_temp);
    if (asked->max_temp <= 0 || c->zones.n > 0) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_IO,
                       "--max-temp needs a temperature: '%.200s/sys/class/thermal' has no zone "
                       "that can be read (see edgellm doctor); --target-rate needs none",
                       c->tree->root);
}

void el_cli_climate_release(el_cli_climate *c)
{
    free(c->tree);
    c->tree = NULL;
}

/* ---- around an answer --------------------------------------------------------------------- */

void el_cli_climate_begin(el_cli_climate *c)
{
    if (c->tree == NULL) return;
    c->core = el_cli_own_core(); /* known now: with --rt the session has pinned this thread */
    const el_cli_reading now = read_now(c);
    if (c->first.heat == EL_CLI_UNKNOWN && c->first.khz == EL_CLI_UNKNOWN &&
        c->first.flags == EL_CLI_UNKNOWN)
        c->first = now;
    c->last = now;
    el_cli_meter_begin(&c->meter, c->tree, el_cli_now_ms());
}

static double meter_joules(el_cli_climate *c)
{
    el_cli_meter_read(&c->meter, c->tree, el_cli_now_ms());
    c->lost = c->lost || c->meter.lost;
    const double joules = c->meter.joules;
    c->meter.joules = 0;
    return joules;
}

void el_cli_climate_answer(el_cli_climate *c)
{
    if (c->tree != NULL) c->prompt_joules += meter_joules(c);
}

void el_cli_climate_end(el_cli_climate *c, size_t steps)
{
    if (c->tree == NULL) return;
    c->answer_joules += meter_joules(c);
    c->steps += steps;
    c->last = read_now(c);
}

/* ---- holding back ------------------------------------------------------------------------- */

bool el_cli_climate_paces(const el_cli_climate *c)
{
    return c->tree != NULL && (c->asked.target_rate > 0 || c->asked.max_temp > 0);
}

/* Absolute, so that being woken late does not add up. A signal that asks to stop ends it. */
static void sleep_until(double ms)
{
    struct timespec t;
    t.tv_sec = (time_t)(ms / 1e3);
    t.tv_nsec = (long)((ms - (double)t.tv_sec * 1e3) * 1e6);
    while (el_cli_interrupted() == 0 &&
           clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
    }
}

/* Temperature and meter, where it is time. A temperature that cannot be read changes nothing, and
 * is told: nobody holds the board below the limit then. */
static void look(el_cli_climate *c, double now)
{
    const el_cli_meter *m = &c->meter;
    if (m->kind != EL_CLI_METER_NONE && now - m->last_ms >= el_cli_meter_patience(m))
        el_cli_meter_read(&c->meter, c->tree, now);
    if (c->asked.max_temp <= 0 || now - c->looked_ms < look_ms) return;
    c->looked_ms = now;
    const int64_t heat = el_cli_zones_hottest(c->tree, &c->zones, &c->zone);
    if (heat == EL_CLI_UNKNOWN) {
        c->blind++;
        return;
    }
    if (heat > c->heat_most) c->heat_most = heat;
    const double duty = el_cli_thermostat_step(&c->thermostat, now, celsius(heat));
    if (duty < c->duty_least) c->duty_least = duty;
}

/* From token to token; 0: nothing is held back. */
static double period(const el_cli_climate *c)
{
    const double rate = (double)c->asked.target_rate, duty = c->thermostat.duty;
    const double even = rate > 0 ? 1e3 / rate : 0;
    const double cool = duty < 1 ? c->compute_ms / duty : 0;
    return even > cool ? even : cool;
}

void el_cli_climate_first(el_cli_climate *c, double now_ms)
{
    if (!el_cli_climate_paces(c)) return;
    el_cli_schedule_begin(&c->schedule, now_ms, period(c));
}

double el_cli_climate_hold(el_cli_climate *c, double began_ms)
{
    if (c->tree == NULL) return 0;
    const double now = el_cli_now_ms(), took = now - began_ms;
    c->compute_ms += c->compute_ms > 0 ? share * (took - c->compute_ms) : took;
    look(c, now);
    if (!el_cli_climate_paces(c)) return 0;
    const double due = el_cli_schedule_take(&c->schedule, now, period(c));
    if (due <= now) return 0;
    sleep_until(due);
    const double waited = el_cli_now_ms() - now;
    c->waited_ms += waited;
    return waited;
}

void el_cli_climate_rest(el_cli_climate *c, double began_ms)
{
    if (c->tree == NULL || c->asked.max_temp <= 0) return;
    const double now = el_cli_now_ms();
    look(c, now);
    const double rest = (now - began_ms) * (1 / c->thermostat.duty - 1);
    if (rest <= 0) return;
    sleep_until(now + rest);
    c->waited_ms += el_cli_now_ms() - now;
}

/* ---- reports ------------------------------------------------------------------------------ */

static json_t *known(int64_t value, double unit)
{
    return el_cli_json_real(value != EL_CLI_UNKNOWN ? (double)value / unit : NAN);
}

static json_t *temperature_json(const el_cli_climate *c)
{
    char name[EL_CLI_ZONE_NAME];
    if (c->heat_most == EL_CLI_UNKNOWN) return json_null();
    json_t *o = json_object();
    el_cli_zone_name(c->tree, c->zone, name);
    json_object_set_new(o, "zone", json_string(name));
    json_object_set_new(o, "first_c", known(c->first.heat, 1e3));
    json_object_set_new(o, "most_c", known(c->heat_most, 1e3));
    json_object_set_new(o, "last_c", known(c->last.heat, 1e3));
    return o;
}

static json_t *pair_json(int64_t first, int64_t last, double unit)
{
    if (last == EL_CLI_UNKNOWN) return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "first", known(first, unit));
    json_object_set_new(o, "last", known(last, unit));
    return o;
}

static double joules_per_token(const el_cli_climate *c)
{
    return c->steps > 0 && !c->lost ? c->answer_joules / (double)c->steps : NAN;
}

static json_t *energy_json(const el_cli_climate *c)
{
    const el_cli_meter *m = &c->meter;
    const bool works = m->kind != EL_CLI_METER_NONE;
    if (m->title[0] == '\0') return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "meter", json_string(m->title));
    json_object_set_new(o, "why", works ? json_null() : json_string(m->why));
    json_object_set_new(o, "prompt_joules",
                        el_cli_json_real(works && !c->lost ? c->prompt_joules : NAN));
    json_object_set_new(o, "answer_joules",
                        el_cli_json_real(works && !c->lost ? c->answer_joules : NAN));
    json_object_set_new(o, "joules_per_token", el_cli_json_real(works ? joules_per_token(c) : NAN));
    return o;
}

static json_t *wanted_json(float value)
{
    return el_cli_json_real(value > 0 ? (double)value : NAN);
}

static json_t *pace_json(const el_cli_climate *c)
{
    if (!el_cli_climate_paces(c)) return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "target_rate", wanted_json(c->asked.target_rate));
    json_object_set_new(o, "max_temp_c", wanted_json(c->asked.max_temp));
    json_object_set_new(o, "waited_ms", json_real(c->waited_ms));
    json_object_set_new(o, "duty_least",
                        el_cli_json_real(c->asked.max_temp > 0 ? c->duty_least : NAN));
    json_object_set_new(o, "blind_looks",
                        c->asked.max_temp > 0 ? json_integer(c->blind) : json_null());
    return o;
}

json_t *el_cli_climate_json(const el_cli_climate *c)
{
    if (c->tree == NULL) return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "temperature", temperature_json(c));
    json_object_set_new(o, "clock_mhz", pair_json(c->first.khz, c->last.khz, 1e3));
    json_object_set_new(o, "firmware_throttled", pair_json(c->first.flags, c->last.flags, 1));
    json_object_set_new(o, "energy", energy_json(c));
    json_object_set_new(o, "pace", pace_json(c));
    return o;
}

static void print_pace(const el_cli_climate *c, const char *title, FILE *out)
{
    fprintf(out, "%s %.1f s", title, c->waited_ms / 1e3);
    if (c->asked.max_temp > 0) fprintf(out, ", duty at least %.2f", c->duty_least);
    if (c->blind > 0) fprintf(out, ", blind %u times: no temperature could be read", c->blind);
}

void el_cli_climate_print(const el_cli_climate *c, FILE *out)
{
    const double joules = joules_per_token(c);
    if (c->tree == NULL) return;
    if (c->heat_most != EL_CLI_UNKNOWN) fprintf(out, " | up to %.1f C", celsius(c->heat_most));
    if (c->meter.kind != EL_CLI_METER_NONE && !isnan(joules))
        fprintf(out, " | %.3g J a token", joules);
    if (!el_cli_climate_paces(c)) return;
    fprintf(out, " | ");
    print_pace(c, "held back for", out);
}

static void print_energy(const el_cli_climate *c, FILE *out)
{
    const el_cli_meter *m = &c->meter;
    if (m->title[0] == '\0') return;
    fprintf(out, "energy          ");
    if (m->kind == EL_CLI_METER_NONE) {
        fprintf(out, "%s is not read: %s\n", m->title, m->why);
    } else if (isnan(joules_per_token(c))) {
        fprintf(out, "%s could not be read\n", m->title);
    } else {
        fprintf(out, "%.3g J a token, %.3g J for prompts (%s, idle included)\n",
                joules_per_token(c), c->prompt_joules, m->title);
    }
}

void el_cli_climate_print_lines(const el_cli_climate *c, FILE *out)
{
    char name[EL_CLI_ZONE_NAME];
    if (c->tree == NULL) return;
    if (c->heat_most != EL_CLI_UNKNOWN) {
        el_cli_zone_name(c->tree, c->zone, name);
        fprintf(out, "temperature     up to %.1f C (%s)\n", celsius(c->heat_most), name);
    }
    print_energy(c, out);
    if (!el_cli_climate_paces(c)) return;
    print_pace(c, "held back       for", out);
    fprintf(out, "\n");
}
