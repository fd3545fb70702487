/*
 * test_thermostat.c: the schedule of tokens on a made-up clock, and the thermostat on models of
 * boards: chip, board and case that warm up in seconds to minutes, sensors that lag, jitter and
 * step. It must settle below its limit, stand still there, and take back what it took when the
 * board is cooled.
 */
#include "support/test_help.h"

#include <math.h>

#include "cli/cli_thermostat.h"

/* ---- schedule ----------------------------------------------------------------------------- */

/* A token is worked on from when the one before was given out; returns when it is. */
static double next_token(el_cli_schedule *s, double now, double takes, double period)
{
    return el_cli_schedule_take(s, now + takes, period);
}

static void test_tokens_come_evenly(void **state)
{
    el_cli_schedule s;
    uint64_t seed = 5;
    double now = 1000;
    (void)state;
    el_cli_schedule_begin(&s, now, 100);
    for (int i = 1; i <= 10000; i++) {
        now = next_token(&s, now, (double)(next_random(&seed) % 100), 100);
        assert_true(now == 1000 + 100.0 * i); /* nothing adds up */
    }
}

/* Late by less than a period: the next comes at its own time, and not before. */
static void test_a_late_token_does_not_shift_the_rest(void **state)
{
    el_cli_schedule s;
    (void)state;
    el_cli_schedule_begin(&s, 0, 100);
    assert_true(next_token(&s, 0, 10, 100) == 100);
    assert_true(next_token(&s, 100, 160, 100) == 260);
    assert_true(next_token(&s, 260, 10, 100) == 300);
    assert_true(next_token(&s, 300, 10, 100) == 400);
}

/* After a long stall no token comes sooner after another than a period. */
static void test_a_stall_is_not_made_up_for(void **state)
{
    el_cli_schedule s;
    (void)state;
    el_cli_schedule_begin(&s, 0, 100);
    double now = next_token(&s, 0, 1234, 100);
    assert_true(now == 1234);
    for (int i = 1; i <= 5; i++) {
        now = next_token(&s, now, 1, 100);
        assert_true(now == 1234 + 100.0 * i);
    }
}

/* What is slower than the rate is as fast as it can be. */
static void test_a_rate_that_cannot_be_kept_costs_nothing(void **state)
{
    el_cli_schedule s;
    double now = 0;
    (void)state;
    el_cli_schedule_begin(&s, now, 10);
    for (int i = 1; i <= 100; i++) {
        now = next_token(&s, now, 35, 10);
        assert_true(now == 35.0 * i);
    }
}

static void test_the_period_may_change(void **state)
{
    el_cli_schedule s;
    (void)state;
    el_cli_schedule_begin(&s, 0, 100);
    assert_true(next_token(&s, 0, 10, 50) == 100);
    assert_true(next_token(&s, 100, 10, 50) == 150);
    assert_true(next_token(&s, 150, 10, 200) == 200);
    assert_true(next_token(&s, 200, 10, 200) == 400);
}

/* ---- boards ------------------------------------------------------------------------------- */

enum { PARTS = 2 };

/* Each part adds its degrees at full load, after its time. */
typedef struct board {
    const char *name;
    double ambient, degrees[PARTS], seconds[PARTS];
} board;

static const board boards[] = {
    {"bare board", 45, {15, 30}, {4, 120}}, {"small chip", 50, {40, 0}, {6, 1}},
    {"heavy case", 35, {60, 0}, {200, 1}},  {"hot chip on a board", 40, {35, 20}, {0.8, 60}},
    {"telephone", 35, {10, 45}, {2, 400}},
};
enum { BOARDS = sizeof boards / sizeof boards[0] };

typedef struct sensor {
    double lag, step, jitter; /* seconds; degrees, rounded down; degrees */
} sensor;

static const sensor sensors[] = {{0, 0, 0}, {1, 1, 0}, {2, 0.5, 0.3}};
enum { SENSORS = sizeof sensors / sizeof sensors[0] };

static const double look_s = 0.25;

typedef struct sim {
    const board *b;
    const sensor *s;
    double part[PARTS], ambient, felt, duty, now;
    double above_s; /* seconds for which it was hotter than the limit, beyond the sensor's steps */
    uint64_t seed;
    el_cli_thermostat t;
} sim;

static sim start(const board *b, const sensor *s, double limit)
{
    sim m = {.b = b, .s = s, .ambient = b->ambient, .felt = b->ambient, .duty = 1, .seed = 77};
    el_cli_thermostat_begin(&m.t, limit);
    return m;
}

static double true_heat(const sim *m)
{
    return m->ambient + m->part[0] + m->part[1];
}

static double toward(double value, double target, double seconds, double of)
{
    return of > 0 ? value + (target - value) * (1 - exp(-seconds / of)) : target;
}

static double read_sensor(sim *m)
{
    const double unit = (double)(next_random(&m->seed) >> 11) * 0x1p-53;
    double value = m->felt + (2 * unit - 1) * m->s->jitter;
    return m->s->step > 0 ? floor(value / m->s->step) * m->s->step : value;
}

