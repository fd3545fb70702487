#include "cli/certify_passes.h"

#include <stdlib.h>

#include "cli/cli_stats.h"

enum {
    ROOM = 16384,  /* samples kept of each number of sessions */
    POSITIONS = 8, /* passes of a round */
};

/* Rows of the table up to what is wanted; what is wanted is one too. */
static const uint32_t rows[] = {2, 3, 4, 8, 12, EDGELLM_SCHEDULER_SLOTS};
enum { ROWS = sizeof rows / sizeof rows[0] };
_Static_assert(ROWS <= EDGELLM_COSTS_PASSES, "rows");

/* One thread, and the memory of a token: little more than a cache and a sampler. In constant time
 * that cache is what a token costs; else the first positions are enough. */
edgellm_status el_cli_passes_open(el_cli_passes *p, const el_cli_model *model,
                                  const edgellm_session_options *options, uint32_t wanted,
                                  edgellm_error *err)
{
    edgellm_session_options o = *options;
    o.threads = o.batch = 1;
    o.realtime = false;
    o.max_ram = 0;
    if (!o.constant_time && o.context > POSITIONS) o.context = POSITIONS;
    p->wanted = wanted;
    for (uint32_t i = 1; i < wanted; i++)
        EL_CLI_TRY(edgellm_session_open(model->engine, &o, &p->sessions[i], err));
    return EDGELLM_OK;
}

static bool open_series(el_cli_passes *p, uint32_t most)
{
    uint32_t i = 0;
    bool made = true;
    do {
        const uint32_t sessions = i < ROWS && rows[i] < most ? rows[i] : most;
        made = el_cli_series_open(&p->series[i++], sessions, ROOM);
    } while (made && p->series[i - 1].tokens < most);
    p->n_series = i;
    return made;
}

edgellm_status el_cli_passes_begin(el_cli_passes *p, const el_cli_model *model, edgellm_error *err)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    p->sessions[0] = model->session;
    const uint32_t most = p->wanted < plan.batch ? p->wanted : plan.batch;
    if (most < 2)
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "--sessions: a pass holds as many as a batch, which is %u here (-b)",
                           plan.batch);
    p->logits = calloc((size_t)most * model->info.vocab, sizeof *p->logits);
    if (p->logits != NULL && open_series(p, most)) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for passes of %u sessions", most);
}

/* A step of each of n sessions, and the choices. */
static edgellm_status time_pass(el_cli_passes *p, uint32_t n, double *ms, edgellm_error *err)
{
    const double begin = el_cli_now_ms();
    EL_CLI_TRY(edgellm_sessions_eval(p->sessions, p->tokens, n, p->logits, err));
    for (uint32_t i = 0; i < n; i++)
        p->tokens[i] = edgellm_session_sample(p->sessions[i]);
    *ms = el_cli_now_ms() - begin;
    return EDGELLM_OK;
}

static uint32_t room_of(const el_cli_passes *p)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(p->sessions[1], &plan);
    return plan.context < POSITIONS ? plan.context : POSITIONS;
}

static edgellm_status measure(el_cli_passes *p, el_cli_series *s, double *longest_ms,
                              edgellm_error *err)
{
    const uint32_t positions = room_of(p);
    double ms;
    for (uint32_t i = 0; i < s->tokens; i++)
        EL_CLI_TRY(edgellm_session_truncate(p->sessions[i], 0, err));
    for (uint32_t position = 0; position < positions; position++) {
        EL_CLI_TRY(time_pass(p, s->tokens, &ms, err));
        if (ms > *longest_ms) *longest_ms = ms;
        if (p->is_warm) el_cli_series_add(s, position, ms * 1e6);
    }
    return EDGELLM_OK;
}

edgellm_status el_cli_passes_round(el_cli_passes *p, double *longest_ms, edgellm_error *err)
{
    for (int cold = p->is_warm ? 0 : 1; cold >= 0; cold--) {
        p->is_warm = cold == 0;
        for (uint32_t i = 0; i < p->n_series; i++)
            EL_CLI_TRY(measure(p, &p->series[i], longest_ms, err));
    }
    return EDGELLM_OK;
}

void el_cli_passes_release(el_cli_passes *p)
{
    for (uint32_t i = 1; i < p->wanted; i++)
        edgellm_session_close(p->sessions[i]);
    for (uint32_t i = 0; i < p->n_series; i++)
        el_cli_series_release(&p->series[i]);
    free(p->logits);
    *p = (el_cli_passes){.wanted = 0};
}
