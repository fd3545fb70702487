#include "engine/forecast.h"

/* ---- costs that make sense ---------------------------------------------------------------- */

static bool is_time(double x)
{
    return x >= 0 && x < 1e18; /* 30 years */
}

/* A table of times by number: `what` are counted. */
typedef struct table {
    const char *name, *what;
    uint32_t rows, most;
    const uint32_t *counts;
    const double *times;
} table;

static edgellm_status check_table(const table *t, edgellm_error *err)
{
    if (t->rows > t->most)
        return el_fail(err, EDGELLM_ERR_USAGE, "costs: %u rows of %s, at most %u", t->rows, t->name,
                       t->most);
    for (uint32_t i = 0, least = 2; i < t->rows; i++) {
        if (t->counts[i] < least || t->counts[i] == UINT32_MAX)
            return el_fail(err, EDGELLM_ERR_USAGE,
                           "costs: row %u of the %s has %u %s, %u at least are expected", i,
                           t->name, t->counts[i], t->what, least);
        if (!is_time(t->times[i]))
            return el_fail(err, EDGELLM_ERR_USAGE, "costs: row %u of the %s is no time: %g", i,
                           t->name, t->times[i]);
        least = t->counts[i] + 1;
    }
    return EDGELLM_OK;
}

static table chunks_of(const edgellm_costs *c)
{
    return (table){"chunks",        "tokens", c->n_chunks, EDGELLM_COSTS_CHUNKS,
                   c->chunk_tokens, c->chunk};
}

static table passes_of(const edgellm_costs *c)
{
    return (table){"passes",         "sessions", c->n_passes, EDGELLM_COSTS_PASSES,
                   c->pass_sessions, c->pass};
}

edgellm_status el_costs_check(const edgellm_costs *c, edgellm_error *err)
{
    const struct {
        const char *name;
        double time;
    } rows[] = {{"step", c->step},
                {"step_position", c->step_position},
                {"step_margin", c->step_margin},
                {"chunk_pair", c->chunk_pair},
                {"chunk_margin", c->chunk_margin},
                {"mask", c->mask},
                {"logprobs", c->logprobs},
                {"top_logprobs", c->top_logprobs}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!is_time(rows[i].time))
            return el_fail(err, EDGELLM_ERR_USAGE, "costs: %s is no time: %g", rows[i].name,
                           rows[i].time);
    const table chunks = chunks_of(c), passes = passes_of(c);
    EL_TRY(check_table(&chunks, err));
    return check_table(&passes, err);
}

/* ---- one after the other ------------------------------------------------------------------ */

double el_forecast_step(const edgellm_costs *c, uint32_t position)
{
    return c->step + c->step_position * position;
}

double el_forecast_steps(const edgellm_costs *c, uint32_t position, uint32_t n)
{
    if (n == 0) return 0;
    return n * (c->step + c->step_position * (position + (n - 1) / 2.0));
}

/* n at position 0: on the line between two rows; past the last, in proportion to it. The row before
 * the first is a step. */
static double table_at(const table *t, double step, uint32_t n)
{
    double count = 1, time = step;
    for (uint32_t i = 0; i < t->rows; i++) {
        if (n <= t->counts[i]) {
            const double share = (n - count) / (t->counts[i] - count);
            return time + share * (t->times[i] - time);
        }
        count = t->counts[i];
        time = t->times[i];
    }
    return time * (n / count);
}

double el_forecast_chunk(const edgellm_costs *c, uint32_t position, uint32_t n)
{
    const table chunks = chunks_of(c);
    if (n <= 1) return n * el_forecast_step(c, position);
    return table_at(&chunks, c->step, n) + c->chunk_pair * n * position;
}

double el_forecast_pass(const edgellm_costs *c, uint32_t count, uint64_t positions)
{
    const table passes = passes_of(c);
    return table_at(&passes, c->step, count) + c->step_position * (double)positions;
}

double el_forecast_needed(const edgellm_costs *c, uint32_t position, uint32_t n)
{
    const double time = el_forecast_chunk(c, position, n);
    const double slack = (EDGELLM_ADMITTED_AT - 1) * time;
    if (n <= 1) return time + c->step_margin;
    return time + (c->chunk_margin < slack ? c->chunk_margin : slack);
}

double el_forecast_prompt(const edgellm_costs *c, uint32_t position, uint32_t n, uint32_t batch)
{
    double time = 0;
    while (n > 0) {
        const uint32_t part = n < batch ? n : batch;
        time += el_forecast_chunk(c, position, part);
        position += part;
        n -= part;
    }
    return time;
}

uint32_t el_forecast_fitting(const edgellm_costs *c, uint32_t position, uint32_t most, double more,
                             double time)
{
    uint32_t fit = 0, too_many = most;
    if (el_forecast_steps(c, position, most) + most * more <= time) return most;
    while (too_many - fit > 1) {
        const uint32_t middle = fit + (too_many - fit) / 2;
        if (el_forecast_steps(c, position, middle) + middle * more <= time)
            fit = middle;
        else
            too_many = middle;
    }
    return fit;
}

double el_forecast_choice(const edgellm_costs *c, el_choice choice)
{
    return (choice.grammar ? c->mask : 0) + (choice.logprobs ? c->logprobs : 0) +
           (choice.top ? c->top_logprobs : 0);
}

/* ---- an answer ---------------------------------------------------------------------------- */

/* Of what the prompt ends with: a step, if that is one token. */
static double prompt_margin(const edgellm_costs *c, const el_forecast_question *q)
{
    if (q->prompt == 0) return 0;
    return q->batch < 2 || q->prompt % q->batch == 1 ? c->step_margin : c->chunk_margin;
}

/* The first token is chosen after the prompt; each other one takes a step of the one before it. */
edgellm_forecast el_forecast_answer(const edgellm_costs *c, const el_forecast_question *q)
{
    const uint32_t from = q->position + q->prompt, steps = q->answer - 1;
    const double more = el_forecast_choice(c, q->choice);
    edgellm_forecast f = {.first_ns =
                              el_forecast_prompt(c, q->position, q->prompt, q->batch) + more};
    f.answer_ns = f.first_ns + el_forecast_steps(c, from, steps) + steps * more;
    f.margin_ns = steps > 0 ? c->step_margin : prompt_margin(c, q);
    const double for_steps = q->within - f.first_ns - c->step_margin;
    if (q->within >= f.first_ns + prompt_margin(c, q)) f.tokens = 1;
    if (f.tokens > 0 && for_steps > 0)
        f.tokens += el_forecast_fitting(c, from, steps, more, for_steps);
    f.admitted = f.tokens == q->answer || q->within >= EDGELLM_ADMITTED_AT * f.answer_ns;
    return f;
}
