/*
 * scheduler_costs.c: a quick look at what chunks and passes of a scheduler take. Steps are measured
 * as for a session (session_costs.c).
 */
#include <string.h>

#include "engine/scheduler.h"

enum { ROUNDS_LEAST = 3, ROUNDS_MOST = 15 };

/* Some of the tables' rows, those that there is room for. */
static const uint32_t chunk_rows[] = {2, 4, 8, 16, 32, 64, 128, 256, 512};
static const uint32_t pass_rows[] = {2, 3, 4, 8, 12, EDGELLM_SCHEDULER_SLOTS};

_Static_assert(sizeof chunk_rows / sizeof chunk_rows[0] < EDGELLM_COSTS_CHUNKS, "and the batch");
_Static_assert(sizeof pass_rows / sizeof pass_rows[0] <= EDGELLM_COSTS_PASSES, "rows");

static const uint32_t zeroes[512]; /* tokens */

/* Tokens of a prompt at position 0, and the choice of what follows. */
static edgellm_status time_chunk(edgellm_scheduler *s, uint32_t n, double *ns, edgellm_error *err)
{
    edgellm_session *session = s->slots[0].session;
    const el_nanoseconds start = el_clock_now();
    EL_TRY(edgellm_session_eval(session, zeroes, n, NULL, err));
    edgellm_session_sample(session);
    *ns = (double)(el_clock_now() - start);
    session->position = 0;
    return EDGELLM_OK;
}

/* A step of each of n slots at position 0, and the choices. */
static edgellm_status time_pass(edgellm_scheduler *s, uint32_t n, double *ns, edgellm_error *err)
{
    edgellm_session *sessions[EDGELLM_SCHEDULER_SLOTS];
    for (uint32_t i = 0; i < n; i++)
        sessions[i] = s->slots[i].session;
    const el_nanoseconds start = el_clock_now();
    EL_TRY(el_sessions_step(s->slots[0].session, sessions, zeroes, n, s->logits, err));
    for (uint32_t i = 0; i < n; i++)
        edgellm_session_sample(sessions[i]);
    *ns = (double)(el_clock_now() - start);
    for (uint32_t i = 0; i < n; i++)
        sessions[i]->position = 0;
    return EDGELLM_OK;
}

typedef edgellm_status (*time_fn)(edgellm_scheduler *s, uint32_t n, double *ns, edgellm_error *err);

/* What all have in common: how long each may take, and who computes beside it. */
typedef struct terms {
    double budget;
    const el_beside *beside;
} terms;

/* The median of some. `most`: what the first of them may take. */
static edgellm_status measure(edgellm_scheduler *s, time_fn time, uint32_t n, double most,
                              const terms *t, double *result, edgellm_error *err)
{
    double sorted[ROUNDS_MOST] = {0}, spent = 0;
    uint32_t rounds = 0;
    while (rounds < ROUNDS_MOST && (rounds < ROUNDS_LEAST || spent < t->budget)) {
        double ns;
        if (!el_beside_may(t->beside, rounds > 0 ? sorted[rounds - 1] : most))
            return el_fail(err, EDGELLM_ERR_INTERRUPTED, "measuring was ended");
        EL_TRY(time(s, n, &ns, err));
        uint32_t at = rounds++;
        for (; at > 0 && sorted[at - 1] > ns; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = ns;
        spent += ns;
    }
    *result = sorted[rounds / 2];
    return EDGELLM_OK;
}

/* Up to `most`, and that itself; the first row that is there counts from 2. */
static uint32_t choose_rows(const uint32_t *rows, uint32_t n_rows, uint32_t most, uint32_t *chosen)
{
    uint32_t n = 0;
    if (most < 2) return 0;
    while (n < n_rows && rows[n] < most) {
        chosen[n] = rows[n];
        n++;
    }
    chosen[n++] = most;
    return n;
}

/* No more than of a chunk that was measured, or of as many as it takes of those. */
static double chunk_most(const edgellm_costs *c, double chunk, uint32_t chunk_tokens, uint32_t n)
{
    if (chunk_tokens == 0) return n * c->step;
    return n > chunk_tokens ? chunk * n / chunk_tokens : chunk;
}

static edgellm_status measure_tables(edgellm_scheduler *s, double budget, const el_beside *beside,
                                     edgellm_costs *c, edgellm_error *err)
{
    const double chunk = c->chunk[0];
    const uint32_t tokens = c->n_chunks > 0 ? c->chunk_tokens[0] : 0;
    const uint32_t context = s->slots[0].session->forward.context, batch = s->schedule.batch;
    c->n_chunks = choose_rows(chunk_rows, sizeof chunk_rows / sizeof chunk_rows[0],
                              batch < context ? batch : context, c->chunk_tokens);
    c->n_passes = choose_rows(pass_rows, sizeof pass_rows / sizeof pass_rows[0],
                              s->n_slots < batch ? s->n_slots : batch, c->pass_sessions);
    const terms t = {budget / (c->n_chunks + c->n_passes + 1), beside};
    for (uint32_t i = 0; i < c->n_passes; i++)
        EL_TRY(measure(s, time_pass, c->pass_sessions[i], c->pass_sessions[i] * c->step, &t,
                       &c->pass[i], err));
    for (uint32_t i = 0; i < c->n_chunks; i++)
        EL_TRY(measure(s, time_chunk, c->chunk_tokens[i],
                       chunk_most(c, chunk, tokens, c->chunk_tokens[i]), &t, &c->chunk[i], err));
    return EDGELLM_OK;
}

/* The sampler that most requests will have: calibration times it too. */
static edgellm_status set_out(edgellm_scheduler *s, edgellm_error *err)
{
    const edgellm_sampler_options usual = edgellm_sampler_defaults();
    for (uint32_t i = 0; i < s->n_slots; i++)
        if (s->slots[i].id != 0)
            return el_fail(err, EDGELLM_ERR_USAGE,
                           "request %llu is there: only an idle scheduler can be measured",
                           (unsigned long long)s->slots[i].id);
    for (uint32_t i = 0; i < s->n_slots; i++) {
        EL_TRY(edgellm_session_truncate(s->slots[i].session, 0, err));
        EL_TRY(edgellm_session_set_adapters(s->slots[i].session, NULL, err)); /* all of them */
        EL_TRY(edgellm_session_set_sampler(s->slots[i].session, &usual, err));
        EL_TRY(edgellm_session_set_grammar(s->slots[i].session, NULL, 1, err));
    }
    return EDGELLM_OK;
}

static edgellm_status calibrate(edgellm_scheduler *s, uint64_t budget_ns, const el_beside *beside,
                                edgellm_costs *costs, edgellm_error *err)
{
    edgellm_costs measured;
    EL_TRY(set_out(s, err));
    EL_TRY(el_session_calibrate(s->slots[0].session, budget_ns / 2, beside, &measured, err));
    EL_TRY(measure_tables(s, (double)budget_ns / 2, beside, &measured, err));
    *costs = measured;
    return EDGELLM_OK;
}

edgellm_status edgellm_scheduler_calibrate(edgellm_scheduler *scheduler, uint64_t budget_ns,
                                           edgellm_costs *costs, edgellm_error *err)
{
    return calibrate(scheduler, budget_ns, NULL, costs, err);
}

edgellm_status edgellm_scheduler_calibrate_beside(edgellm_scheduler *scheduler, uint64_t budget_ns,
                                                  bool (*before)(void *context, double ns),
                                                  void *context, edgellm_costs *costs,
                                                  edgellm_error *err)
{
    const el_beside beside = {before, context};
    return calibrate(scheduler, budget_ns, &beside, costs, err);
}
