#include "engine/scheduler.h"

#include <inttypes.h>
#include <string.h>

#include "engine/forecast.h"

enum { DEFAULT_SLOTS = 4 };
static const double default_chunk_ns = 20e6;

/* ---- memory --------------------------------------------------------------------------------- */

/* Options with defaults filled in, those of slot 0 and of the others, and what either needs. */
typedef struct needs {
    edgellm_session_options first, other;
    edgellm_memory_plan first_plan, other_plan;
    uint32_t slots;
} needs;

static edgellm_status check_options(const edgellm_scheduler_options *o, edgellm_error *err)
{
    if (o->slots > EDGELLM_SCHEDULER_SLOTS)
        return el_fail(err, EDGELLM_ERR_USAGE, "slots %u: at most %d", o->slots,
                       EDGELLM_SCHEDULER_SLOTS);
    if (!(o->chunk_ns >= 0 && o->chunk_ns < 1e18))
        return el_fail(err, EDGELLM_ERR_USAGE, "chunk_ns is no time: %g", o->chunk_ns);
    return EDGELLM_OK;
}

static edgellm_status find_needs(const edgellm_engine *engine, const edgellm_scheduler_options *o,
                                 needs *n, edgellm_error *err)
{
    EL_TRY(check_options(o, err));
    n->slots = o->slots > 0 ? o->slots : DEFAULT_SLOTS;
    EL_TRY(el_session_resolve(engine, &o->session, &n->first, err));
    n->other = n->first;
    n->other.batch = n->other.threads = 1;
    n->other.realtime = false;
    n->first_plan = el_session_plan_of(engine, &n->first, n->first.batch);
    n->other_plan = el_session_plan_of(engine, &n->other, n->first.batch);
    return EDGELLM_OK;
}

/* Lays a scheduler out, its sessions as plain memory; run on a measuring arena, then on the real
 * one. rooms: (slots). */
static edgellm_scheduler *layout(const edgellm_engine *engine, const needs *n, el_arena *arena,
                                 void **rooms)
{
    edgellm_scheduler *s = el_arena_take(arena, 1, sizeof *s);
    float *logits = el_arena_take(arena, n->slots, engine->file.config.vocab * sizeof *logits);
    const size_t dim = engine->file.config.dim;
    float *embeddings = el_arena_take(arena, n->slots, dim * sizeof *embeddings);
    for (uint32_t i = 0; i < n->slots; i++) {
        const edgellm_memory_plan *plan = i == 0 ? &n->first_plan : &n->other_plan;
        rooms[i] = el_arena_take(arena, 1, (size_t)plan->session_bytes);
    }
    if (!s) return NULL;
    s->engine = engine;
    s->logits = logits;
    s->n_slots = n->slots;
    for (uint32_t i = 0; i < n->slots; i++)
        s->slots[i].embedding = embeddings + i * dim;
    return s;
}

static edgellm_memory_plan plan_of(const edgellm_engine *engine, const needs *n)
{
    void *rooms[EDGELLM_SCHEDULER_SLOTS];
    edgellm_memory_plan plan = n->first_plan;
    el_arena measure = el_arena_measure();
    layout(engine, n, &measure, rooms);
    plan.kv_cache += (n->slots - 1) * n->other_plan.kv_cache;
    plan.scratch = measure.used - plan.kv_cache;
    plan.session_bytes = measure.used;
    plan.total += measure.used - n->first_plan.session_bytes;
    return plan;
}

static edgellm_status check_cap(const edgellm_engine *engine, needs n, edgellm_error *err)
{
    const uint64_t cap = n.first.max_ram, total = plan_of(engine, &n).total;
    const uint32_t slots = n.slots;
    if (cap == 0 || total <= cap) return EDGELLM_OK;
    while (n.slots > 0 && plan_of(engine, &n).total > cap)
        n.slots--;
    return el_fail(err, EDGELLM_ERR_MEMORY,
                   "the plan of %u slots needs %" PRIu64 " bytes, the cap is %" PRIu64
                   ": with this context %u would fit",
                   slots, total, cap, n.slots);
}