/* A look later; the surroundings come to be `cooler` by so many degrees, within a minute or two. */
static void go_on(sim *m, double cooler)
{
    for (int i = 0; i < PARTS; i++)
        m->part[i] = toward(m->part[i], m->b->degrees[i] * m->duty, look_s, m->b->seconds[i]);
    m->ambient = toward(m->ambient, m->b->ambient - cooler, look_s, 40);
    m->felt = toward(m->felt, true_heat(m), look_s, m->s->lag);
    m->now += look_s;
    m->duty = el_cli_thermostat_step(&m->t, m->now * 1e3, read_sensor(m));
    if (true_heat(m) > m->t.limit + m->s->step + m->s->jitter) m->above_s += look_s;
}

typedef struct range {
    double least, most;
} range;

static void widen(range *r, double value)
{
    if (value < r->least) r->least = value;
    if (value > r->most) r->most = value;
}

/* Runs for `seconds`; the ranges of its last quarter. */
static void run(sim *m, double seconds, double cooler, range *heat, range *duty)
{
    const double end = m->now + seconds, late = end - seconds / 4;
    *heat = *duty = (range){1e9, -1e9};
    while (m->now < end) {
        go_on(m, cooler);
        if (m->now < late) continue;
        widen(heat, true_heat(m));
        widen(duty, m->duty);
    }
}

static void check_settled(const sim *m, double limit)
{
    range heat, duty;
    sim copy = *m;
    const double rough = m->s->step + m->s->jitter;
    const char *name = m->b->name;
    run(&copy, 3600, 0, &heat, &duty);
    /* A chip that heats by tens of degrees within a second is there before any sensor tells. */
    if (copy.above_s > 10) fail_msg("%s: %.0f s above %.0f", name, copy.above_s, limit);
    if (heat.most > limit) fail_msg("%s: ends at %.2f", name, heat.most);
    if (heat.least < limit - 3) fail_msg("%s: ends at %.2f only", name, heat.least);
    /* No sawtooth: it stands still, but for what the sensor makes up. */
    if (heat.most - heat.least > 0.01 + 2.5 * rough) fail_msg("%s swings in heat", name);
    if (duty.most - duty.least > 0.01 + 0.12 * rough)
        fail_msg("%s swings in duty, %.3f to %.3f", name, duty.least, duty.most);
}

static void test_every_board_settles_below_its_limit(void **state)
{
    (void)state;
    for (int b = 0; b < BOARDS; b++)
        for (int s = 0; s < SENSORS; s++)
            for (int limit = 65; limit <= 80; limit += 5) {
                const sim m = start(&boards[b], &sensors[s], limit);
                check_settled(&m, limit);
            }
}

static void test_a_cool_board_is_left_alone(void **state)
{
    (void)state;
    for (int b = 0; b < BOARDS; b++) {
        range heat, duty;
        sim m = start(&boards[b], &sensors[0], 120);
        run(&m, 1000, 0, &heat, &duty);
        assert_true(duty.least == 1);
    }
}

/* It is cooled: full speed again within minutes; and no longer: held back again. */
static void test_the_rate_is_given_back(void **state)
{
    (void)state;
    for (int b = 0; b < BOARDS; b++) {
        range heat, duty;
        const double limit = 75;
        sim m = start(&boards[b], &sensors[1], limit);
        run(&m, 3600, 0, &heat, &duty);
        assert_true(duty.most < 1);
        run(&m, 1800, 40, &heat, &duty);
        assert_true(duty.least == 1);
        run(&m, 3600, 0, &heat, &duty); /* a case that is hot stays so for a while */
        if (heat.most > limit || duty.most == 1)
            fail_msg("%s: %.2f, duty up to %.3f", m.b->name, heat.most, duty.most);
    }
}

/* Something else heats: the least duty, and never none. */
static void test_some_progress_at_any_temperature(void **state)
{
    el_cli_thermostat t;
    (void)state;
    el_cli_thermostat_begin(&t, 60);
    for (int i = 0; i < 1000; i++)
        assert_true(el_cli_thermostat_step(&t, i * 250.0, 95) >= EL_CLI_DUTY_LEAST);
    assert_true(t.duty == EL_CLI_DUTY_LEAST);
    /* It was hot for long; that does not hold it back once it is cool. */
    for (int i = 1000; i < 1060; i++)
        el_cli_thermostat_step(&t, i * 250.0, 40);
    assert_true(t.duty == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_come_evenly),
        cmocka_unit_test(test_a_late_token_does_not_shift_the_rest),
        cmocka_unit_test(test_a_stall_is_not_made_up_for),
        cmocka_unit_test(test_a_rate_that_cannot_be_kept_costs_nothing),
        cmocka_unit_test(test_the_period_may_change),
        cmocka_unit_test(test_every_board_settles_below_its_limit),
        cmocka_unit_test(test_a_cool_board_is_left_alone),
        cmocka_unit_test(test_the_rate_is_given_back),
        cmocka_unit_test(test_some_progress_at_any_temperature),
    };
    return cmocka_run_group_tests_name("thermostat", tests, NULL, NULL);
}
