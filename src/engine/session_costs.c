/*
 * session_costs.c: what a session knows of time: its costs, forecasts by them, and a quick way to
 * measure them.
 */
#include <string.h>

#include "base/fpenv.h"
#include "engine/session.h"
#include "model/cache.h"
#include "sample/logprob.h"

edgellm_status edgellm_session_set_costs(edgellm_session *session, const edgellm_costs *costs,
                                         edgellm_error *err)
{
    if (costs) EL_TRY(el_costs_check(costs, err));
    session->has_costs = costs != NULL;
    if (costs) session->costs = *costs;
    return EDGELLM_OK;
}

void edgellm_session_set_deadline(edgellm_session *session, uint64_t deadline_ns)
{
    session->deadline = deadline_ns;
    el_realtime_put_off(session->realtime, deadline_ns != 0);
}

edgellm_status edgellm_session_forecast(const edgellm_session *s, uint32_t prompt_tokens,
                                        uint32_t answer_tokens, double within_ns,
                                        edgellm_forecast *forecast, edgellm_error *err)
{
    const uint64_t room = s->forward.context - s->position;
    if (!s->has_costs)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "no forecast without costs: set them first, see "
                       "edgellm_session_set_costs()");
    if (answer_tokens == 0) return el_fail(err, EDGELLM_ERR_USAGE, "an answer of no tokens");
    if ((uint64_t)prompt_tokens + answer_tokens - 1 > room)
        return el_fail(err, EDGELLM_ERR_CONTEXT,
                       "a prompt of %u tokens and an answer of %u do not fit into the %u positions "
                       "that are left",
                       prompt_tokens, answer_tokens, (uint32_t)room);
    const el_forecast_question q = {.position = s->position,
                                    .batch = s->forward.batch,
                                    .prompt = prompt_tokens,
                                    .answer = answer_tokens,
                                    .within = within_ns,
                                    .choice = el_session_choice(s)};
    *forecast = el_forecast_answer(&s->costs, &q);
    return EDGELLM_OK;
}

/* ---- measuring ---------------------------------------------------------------------------- */

enum { ROUNDS_LEAST = 3, ROUNDS_MOST = 32, CHUNK_ROUNDS = 2, LEAST_CHUNK = 16, MAX_CHUNK = 512 };

/* Times of one thing at one place. */
typedef struct times {
    double ns[ROUNDS_MOST];
    uint32_t n;
} times;

/* Computes n tokens at a position and chooses what follows. */
static double time_once(edgellm_session *s, uint32_t position, uint32_t n)
{
    static const uint32_t tokens[MAX_CHUNK];
    s->position = position;
    const el_nanoseconds start = el_clock_now();
    el_session_run_batch(s, tokens, n, NULL, true);
    el_sampler_sample(&s->sampler, s->forward.logits, s->tokens, s->position);
    return (double)(el_clock_now() - start);
}

/* Keeps the times in order. */
static void add(times *t, double ns)
{
    uint32_t at = t->n++;
    for (; at > 0 && t->ns[at - 1] > ns; at--)
        t->ns[at] = t->ns[at - 1];
    t->ns[at] = ns;
}

static double median(const times *t)
{
    return (t->ns[(t->n - 1) / 2] + t->ns[t->n / 2]) / 2;
}

