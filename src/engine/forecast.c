#include "engine/forecast.h"

/* ---- costs that make sense ---------------------------------------------------------------- */

static bool is_time(double x)
{
    return x >= 0 && x < 1e18; /* 30 years */
}

static edgellm_status check_table(const edgellm_costs *c, edgellm_error *err)
{
    if (c->n_chunks > EDGELLM_COSTS_CHUNKS)
        return el_fail(err, EDGELLM_ERR_USAGE, "costs: %u rows of chunks, at most %d", c->n_chunks,
                       EDGELLM_COSTS_CHUNKS);
    for (uint32_t i = 0, least = 2; i < c->n_chunks; i++) {
        if (c->chunk_tokens[i] < least || c->chunk_tokens[i] == UINT32_MAX)
            return el_fail(err, EDGELLM_ERR_USAGE,
                           "costs: row %u of the chunks has %u tokens, %u at least are expected", i,
                           c->chunk_tokens[i], least);
        if (!is_time(c->chunk[i]))
            return el_fail(err, EDGELLM_ERR_USAGE, "costs: row %u of the chunks is no time: %g", i,
                           c->chunk[i]);
        least = c->chunk_tokens[i] + 1;
    }
    return EDGELLM_OK;
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
                {"chunk_margin", c->chunk_margin}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!is_time(rows[i].time))
            return el_fail(err, EDGELLM_ERR_USAGE, "costs: %s is no time: %g", rows[i].name,
                           rows[i].time);
    return check_table(c, err);
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

/* n tokens at position 0: on the line between two rows; past the last, in proportion to it. The row
 * before the first is a step. */
static double table_at(const edgellm_costs *c, uint32_t n)
{
    double tokens = 1, time = c->step;
    for (uint32_t i = 0; i < c->n_chunks; i++) {
        if (n <= c->chunk_tokens[i]) {
            const double share = (n - tokens) / (c->chunk_tokens[i] - tokens);
            return time + share * (c->chunk[i] - time);
        }
        tokens = c->chunk_tokens[i];
        time = c->chunk[i];
    }
    return time * (n / tokens);
}

double el_forecast_chunk(const edgellm_costs *c, uint32_t position, uint32_t n)
{
    if (n <= 1) return n * el_forecast_step(c, position);
    return table_at(c, n) + c->chunk_pair * n * position;
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

uint32_t el_forecast_fitting(const edgellm_costs *c, uint32_t position, uint32_t most, double time)
{
    uint32_t fit = 0, too_many = most;
    if (el_forecast_steps(c, position, most) <= time) return most;
    while (too_many - fit > 1) {
        const uint32_t middle = fit + (too_many - fit) / 2;
        if (el_forecast_steps(c, position, middle) <= time)
            fit = middle;
        else
            too_many = middle;
    }
    return fit;
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
    edgellm_forecast f = {.first_ns = el_forecast_prompt(c, q->position, q->prompt, q->batch)};
    f.answer_ns = f.first_ns + el_forecast_steps(c, from, steps);
    f.margin_ns = steps > 0 ? c->step_margin : prompt_margin(c, q);
    const double for_steps = q->within - f.first_ns - c->step_margin;
    if (q->within >= f.first_ns + prompt_margin(c, q)) f.tokens = 1;
    if (f.tokens > 0 && for_steps > 0) f.tokens += el_forecast_fitting(c, from, steps, for_steps);
    f.admitted = f.tokens == q->answer || q->within >= EDGELLM_ADMITTED_AT * f.answer_ns;
    return f;
}
