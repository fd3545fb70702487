#include "cli/certify_soak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cli/cli_random.h"
#include "cli/cli_sensors.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

enum {
    ROOM = 65536,        /* samples kept of steps, and of chunks of each size */
    REQUESTS = 4,        /* equal ones, of a round */
    REQUEST_PROMPT = 24, /* tokens */
    REQUEST_TOKENS = 32,
    STOPS = 256,  /* on the way back */
    CHUNK_AT = 8, /* one in so many stops */
};
static const double between_ms = 200; /* drawings of the progress */

typedef struct run {
    el_cli_soak *soak;
    edgellm_session *session;
    el_cli_passes *passes;
    uint32_t vocab, context, batch;
    uint32_t *tokens; /* (context) */
    uint32_t next_size;
    double started, ends, drawn; /* milliseconds */
    bool progress;
    el_cli_tree *tree;
    el_cli_zones zones;
    struct rusage before;
} run;

/* ---- the machine -------------------------------------------------------------------------- */

static void look(run *r)
{
    el_cli_conditions *c = &r->soak->conditions;
    const int64_t heat = el_cli_zones_hottest(r->tree, &r->zones, NULL),
                  clock = el_cli_core_khz(r->tree, el_cli_own_core());
    if (r->soak->rounds == 0) {
        *c = (el_cli_conditions){
            .heat_first = heat, .heat_most = heat, .clock_least = clock, .clock_most = clock};
    }
    c->heat_last = heat;
    if (heat > c->heat_most) c->heat_most = heat;
    if (clock != EL_CLI_UNKNOWN && clock < c->clock_least) c->clock_least = clock;
    if (clock > c->clock_most) c->clock_most = clock;
}

static void count_disturbances(run *r)
{
    struct rusage now;
    el_cli_conditions *c = &r->soak->conditions;
    getrusage(RUSAGE_SELF, &now);
    c->faults_minor = now.ru_minflt - r->before.ru_minflt;
    c->faults_major = now.ru_majflt - r->before.ru_majflt;
    c->switches_own = now.ru_nvcsw - r->before.ru_nvcsw;
    c->switches_forced = now.ru_nivcsw - r->before.ru_nivcsw;
}

/* ---- computing ---------------------------------------------------------------------------- */

static void draw(run *r, double now)
{
    if (!r->progress || now - r->drawn < between_ms) return;
    r->drawn = now;
    fprintf(stderr, "\rcertify: %.0f of %.0f s, %llu steps\033[K", (now - r->started) / 1e3,
            (r->ends - r->started) / 1e3, (unsigned long long)r->soak->series[0].seen);
}

static el_cli_series *series_of(el_cli_soak *soak, uint32_t tokens)
{
    for (uint32_t i = 0; i < soak->n_series; i++) {
        if (soak->series[i].tokens == tokens) return &soak->series[i];
    }
    return NULL;
}

/* Computes n tokens at the position and chooses what follows. *ns: how long it took. */
static edgellm_status compute(run *r, uint32_t n, double *ns, edgellm_error *err)
{
    const uint32_t position = edgellm_session_position(r->session);
    const double start = el_cli_now_ms();
    draw(r, start);
    if (el_cli_interrupted() != 0)
        return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted: nothing was written");
    const double begin = el_cli_now_ms();
    EL_CLI_TRY(edgellm_session_eval(r->session, r->tokens + position, n, NULL, err));
    edgellm_session_sample(r->session);
    const double ms = el_cli_now_ms() - begin;
    if (ms > r->soak->longest_ms) r->soak->longest_ms = ms;
    *ns = ms * 1e6;
    return EDGELLM_OK;
}

static edgellm_status compute_and_keep(run *r, uint32_t n, edgellm_error *err)
{
    const uint32_t position = edgellm_session_position(r->session);
    el_cli_series *series = series_of(r->soak, n);
    double ns;
    EL_CLI_TRY(compute(r, n, &ns, err));
    if (series != NULL) el_cli_series_add(series, position, ns);
    return EDGELLM_OK;
}

