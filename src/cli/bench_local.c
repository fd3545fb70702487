/*
 * bench_local.c: the engine in this process, greedy; and the floor under it, which only reads the
 * weights (bench_roof.h), between the requests, so that both meet the same noise. A prompt of text
 * is tokenized within the request's time, as a server does it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench.h"
#include "cli/bench_roof.h"
#include "cli/cli_prefill.h"
#include "cli/cli_random.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

typedef struct local {
    el_cli_model model;
    el_cli_certified certified;
    el_cli_climate climate;
    el_cli_roof roof; /* open from the first pass on */
    uint32_t *ids;    /* (room) of the prompt */
    size_t room;
    char *text; /* (bytes) of the prompt */
    size_t bytes;
} local;

enum { SLACK = 16 }; /* tokens by which numbered prompts may differ */

static edgellm_status interrupted(edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
}

/* ---- prompt ------------------------------------------------------------------------------- */

/* Tokens at random: the same each time, or others with each number. */
static void random_tokens(const local *l, const el_cli_bench_plan *plan, uint64_t number)
{
    uint32_t state = plan->unique ? (uint32_t)number : 1;
    for (uint32_t i = 0; i < plan->prompt_tokens; i++) {
        l->ids[i] = el_cli_random_below(&state, l->model.info.vocab);
    }
}

/* Into ids, as many as there is room for; *count: how many it takes. */
static edgellm_status encode(const local *l, const el_cli_bench_plan *plan, size_t *count,
                             edgellm_error *err)
{
    const edgellm_message message = {"user", l->text};
    if (plan->chat) {
        return edgellm_chat_prompt(l->model.engine, &message, 1, EDGELLM_CHAT_OPEN_ANSWER, l->ids,
                                   l->room, count, err);
    }
    return edgellm_tokenize(l->model.engine, l->text, strlen(l->text), EDGELLM_TOKENIZE_BOS, l->ids,
                            l->room, count, err);
}

