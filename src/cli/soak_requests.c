#include "cli/soak_requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli_random.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

/* Deadlines, as multiples of the forecast. */
static const double least_share = 0.5, most_share = 2;
static const double most_pause = 0.2; /* after a request, of its forecast */
static const double between_ms = 200; /* drawings of the progress */

typedef struct run {
    const el_cli_soak_plan *plan;
    edgellm_session *session;
    const edgellm_costs *costs;
    const cpu_set_t *cores;
    uint32_t vocab;
    uint32_t *prompt; /* (most_prompt) */
    uint32_t state;   /* of the random numbers */
    double drawn;
    el_cli_tree *tree;
    el_cli_bench_pids self;
    el_cli_soak_results *results;
} run;

/* ---- what is asked for -------------------------------------------------------------------- */

/* 1 .. most */
static uint32_t random_to(run *r, uint32_t most)
{
    return 1 + el_cli_random_below(&r->state, most);
}

/* 0 .. 1 */
static double random_share(run *r)
{
    return el_cli_random_below(&r->state, UINT32_MAX) * 0x1p-32;
}

static void choose(run *r, el_cli_soaked *q)
{
    q->prompt = random_to(r, r->plan->most_prompt);
    q->answer = random_to(r, r->plan->most_answer);
    q->share = least_share + (most_share - least_share) * random_share(r);
    for (uint32_t i = 0; i < q->prompt; i++)
        r->prompt[i] = el_cli_random_below(&r->state, r->vocab);
}

/* The forecast, and by it the deadline and what becomes of the request. */
static edgellm_status admit(const run *r, el_cli_soaked *q, edgellm_error *err)
{
    edgellm_forecast f;
    EL_CLI_TRY(edgellm_session_forecast(r->session, q->prompt, q->answer, 0, &f, err));
    q->forecast_ms = f.answer_ns / 1e6;
    q->deadline_ms = q->share * q->forecast_ms;
    EL_CLI_TRY(
        edgellm_session_forecast(r->session, q->prompt, q->answer, q->deadline_ms * 1e6, &f, err));
    q->fit = f.tokens;
    q->fate = f.admitted ? EL_CLI_WHOLE : f.tokens > 0 ? EL_CLI_SHORTENED : EL_CLI_REFUSED;
    return EDGELLM_OK;
}

/* ---- answering ---------------------------------------------------------------------------- */

static void keep_gap(run *r, el_cli_soaked *q, double gap)
{
    const uint32_t position = edgellm_session_position(r->session) - 1;
    const double expected = r->costs->step + r->costs->step_position * position;
    const double excess = gap - expected / 1e6;
    if (excess > q->excess_ms) q->excess_ms = excess;
    r->results->gaps_ms[r->results->n_gaps++] = gap;
}

static edgellm_status decode(run *r, el_cli_soaked *q, edgellm_error *err)
{
    EL_CLI_TRY(edgellm_session_eval(r->session, r->prompt, q->prompt, NULL, err));
    uint32_t token = edgellm_session_sample(r->session);
    double last = el_cli_now_ms();
    for (q->got = 1; q->got < q->answer; q->got++) {
        EL_CLI_TRY(edgellm_session_eval(r->session, &token, 1, NULL, err));
        token = edgellm_session_sample(r->session);
        const double now = el_cli_now_ms();
        keep_gap(r, q, now - last);
        last = now;
    }
    return EDGELLM_OK;
}

static edgellm_status answer(run *r, el_cli_soaked *q, edgellm_error *err)
{
    const double start = el_cli_now_ms();
    edgellm_session_set_deadline(r->session, (uint64_t)((start + q->deadline_ms) * 1e6));
    edgellm_status status = decode(r, q, err);
    q->taken_ms = el_cli_now_ms() - start;
    edgellm_session_set_deadline(r->session, 0);
    return status == EDGELLM_ERR_DEADLINE ? EDGELLM_OK : status;
}