static edgellm_status fill(run *r, uint32_t end, edgellm_error *err)
{
    double ns;
    EL_CLI_TRY(edgellm_session_truncate(r->session, 0, err));
    for (uint32_t p = 0; p < end; p = edgellm_session_position(r->session)) {
        if (end - p >= r->batch)
            EL_CLI_TRY(compute_and_keep(r, r->batch, err));
        else
            EL_CLI_TRY(compute(r, end - p, &ns, err));
    }
    return EDGELLM_OK;
}

static edgellm_status request(run *r, edgellm_error *err)
{
    el_cli_soak *s = r->soak;
    double ns;
    EL_CLI_TRY(edgellm_session_truncate(r->session, 0, err));
    const double start = el_cli_now_ms();
    for (uint32_t done = 0; done < s->request_prompt; done += r->batch) {
        const uint32_t left = s->request_prompt - done;
        EL_CLI_TRY(compute(r, left < r->batch ? left : r->batch, &ns, err));
    }
    const double first = el_cli_now_ms();
    for (uint32_t i = 1; i < s->request_tokens; i++)
        EL_CLI_TRY(compute(r, 1, &ns, err));
    if (s->n_requests == EL_CLI_SOAK_REQUESTS) return EDGELLM_OK;
    s->request_ms[s->n_requests] = el_cli_now_ms() - start;
    s->first_ms[s->n_requests++] = first - start;
    return EDGELLM_OK;
}

/* One position on the way back: what is after it is cut off. */
static edgellm_status stop_at(run *r, uint32_t position, bool chunk, edgellm_error *err)
{
    EL_CLI_TRY(edgellm_session_truncate(r->session, position, err));
    EL_CLI_TRY(compute_and_keep(r, 1, err));
    if (!chunk || r->soak->n_series == 1) return EDGELLM_OK;
    const uint32_t n = r->soak->series[1 + r->next_size++ % (r->soak->n_series - 1)].tokens;
    if (n > r->context - position) return EDGELLM_OK;
    EL_CLI_TRY(edgellm_session_truncate(r->session, position, err));
    return compute_and_keep(r, n, err);
}

/* The first round is made whole. */
static bool is_over(const run *r)
{
    return r->soak->rounds > 0 && el_cli_now_ms() >= r->ends;
}

/* Layers with a window do not go far back: the same stops on the way there. */
static edgellm_status climb(run *r, edgellm_error *err)
{
    const uint32_t stride = r->context / STOPS + 1;
    uint32_t position = r->soak->rounds % stride;
    double ns;
    EL_CLI_TRY(edgellm_session_truncate(r->session, 0, err));
    for (uint32_t i = 0; position < r->context && !is_over(r); i++, position += stride) {
        for (uint32_t p; (p = edgellm_session_position(r->session)) < position;)
            EL_CLI_TRY(compute(r, position - p < r->batch ? position - p : r->batch, &ns, err));
        EL_CLI_TRY(stop_at(r, position, i % CHUNK_AT == 0, err));
    }
    return EDGELLM_OK;
}

static edgellm_status go_back(run *r, edgellm_error *err)
{
    const uint32_t stride = r->context / STOPS + 1;
    uint32_t position = r->context - 1 - r->soak->rounds % stride;
    for (uint32_t i = 0; !is_over(r); i++) {
        EL_CLI_TRY(stop_at(r, position, i % CHUNK_AT == 0, err));
        if (position < stride) break;
        position -= stride;
    }
    return EDGELLM_OK;
}

static edgellm_status soak_round(run *r, edgellm_error *err)
{
    edgellm_memory_plan plan;
    for (int i = 0; i < REQUESTS && r->soak->request_tokens > 0 && !is_over(r); i++)
        EL_CLI_TRY(request(r, err));
    if (!is_over(r)) EL_CLI_TRY(el_cli_passes_round(r->passes, &r->soak->longest_ms, err));
    if (!is_over(r)) EL_CLI_TRY(fill(r, r->context, err));
    edgellm_session_plan(r->session, &plan);
    if (!is_over(r)) EL_CLI_TRY(plan.window_positions != 0 ? climb(r, err) : go_back(r, err));
    return EDGELLM_OK;
}