edgellm_status edgellm_scheduler_plan(const char *path, const edgellm_scheduler_options *options,
                                      edgellm_memory_plan *plan, edgellm_error *err)
{
    const edgellm_scheduler_options defaults = {.slots = 0};
    edgellm_engine *engine;
    needs n;
    const edgellm_engine_options with = {.grammars = options && options->session.grammar};
    EL_TRY(edgellm_engine_open(path, &with, &engine, err));
    edgellm_status status = find_needs(engine, options ? options : &defaults, &n, err);
    if (status == EDGELLM_OK) {
        *plan = plan_of(engine, &n);
        status = check_cap(engine, n, err);
    }
    edgellm_engine_close(engine);
    return status;
}

/* ---- life ----------------------------------------------------------------------------------- */

static void close_sessions(edgellm_scheduler *s)
{
    for (uint32_t i = 0; i < s->n_slots; i++)
        edgellm_session_close(s->slots[i].session);
}

/* The first is opened last: with realtime it pins the thread. */
static edgellm_status open_sessions(edgellm_scheduler *s, const needs *n, void **rooms,
                                    edgellm_error *err)
{
    for (uint32_t i = s->n_slots; i-- > 0;) {
        edgellm_session_options o = i == 0 ? n->first : n->other;
        o.max_ram = 0;
        o.memory = rooms[i];
        o.memory_bytes = (size_t)(i == 0 ? n->first_plan : n->other_plan).session_bytes;
        EL_TRY(el_session_build(s->engine, &o, n->first.batch, &s->slots[i].session, err));
    }
    return EDGELLM_OK;
}

static edgellm_status build(const edgellm_engine *engine, const needs *n,
                            edgellm_scheduler **scheduler, edgellm_error *err)
{
    const edgellm_memory_plan plan = plan_of(engine, n);
    void *rooms[EDGELLM_SCHEDULER_SLOTS];
    el_arena arena;
    EL_TRY(el_session_memory(&arena, &n->first, (size_t)plan.session_bytes, err));
    edgellm_scheduler *s = layout(engine, n, &arena, rooms);
    el_arena_settle(&arena);
    edgellm_status status = open_sessions(s, n, rooms, err);
    if (status != EDGELLM_OK) {
        close_sessions(s);
        el_arena_release(&arena);
        return status;
    }
    s->arena = arena;
    s->plan = plan;
    *scheduler = s;
    return EDGELLM_OK;
}

edgellm_status edgellm_scheduler_open(const edgellm_engine *engine,
                                      const edgellm_scheduler_options *options,
                                      edgellm_scheduler **scheduler, edgellm_error *err)
{
    const edgellm_scheduler_options defaults = {.slots = 0};
    const edgellm_scheduler_options *o = options ? options : &defaults;
    needs n;
    EL_TRY(find_needs(engine, o, &n, err));
    EL_TRY(check_cap(engine, n, err));
    EL_TRY(build(engine, &n, scheduler, err));
    edgellm_scheduler *s = *scheduler;
    s->chunk_ns = o->chunk_ns;
    s->schedule.n_jobs = s->n_slots;
    s->schedule.batch = n.first.batch;
    return edgellm_scheduler_set_costs(s, NULL, err);
}

void edgellm_scheduler_close(edgellm_scheduler *scheduler)
{
    if (!scheduler) return;
    el_arena arena = scheduler->arena; /* the scheduler lies in it */
    close_sessions(scheduler);
    el_arena_release(&arena);
}

void edgellm_scheduler_memory(const edgellm_scheduler *scheduler, edgellm_memory_plan *plan)
{
    *plan = scheduler->plan;
}

/* ---- time ----------------------------------------------------------------------------------- */

/* What an action may take: as was asked for, or what suits the board. */
static double bound_of(const edgellm_scheduler *s, const edgellm_costs *costs)
{
    const double two_steps = 2 * costs->step;
    if (s->chunk_ns > 0) return s->chunk_ns;
    return two_steps > default_chunk_ns ? two_steps : default_chunk_ns;
}

edgellm_status edgellm_scheduler_set_costs(edgellm_scheduler *scheduler, const edgellm_costs *costs,
                                           edgellm_error *err)
{
    static const edgellm_costs unknown = {.n_chunks = 0};
    if (costs) EL_TRY(el_costs_check(costs, err));
    scheduler->has_costs = costs != NULL;
    if (!costs) costs = &unknown;
    scheduler->schedule.bound = bound_of(scheduler, costs);
    el_schedule_set_costs(&scheduler->schedule, costs);
    return EDGELLM_OK;
}