/* How far the longest is above the median; a tenth of that at least. */
static double spread(const times *t)
{
    const double middle = median(t), over = t->ns[t->n - 1] - middle;
    return over > middle / 10 ? over : middle / 10;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* What each of the positions from `first` to `last` adds. */
static double slope(double at_first, double at_last, uint32_t first, uint32_t last)
{
    return last > first ? larger(at_last - at_first, 0) / (last - first) : 0;
}

static double longest(const times *t)
{
    return t->n > 0 ? t->ns[t->n - 1] : 0;
}

bool el_beside_may(const el_beside *beside, double ns)
{
    return !beside || beside->before(beside->context, ns);
}

/* False: the other wants no more of it. */
static bool measure_steps(edgellm_session *s, uint32_t first, double budget,
                          const el_beside *beside, edgellm_costs *c)
{
    const uint32_t last = s->forward.context - 1;
    times low = {.n = 0}, high = {.n = 0};
    double spent = 0;
    for (uint32_t i = 0; i < ROUNDS_MOST && (i < ROUNDS_LEAST || spent < budget); i++) {
        if (!el_beside_may(beside, longest(&low))) return false;
        const double at_first = time_once(s, first, 1);
        if (!el_beside_may(beside, longest(&high))) return false;
        const double at_last = time_once(s, last, 1);
        add(&low, at_first);
        add(&high, at_last);
        spent += at_first + at_last;
    }
    c->step_position = slope(median(&low), median(&high), first, last);
    c->step = larger(median(&low) - c->step_position * first, 0);
    c->step_margin = larger(spread(&low), spread(&high));
    return true;
}

/* A chunk of as many tokens as the budget holds, for a token of a prompt takes no longer than a
 * step; of 16 at least: fewer tell little of a whole batch. */
static uint32_t chunk_size(const edgellm_session *s, uint32_t room, double budget, double step)
{
    const double tokens = budget / (2 * CHUNK_ROUNDS * larger(step, 1));
    uint32_t n = tokens < MAX_CHUNK ? (uint32_t)tokens : MAX_CHUNK;
    if (n < LEAST_CHUNK) n = LEAST_CHUNK;
    if (n > s->forward.batch) n = s->forward.batch;
    return n < room ? n : room;
}

static bool measure_chunks(edgellm_session *s, uint32_t first, double budget,
                           const el_beside *beside, edgellm_costs *c)
{
    const uint32_t n = chunk_size(s, s->forward.context - first, budget, c->step);
    const uint32_t last = s->forward.context - n;
    times low = {.n = 0}, high = {.n = 0};
    const double most = n * (c->step + c->step_position * s->forward.context);
    if (n < 2) return true;
    for (int i = 0; i < CHUNK_ROUNDS; i++) {
        if (!el_beside_may(beside, most)) return false;
        add(&low, time_once(s, first, n));
        if (!el_beside_may(beside, most)) return false;
        add(&high, time_once(s, last, n));
    }
    c->n_chunks = 1;
    c->chunk_tokens[0] = n;
    c->chunk_pair = slope(low.ns[0], high.ns[0], first, last) / n; /* of what was least disturbed */
    c->chunk[0] = larger(median(&low) - c->chunk_pair * n * first, 0);
    c->chunk_margin = spread(&low) * s->forward.batch / n;
    return true;
}

/* Of the logits that are there; most often it is the first pass that is slow, so the median. */
static bool measure_logprobs(edgellm_session *s, const el_beside *beside, edgellm_costs *c)
{
    const uint32_t vocab = s->forward.model->config.vocab;
    edgellm_logprob most[EDGELLM_TOP_LOGPROBS];
    times sums = {.n = 0}, tops = {.n = 0};
    for (int i = 0; i < ROUNDS_LEAST; i++) {
        if (!el_beside_may(beside, i > 0 ? longest(&sums) + longest(&tops) : c->step)) return false;
        const el_nanoseconds start = el_clock_now();
        const el_softmax softmax = el_softmax_of(s->forward.logits, vocab);
        const el_nanoseconds middle = el_clock_now();
        el_logprob_top(softmax, s->forward.logits, vocab, EDGELLM_TOP_LOGPROBS, most);
        add(&tops, (double)(el_clock_now() - middle));
        add(&sums, (double)(middle - start));
    }
    c->logprobs = median(&sums);
    c->top_logprobs = median(&tops);
    return true;
}

static bool measure(edgellm_session *s, double budget, const el_beside *beside, edgellm_costs *c)
{
    const uint32_t first = s->position;
    if (!el_beside_may(beside, 0)) return false;
    time_once(s, first, 1); /* what is slow the first time */
    return measure_steps(s, first, budget / 2, beside, c) && measure_logprobs(s, beside, c) &&
           measure_chunks(s, first, budget / 2, beside, c);
}

static edgellm_status measure_all(edgellm_session *s, double budget, const el_beside *beside,
                                  edgellm_costs *c, edgellm_error *err)
{
    edgellm_status status = EDGELLM_OK;
    const bool is_whole = measure(s, budget, beside, c) &&
                          el_session_measure_masks(s, budget / 8, beside, &c->mask, &status, err);
    if (is_whole || status != EDGELLM_OK) return status;
    return el_fail(err, EDGELLM_ERR_INTERRUPTED, "measuring was ended");
}

edgellm_status edgellm_session_calibrate(edgellm_session *session, uint64_t budget_ns,
                                         edgellm_costs *costs, edgellm_error *err)
{
    return el_session_calibrate(session, budget_ns, NULL, costs, err);
}

edgellm_status el_session_calibrate(edgellm_session *session, uint64_t budget_ns,
                                    const el_beside *beside, edgellm_costs *costs,
                                    edgellm_error *err)
{
    const uint32_t position = session->position;
    const el_sampler sampler = session->sampler;
    edgellm_costs measured = {.n_chunks = 0};
    if (position >= session->forward.context)
        return el_fail(err, EDGELLM_ERR_CONTEXT,
                       "the context of %u is full: nothing is left to calibrate with", position);
    el_fpenv env = el_fpenv_enter();
    session->logits_at = 0;
    edgellm_status status = measure_all(session, (double)budget_ns, beside, &measured, err);
    session->position = position;
    el_session_reach(session);
    session->sampler = sampler;
    if (status == EDGELLM_OK)
        status = el_session_check_logits(session, session->forward.logits, 1, err);
    el_fpenv_leave(env);
    if (status == EDGELLM_OK)
        *costs = measured;
    else
        el_cache_forget(&session->forward, position, session->forward.context);
    return status;
}