/* The first tokens find cold caches and sleeping threads; chunks of each size are needed. */
static edgellm_status warm_up(run *r, edgellm_error *err)
{
    double ns;
    for (uint32_t i = 0; i < r->soak->n_series; i++) {
        const uint32_t n = r->soak->series[i].tokens;
        EL_CLI_TRY(edgellm_session_truncate(r->session, 0, err));
        EL_CLI_TRY(compute(r, n, &ns, err));
        EL_CLI_TRY(edgellm_session_truncate(r->session, 0, err));
        EL_CLI_TRY(compute_and_keep(r, n, err));
    }
    return EDGELLM_OK;
}

static void set_clock(run *r, double seconds)
{
    r->started = el_cli_now_ms();
    r->ends = r->started + seconds * 1e3;
}

static edgellm_status soak(run *r, double seconds, edgellm_error *err)
{
    set_clock(r, seconds);
    look(r);
    EL_CLI_TRY(warm_up(r, err));
    getrusage(RUSAGE_SELF, &r->before);
    set_clock(r, seconds);
    do {
        EL_CLI_TRY(soak_round(r, err));
        r->soak->rounds++;
        look(r);
    } while (!is_over(r));
    count_disturbances(r);
    r->soak->seconds = (el_cli_now_ms() - r->started) / 1e3;
    return EDGELLM_OK;
}

/* ---- life --------------------------------------------------------------------------------- */

/* Steps; chunks of 2, 4, 8, ... and of a whole batch. */
static bool open_series(el_cli_soak *s, uint32_t batch)
{
    bool made = el_cli_series_open(&s->series[s->n_series++], 1, ROOM);
    for (uint32_t n = 2; n / 2 < batch && made; n *= 2)
        made = el_cli_series_open(&s->series[s->n_series++], n < batch ? n : batch, ROOM);
    return made;
}

static edgellm_status prepare(run *r, uint32_t vocab, edgellm_error *err)
{
    el_cli_soak *s = r->soak;
    uint32_t state = 1;
    r->tree = malloc(sizeof *r->tree);
    r->tokens = calloc(r->context, sizeof *r->tokens);
    s->scratch = calloc(ROOM, sizeof *s->scratch);
    s->request_ms = calloc(EL_CLI_SOAK_REQUESTS, sizeof *s->request_ms);
    s->first_ms = calloc(EL_CLI_SOAK_REQUESTS, sizeof *s->first_ms);
    if (r->tree == NULL || r->tokens == NULL || s->scratch == NULL || s->request_ms == NULL ||
        s->first_ms == NULL || !open_series(s, r->batch))
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the times");
    r->tree->root = "";
    el_cli_zones_find(r->tree, &r->zones);
    for (uint32_t i = 0; i < r->context; i++) {
        r->tokens[i] = el_cli_random_below(&state, vocab);
    }
    if (r->context < REQUEST_PROMPT + REQUEST_TOKENS) return EDGELLM_OK;
    s->request_prompt = REQUEST_PROMPT;
    s->request_tokens = REQUEST_TOKENS;
    return EDGELLM_OK;
}

edgellm_status el_cli_soak_run(el_cli_soak *s, const el_cli_model *model, el_cli_passes *passes,
                               double seconds, bool progress, edgellm_error *err)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    run r = {.soak = s,
             .session = model->session,
             .passes = passes,
             .context = plan.context,
             .batch = plan.batch,
             .progress = progress};
    *s = (el_cli_soak){.n_series = 0};
    edgellm_status status = prepare(&r, model->info.vocab, err);
    if (status == EDGELLM_OK) status = soak(&r, seconds, err);
    if (progress) fputs("\r\033[K", stderr);
    free(r.tree);
    free(r.tokens);
    return status;
}

void el_cli_soak_release(el_cli_soak *s)
{
    for (int i = 0; i < EL_CLI_SOAK_SIZES; i++)
        el_cli_series_release(&s->series[i]);
    free(s->scratch);
    free(s->request_ms);
    free(s->first_ms);
    *s = (el_cli_soak){.n_series = 0};
}