/* Until somebody asks again. */
static void pause_after(run *r, const el_cli_soaked *q)
{
    const int64_t ns = (int64_t)(most_pause * random_share(r) * q->forecast_ms * 1e6);
    const struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    nanosleep(&time, NULL);
}

/* Counters are read outside of what is timed. */
static edgellm_status request(run *r, el_cli_soaked *q, edgellm_error *err)
{
    el_cli_bench_counters before, after;
    EL_CLI_TRY(edgellm_session_truncate(r->session, 0, err));
    choose(r, q);
    EL_CLI_TRY(admit(r, q, err));
    if (q->fate == EL_CLI_REFUSED) return EDGELLM_OK;
    el_cli_bench_read_counters(r->tree, &r->self, r->cores, &before);
    EL_CLI_TRY(answer(r, q, err));
    el_cli_bench_read_counters(r->tree, &r->self, r->cores, &after);
    q->disturbed = after.steal_ms > before.steal_ms || el_cli_bench_throttled(&before, &after);
    const double late = el_cli_soaked_late(q), excess = late > q->excess_ms ? late : q->excess_ms;
    if (late > 0) q->causes = el_cli_bench_cause_of(&before, &after, excess);
    return EDGELLM_OK;
}

double el_cli_soaked_late(const el_cli_soaked *q)
{
    const double late = q->taken_ms - q->deadline_ms;
    return late > 0 ? late : 0;
}

/* ---- all of them -------------------------------------------------------------------------- */

static void draw(run *r)
{
    const double now = el_cli_now_ms();
    if (!r->plan->progress || now - r->drawn < between_ms) return;
    r->drawn = now;
    fprintf(stderr, "\rsoak: %u of %u requests\033[K", r->results->n, r->plan->requests);
}

static edgellm_status answer_all(run *r, edgellm_error *err)
{
    for (; r->results->n < r->plan->requests; r->results->n++) {
        draw(r);
        if (el_cli_interrupted() != 0)
            return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
        el_cli_soaked *q = &r->results->requests[r->results->n];
        EL_CLI_TRY(request(r, q, err));
        if (q->fate != EL_CLI_REFUSED) pause_after(r, q);
    }
    return EDGELLM_OK;
}

static edgellm_status prepare(run *r, edgellm_error *err)
{
    const el_cli_soak_plan *p = r->plan;
    r->tree = malloc(sizeof *r->tree);
    r->prompt = calloc(p->most_prompt, sizeof *r->prompt);
    r->results->requests = calloc(p->requests, sizeof *r->results->requests);
    r->results->gaps_ms = calloc((size_t)p->requests * p->most_answer, sizeof(double));
    if (r->tree == NULL || r->prompt == NULL || r->results->requests == NULL ||
        r->results->gaps_ms == NULL)
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the requests");
    r->tree->root = "";
    el_cli_bench_add_pid(&r->self, getpid());
    return EDGELLM_OK;
}

edgellm_status el_cli_soak_requests(const el_cli_soak_plan *plan, const el_cli_model *model,
                                    const edgellm_costs *costs, const cpu_set_t *cores,
                                    el_cli_soak_results *results, edgellm_error *err)
{
    run r = {.plan = plan,
             .session = model->session,
             .costs = costs,
             .cores = cores,
             .vocab = model->info.vocab,
             .state = (uint32_t)(plan->seed ^ plan->seed >> 32),
             .results = results};
    *results = (el_cli_soak_results){.n = 0};
    edgellm_status status = prepare(&r, err);
    if (status == EDGELLM_OK) status = answer_all(&r, err);
    if (plan->progress) fputs("\r\033[K", stderr);
    free(r.tree);
    free(r.prompt);
    return status;
}

void el_cli_soak_results_release(el_cli_soak_results *results)
{
    free(results->requests);
    free(results->gaps_ms);
    *results = (el_cli_soak_results){.n = 0};
}