/* *count: the tokens of a prompt. */
static edgellm_status measure_prompt(local *l, const el_cli_bench_plan *plan, size_t *count,
                                     edgellm_error *err)
{
    *count = plan->prompt_tokens;
    if (plan->prompt == NULL) return EDGELLM_OK;
    l->bytes = el_cli_bench_prompt_bytes(plan);
    l->text = malloc(l->bytes);
    if (l->text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the prompt");
    el_cli_bench_prompt(plan, plan->first_number, l->text, l->bytes);
    EL_CLI_TRY(encode(l, plan, count, err));
    if (*count == 0) return el_cli_fail(err, EDGELLM_ERR_USAGE, "the prompt is empty");
    *count += plan->unique ? SLACK : 0;
    return EDGELLM_OK;
}

static edgellm_status prepare_prompt(local *l, const el_cli_bench_plan *plan, edgellm_error *err)
{
    size_t count;
    EL_CLI_TRY(measure_prompt(l, plan, &count, err));
    l->ids = count < SIZE_MAX / 8 ? calloc(count, sizeof *l->ids) : NULL;
    if (l->ids == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the prompt");
    l->room = count;
    return EDGELLM_OK;
}

/* ---- opening ------------------------------------------------------------------------------ */

static edgellm_status start_session(local *l, const el_cli_bench_plan *plan, edgellm_error *err)
{
    edgellm_session_options session = plan->model.session;
    edgellm_sampler_options greedy = edgellm_sampler_defaults();
    if (session.context == 0) session.context = (uint32_t)l->room + plan->steps;
    greedy.temperature = 0;
    greedy.repeat_penalty = 1;
    EL_CLI_TRY(el_cli_model_start(&l->model, &session, err));
    EL_CLI_TRY(el_cli_certified_find(&l->certified, plan->certificate, &l->model, &session, err));
    return edgellm_session_set_sampler(l->model.session, &greedy, err);
}

static edgellm_status open_local(el_cli_bench *bench, el_cli_bench_backend *backend,
                                 edgellm_error *err)
{
    const el_cli_bench_plan *plan = &bench->plan;
    const char *slash = strrchr(plan->path, '/');
    local *l = calloc(1, sizeof *l);
    if (l == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the engine");
    backend->own = l;
    EL_CLI_TRY(el_cli_model_open_adapted(&l->model, plan->path, &plan->model, err));
    EL_CLI_TRY(prepare_prompt(l, plan, err));
    EL_CLI_TRY(el_cli_climate_open(&l->climate, &plan->climate, plan->model.session.realtime, err));
    EL_CLI_TRY(start_session(l, plan, err));
    snprintf(backend->title, sizeof backend->title, "edgellm %s", edgellm_version());
    snprintf(backend->model, sizeof backend->model, "%s", slash != NULL ? slash + 1 : plan->path);
    el_cli_bench_add_pid(&backend->pids, getpid());
    return EDGELLM_OK;
}

static void close_local(el_cli_bench_backend *backend)
{
    local *l = backend->own;
    if (l == NULL) return;
    el_cli_roof_close(&l->roof);
    el_cli_certified_release(&l->certified);
    el_cli_climate_release(&l->climate);
    el_cli_model_close(&l->model);
    free(l->ids);
    free(l->text);
    free(l);
    backend->own = NULL;
}

bool el_cli_bench_facts_of(const el_cli_bench *bench, el_cli_bench_facts *facts)
{
    for (uint32_t i = 0; i < bench->n_backends; i++) {
        const local *l = bench->backends[i].own;
        if (bench->backends[i].kind != &el_cli_bench_local || l == NULL) continue;
        *facts = (el_cli_bench_facts){&l->model, &l->certified, &l->climate, 0, l->roof.copied};
        if (l->roof.crew != NULL) facts->roof_bytes = el_cli_roof_bytes(&l->roof);
        return true;
    }
    return false;
}

static void count_request(el_cli_certified *c, const el_cli_bench_request *request,
                          const double *times)
{
    if (request->prompt_tokens < 1) return;
    for (uint32_t i = 1; i < request->count; i++)
        el_cli_certified_count(c, (uint32_t)request->prompt_tokens + i - 1,
                               times[i] - times[i - 1]);
}

void el_cli_bench_count_certified(el_cli_bench *bench)
{
    for (uint32_t b = 0; b < bench->n_backends; b++) {
        local *l = bench->backends[b].own;
        const el_cli_bench_series *s = &bench->backends[b].series;
        if (bench->backends[b].kind != &el_cli_bench_local || l == NULL) continue;
        if (el_cli_climate_paces(&l->climate)) continue; /* gaps hold what was waited */
        for (uint32_t i = 0; i < s->n; i++)
            count_request(&l->certified, &s->requests[i], el_cli_bench_times(s, i));
    }
}

/* ---- a request ---------------------------------------------------------------------------- */

/* The session's clock: what reading counters took is left out of it. */
typedef struct stopwatch {
    double start, left_out;
} stopwatch;

static double read_watch(const stopwatch *w)
{
    return el_cli_now_ms() - w->start - w->left_out;
}

static void trace(const el_cli_bench_ask *a, uint32_t token, stopwatch *w)
{
    if (a->trace == NULL) return;
    const double before = el_cli_now_ms();
    el_cli_bench_read_counters(a->bench->tree, &a->backend->pids, &a->bench->cores,
                               &a->trace[token]);
    w->left_out += el_cli_now_ms() - before;
}

/* Reading a meter is no part of a request. */
static void leave_out(stopwatch *w, el_cli_climate *climate, void (*read)(el_cli_climate *))
{
    const double before = el_cli_now_ms();
    read(climate);
    w->left_out += el_cli_now_ms() - before;
}

static edgellm_status prefill(const el_cli_bench_ask *a, local *l, edgellm_error *err)
{
    const el_cli_bench_plan *plan = &a->bench->plan;
    size_t count = plan->prompt_tokens;
    if (plan->prompt != NULL) EL_CLI_TRY(encode(l, plan, &count, err));
    if (count > l->room) {
        return el_cli_fail(err, EDGELLM_ERR_CONTEXT,
                           "a numbered prompt has %zu tokens, more than the %zu of the first by "
                           "more than %d: say it without --unique-prompts",
                           count, l->room, (int)SLACK);
    }
    a->slot->prompt_tokens = (int64_t)count;
    return el_cli_prefill(l->model.session, l->ids, count, &l->climate, err);
}

static edgellm_status decode(const el_cli_bench_ask *a, local *l, uint32_t token, stopwatch *w,
                             edgellm_error *err)
{
    edgellm_session *session = l->model.session;
    double before = el_cli_now_ms();
    el_cli_climate_first(&l->climate, before);
    for (uint32_t i = 1; i <= a->bench->plan.steps; i++) {
        if (el_cli_interrupted() != 0) return interrupted(err);
        EL_CLI_TRY(edgellm_session_eval(session, &token, 1, NULL, err));
        token = edgellm_session_sample(session);
        el_cli_climate_hold(&l->climate, before);
        before = el_cli_now_ms();
        a->times[i] = read_watch(w);
        a->slot->count = i + 1;
        trace(a, i, w);
    }
    return EDGELLM_OK;
}

static edgellm_status ask_local(const el_cli_bench_ask *a, edgellm_error *err)
{
    local *l = a->backend->own;
    edgellm_session *session = l->model.session;
    if (a->bench->plan.prompt == NULL) {
        random_tokens(l, &a->bench->plan, a->number);
    } else {
        el_cli_bench_prompt(&a->bench->plan, a->number, l->text, l->bytes);
    }
    EL_CLI_TRY(edgellm_session_truncate(session, 0, err));
    el_cli_climate_begin(&l->climate);
    stopwatch w = {el_cli_now_ms(), 0};
    a->slot->start_ms = w.start;
    EL_CLI_TRY(prefill(a, l, err));
    a->slot->prefill_ms = read_watch(&w);
    leave_out(&w, &l->climate, el_cli_climate_answer);
    uint32_t token = edgellm_session_sample(session);
    a->times[0] = read_watch(&w);
    a->slot->count = 1;
    trace(a, 0, &w);
    edgellm_status status = decode(a, l, token, &w, err);
    el_cli_climate_end(&l->climate, a->slot->count - 1);
    a->slot->tokens = a->slot->count;
    snprintf(a->slot->finish, sizeof a->slot->finish, "length");
    return status;
}

/* ---- the floor ---------------------------------------------------------------------------- */

static edgellm_status open_roof(local *l, const char *path, edgellm_error *err)
{
    edgellm_memory_plan plan;
    if (l->roof.crew != NULL) return EDGELLM_OK;
    edgellm_session_plan(l->model.session, &plan);
    return el_cli_roof_open(&l->roof, path, l->model.info.copied ? &plan.total : NULL,
                            l->model.info.token_bytes, plan.n_threads, err);
}

/* The first pass finds other things in the caches, and the threads asleep: it is not counted. */
static edgellm_status read_floor(const el_cli_bench_ask *a, edgellm_error *err)
{
    local *l = a->backend->own;
    EL_CLI_TRY(open_roof(l, a->bench->plan.path, err));
    el_cli_roof_read(&l->roof);
    a->slot->start_ms = el_cli_now_ms();
    a->slot->count = 1;
    a->times[0] = 0;
    for (uint32_t i = 1; i <= a->bench->plan.passes; i++) {
        if (el_cli_interrupted() != 0) return interrupted(err);
        el_cli_roof_read(&l->roof);
        a->times[i] = el_cli_now_ms() - a->slot->start_ms;
        a->slot->count = i + 1;
    }
    return EDGELLM_OK;
}

const el_cli_bench_kind el_cli_bench_local = {
    .name = "edgellm",
    .open = open_local,
    .ask = ask_local,
    .floor = read_floor,
    .close = close_local,
};
