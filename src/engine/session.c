#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cores.h"
#include "base/fpenv.h"
#include "base/half.h"
#include "base/quota.h"
#include "engine/forecast.h"
#include "engine/session.h"
#include "model/cache.h"

#define QUIET_NAN 0x7fc00000u

_Static_assert(EDGELLM_MEMORY_ALIGN == EL_ALIGN, "own memory is an arena");

enum { DEFAULT_CONTEXT = 512, DEFAULT_BATCH = 64, MAX_BATCH = 512, DEFAULT_MAX_THREADS = 8 };

/* ---- options and plan ---------------------------------------------------------------------- */

/* How many threads there are if nobody says it. */
static uint32_t default_threads(const edgellm_session_options *o, uint32_t cores)
{
    el_core_list list = {0};
    cpu_set_t allowed;
    if (o->realtime) {
        el_cores_of_thread(&allowed);
        el_cores_list(&list, "/sys/devices/system/cpu", &allowed);
        if (list.fast > 0 && list.fast < cores) cores = list.fast;
    }
    return cores < DEFAULT_MAX_THREADS ? cores : DEFAULT_MAX_THREADS;
}

static edgellm_status resolve_threads(edgellm_session_options *o, edgellm_error *err)
{
    const uint32_t allowed = el_cores_allowed(), reserved = o->reserve_cores;
    if (reserved >= allowed)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "reserve_cores %u: this process may use %u core%s, and needs one", reserved,
                       allowed, allowed == 1 ? "" : "s");
    const uint32_t cores = allowed - reserved;
    if (o->threads == 0) o->threads = default_threads(o, cores);
    if (o->threads <= cores && o->threads <= EL_CREW_MAX) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "threads %u: this process may use %u core%s%s; more threads than cores only "
                   "wait for each other",
                   o->threads, cores, cores == 1 ? "" : "s",
                   reserved ? " besides those reserved" : "");
}

edgellm_status el_session_resolve(const edgellm_engine *engine,
                                  const edgellm_session_options *given, edgellm_session_options *o,
                                  edgellm_error *err)
{
    const uint32_t trained = engine->file.config.context;
    *o = given ? *given : (edgellm_session_options){0};
    if (o->context == 0) o->context = trained < DEFAULT_CONTEXT ? trained : DEFAULT_CONTEXT;
    if (o->batch == 0) o->batch = DEFAULT_BATCH;
    if (o->context > trained)
        return el_fail(err, EDGELLM_ERR_USAGE, "context %u: the model was trained for at most %u",
                       o->context, trained);
    if (o->context > EL_CONTEXT_MAX)
        return el_fail(err, EDGELLM_ERR_USAGE, "context %u: this version holds at most %u",
                       o->context, EL_CONTEXT_MAX);
    if (o->batch > MAX_BATCH)
        return el_fail(err, EDGELLM_ERR_USAGE, "batch %u: at most %d", o->batch, MAX_BATCH);
    EL_TRY(resolve_threads(o, err));
    if (o->kv_bits == 0) o->kv_bits = 8;
    if (o->kv_bits != 16 && o->kv_bits != 8 && o->kv_bits != 4)
        return el_fail(err, EDGELLM_ERR_USAGE, "kv_bits %u: the KV cache has 16, 8 or 4 bits",
                       o->kv_bits);
    if (o->exact && o->kv_bits != 8)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "exact mode keeps float32: it does not go with kv_bits %u", o->kv_bits);
    if (o->exact && o->constant_time)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "exact mode takes its time: it does not go with constant_time");
    if (o->grammar && !engine->grammars)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "room for grammars: open the engine with `grammars` too");
    if (o->batch > o->context) o->batch = o->context;
    return EDGELLM_OK;
}

/* NULL: while measuring, or without. */
static el_matcher *layout_matcher(const edgellm_engine *engine, const edgellm_session_options *o,
                                  el_arena *arena)
{
    el_matcher draft;
    if (!o->grammar) return NULL;
    el_matcher *matcher = el_arena_take(arena, 1, sizeof *matcher);
    el_matcher_layout(&draft, &engine->trie, arena);
    if (matcher) *matcher = draft;
    return matcher;
}

static uint64_t adapter_bytes(const edgellm_engine *engine)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < engine->model.n_loras; i++)
        bytes += engine->loras[i].map.size + engine->loras[i].memory.size;
    return bytes;
}

/* Lays a session out, whose cache takes batches of `room` tokens; run on a measuring arena, then on
 * the real one. */
static edgellm_session *layout(const edgellm_engine *engine, const edgellm_session_options *o,
                               uint32_t room, el_arena *arena, edgellm_memory_plan *plan)
{
    el_forward forward = {.model = &engine->model,
                          .kernels = &engine->kernels,
                          .context = o->context,
                          .batch = o->batch,
                          .threads = o->threads,
                          .room = room,
                          .kv_bits = o->kv_bits,
                          .exact = o->exact,
                          .constant_time = o->constant_time};
    el_sampler sampler;
    edgellm_session *session = el_arena_take(arena, 1, sizeof *session);
    uint32_t *tokens = el_arena_take(arena, o->context, sizeof *tokens);
    const el_vocab *v = &engine->file.vocab;
    el_sampler_layout(&sampler, engine->file.config.vocab, o->context,
                      (el_token_texts){v->bytes, v->starts, v->n_tokens}, arena);
    el_matcher *matcher = layout_matcher(engine, o, arena);
    forward.crew = el_crew_layout(arena);
    el_realtime *realtime = o->realtime ? el_realtime_layout(arena) : NULL;
    size_t before = arena->used;
    el_forward_bytes bytes = el_forward_layout(&forward, arena);
    *plan = (edgellm_memory_plan){
        .weights = engine->file.map.size + adapter_bytes(engine),
        .tables = engine->arena.size + engine->file.vocab_memory.size + engine->trie.arena.size,
        .kv_cache = bytes.kv_cache,
        .scratch = before + bytes.scratch,
        .threads = (uint64_t)(o->threads - 1) * EL_CREW_STACK_TOUCHED,
        .program = engine->program_bytes,
        .session_bytes = arena->used,
        .position_bytes = el_cache_planes(&forward) * el_cache_record_bytes(&forward),
        .context = o->context,
        .batch = o->batch,
        .n_threads = o->threads,
        .window_positions = forward.cache.ring,
    };
    plan->total = plan->weights + plan->tables + plan->kv_cache + plan->scratch + plan->threads +
                  plan->program;
    if (session)
        *session = (edgellm_session){.engine = engine,
                                     .forward = forward,
                                     .sampler = sampler,
                                     .matcher = matcher,
                                     .tokens = tokens,
                                     .plan = *plan,
                                     .realtime = realtime};
    return session;
}

edgellm_memory_plan el_session_plan_of(const edgellm_engine *engine,
                                       const edgellm_session_options *options, uint32_t room)
{
    edgellm_memory_plan plan;
    el_arena measure = el_arena_measure();
    layout(engine, options, room, &measure, &plan);
    return plan;
}

/* Which bytes of a plan a limit is about; `weights`: those too. */
typedef uint64_t (*share_fn)(const edgellm_memory_plan *plan, bool weights);

static uint64_t all_of(const edgellm_memory_plan *plan, bool weights)
{
    (void)weights;
    return plan->total;
}

/* What the system needs beside a plan: page tables, its share of threads, and some pages of code
 * and weights at a time, or nothing else gets done than to read them. */
static uint64_t system_of(const edgellm_memory_plan *plan)
{
    return (UINT64_C(4) << 20) + plan->weights / 256;
}

/* What can't be paged out: weights are read again from the file, unless they are locked or a copy.
 */
static uint64_t kept_of(const edgellm_memory_plan *plan, bool weights)
{
    const uint64_t again = weights ? 0 : plan->weights + plan->program;
    return plan->total - again + system_of(plan);
}

/* Of that, what is not there yet when the engine is open: a copy is. */
static uint64_t taken_of(const edgellm_memory_plan *plan, bool weights)
{
    return plan->session_bytes + plan->threads + (weights ? plan->weights : 0) + system_of(plan);
}

static bool keeps_weights(const edgellm_engine *engine, const edgellm_session_options *o)
{
    return o->realtime || engine->copied;
}

static bool takes_weights(const edgellm_engine *engine, const edgellm_session_options *o)
{
    return o->realtime && !engine->copied;
}

/* The largest context of which that share stays within the limit; 0 if none does. */
static uint32_t fitting_context(const edgellm_engine *engine, edgellm_session_options o,
                                share_fn share, bool weights, uint64_t limit)
{
    uint32_t fits = 0, too_large = o.context;
    while (too_large - fits > 1) {
        o.context = fits + (too_large - fits) / 2;
        if (o.batch > o.context) o.batch = o.context;
        const edgellm_memory_plan plan = el_session_plan_of(engine, &o, o.batch);
        if (share(&plan, weights) <= limit)
            fits = o.context;
        else
            too_large = o.context;
    }
    return fits;
}

static edgellm_status check_cap(const edgellm_engine *engine, const edgellm_session_options *o,
                                const edgellm_memory_plan *plan, edgellm_error *err)
{
    if (o->max_ram == 0 || plan->total <= o->max_ram) return EDGELLM_OK;
    uint32_t fits = fitting_context(engine, *o, all_of, true, o->max_ram);
    if (fits == 0)
        return el_fail(err, EDGELLM_ERR_MEMORY,
                       "the plan needs %" PRIu64 " bytes, the cap is %" PRIu64
                       ": no context fits (weights alone take %" PRIu64 ")",
                       plan->total, o->max_ram, plan->weights);
    return el_fail(err, EDGELLM_ERR_MEMORY,
                   "the plan needs %" PRIu64 " bytes, the cap is %" PRIu64
                   ": a context of %u tokens would fit",
                   plan->total, o->max_ram, fits);
}

/* Ends a sentence: what could be done. */
static const char *remedy(uint32_t fits, char *text, size_t size)
{
    if (fits == 0) return "no context fits";
    snprintf(text, size, "a context of %u tokens would fit", fits);
    return text;
}

/* What can't be paged out must fit into what control groups allow, or the kernel ends the program
 * in the middle of an answer. */
edgellm_status el_session_check_limit(const edgellm_memory_plan *plan, bool weights, uint64_t limit,
                                      uint32_t fits, edgellm_error *err)
{
    char text[64];
    const uint64_t kept = kept_of(plan, weights);
    if (limit == 0 || kept <= limit) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY,
                   "the session keeps %" PRIu64 " bytes in memory%s, but the control group of this "
                   "process allows %" PRIu64 ": %s",
                   kept, weights ? " (the weights too)" : "", limit,
                   remedy(fits, text, sizeof text));
}

static edgellm_status check_group(const edgellm_engine *engine, const edgellm_session_options *o,
                                  const edgellm_memory_plan *plan, uint64_t limit,
                                  edgellm_error *err)
{
    const bool weights = keeps_weights(engine, o);
    if (limit == 0 || kept_of(plan, weights) <= limit) return EDGELLM_OK;
    return el_session_check_limit(plan, weights, limit,
                                  fitting_context(engine, *o, kept_of, weights, limit), err);
}

/* The same for the machine, of which others have taken a part. */
static edgellm_status check_machine(const edgellm_engine *engine, const edgellm_session_options *o,
                                    const edgellm_memory_plan *plan, uint64_t left,
                                    edgellm_error *err)
{
    char text[64];
    const bool weights = takes_weights(engine, o);
    const uint64_t taken = taken_of(plan, weights);
    if (left == 0 || taken <= left || o->memory) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY,
                   "the session takes %" PRIu64 " bytes of memory%s, but this machine has %" PRIu64
                   " left: %s",
                   taken, weights ? " (the weights too)" : "", left,
                   remedy(fitting_context(engine, *o, taken_of, weights, left), text, sizeof text));
}

/* Does the session fit into group and machine? *limit: what the smaller has; 0: nobody knows. */
static edgellm_status check_room(const edgellm_engine *engine, const edgellm_session_options *o,
                                 const edgellm_memory_plan *plan, uint64_t *limit,
                                 edgellm_error *err)
{
    const uint64_t group = el_quota_memory("/proc/self/cgroup", "/sys/fs/cgroup");
    const uint64_t left = el_quota_left("/proc/meminfo");
    EL_TRY(check_group(engine, o, plan, group, err));
    EL_TRY(check_machine(engine, o, plan, left, err));
    *limit = group == 0 || (left > 0 && left < group) ? left : group;
    return EDGELLM_OK;
}

edgellm_status edgellm_plan(const char *path, const edgellm_session_options *options,
                            edgellm_memory_plan *plan, edgellm_error *err)
{
    edgellm_engine *engine;
    edgellm_session_options o;
    const edgellm_engine_options with = {.grammars = options && options->grammar};
    EL_TRY(edgellm_engine_open(path, &with, &engine, err));
    edgellm_status status = el_session_resolve(engine, options, &o, err);
    if (status == EDGELLM_OK) {
        *plan = el_session_plan_of(engine, &o, o.batch);
        status = check_cap(engine, &o, plan, err);
    }
    edgellm_engine_close(engine);
    return status;
}

/* ---- life ---------------------------------------------------------------------------------- */

edgellm_status el_session_memory(el_arena *arena, const edgellm_session_options *o, size_t bytes,
                                 edgellm_error *err)
{
    if (!o->memory && o->memory_bytes == 0) return el_arena_reserve(arena, bytes, err);
    if (!o->memory)
        return el_fail(err, EDGELLM_ERR_USAGE, "memory_bytes is %zu, but memory is NULL",
                       o->memory_bytes);
    const unsigned past = (uintptr_t)o->memory % EDGELLM_MEMORY_ALIGN;
    if (past != 0)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "the session's memory at %p is %u bytes past a multiple of %d: align it",
                       o->memory, past, EDGELLM_MEMORY_ALIGN);
    if (o->memory_bytes < bytes)
        return el_fail(err, EDGELLM_ERR_MEMORY,
                       "the session's memory has %zu bytes, but %zu are needed: see session_bytes "
                       "of edgellm_plan()",
                       o->memory_bytes, bytes);
    *arena = el_arena_borrow(o->memory, bytes);
    return EDGELLM_OK;
}

/* After everything is in memory: from here on the thread is real-time. */
static void begin_realtime(edgellm_session *s)
{
    const edgellm_engine *e = s->engine;
    if (!s->realtime) return;
    el_realtime_lock(s->realtime, e->arena.base, e->arena.size);
    el_realtime_lock(s->realtime, e->file.vocab_memory.base, e->file.vocab_memory.size);
    if (e->grammars) el_realtime_lock(s->realtime, e->trie.arena.base, e->trie.arena.size);
    if (!s->arena.borrowed) el_realtime_lock(s->realtime, s->arena.base, s->arena.size);
    el_realtime_lock(s->realtime, e->file.map.data, e->file.map.size);
    for (uint32_t i = 0; i < e->model.n_loras; i++) {
        el_realtime_lock(s->realtime, e->loras[i].map.data, e->loras[i].map.size);
        el_realtime_lock(s->realtime, e->loras[i].memory.base, e->loras[i].memory.size);
    }
    el_realtime_start(s->realtime, s->forward.crew);
}

static edgellm_status build(const edgellm_engine *engine, const edgellm_session_options *o,
                            uint32_t room, edgellm_session **session, edgellm_error *err)
{
    edgellm_memory_plan plan = el_session_plan_of(engine, o, room);
    el_arena arena;
    uint64_t limit = 0;
    EL_TRY(check_cap(engine, o, &plan, err));
    EL_TRY(check_room(engine, o, &plan, &limit, err));
    EL_TRY(el_session_memory(&arena, o, (size_t)plan.session_bytes, err));
    edgellm_session *s = layout(engine, o, room, &arena, &plan);
    edgellm_status status = el_crew_start(s->forward.crew, o->threads, err);
    if (status != EDGELLM_OK) {
        el_arena_release(&arena);
        return status;
    }
    el_arena_settle(&arena);
    if (engine->copied || limit == 0 || plan.weights + taken_of(&plan, false) <= limit)
        el_mapfile_settle(&engine->file.map);
    else
        el_mapfile_stream(&engine->file.map);
    for (uint32_t i = 0; i < engine->model.n_loras; i++)
        el_mapfile_settle(&engine->loras[i].map);
    s->arena = arena;
    begin_realtime(s);
    *session = s;
    return EDGELLM_OK;
}

edgellm_status el_session_build(const edgellm_engine *engine,
                                const edgellm_session_options *options, uint32_t room,
                                edgellm_session **session, edgellm_error *err)
{
    el_fpenv env = el_fpenv_enter();
    edgellm_status status = build(engine, options, room, session, err);
    el_fpenv_leave(env);
    return status;
}

edgellm_status edgellm_session_open(const edgellm_engine *engine,
                                    const edgellm_session_options *options,
                                    edgellm_session **session, edgellm_error *err)
{
    edgellm_session_options o;
    EL_TRY(el_session_resolve(engine, options, &o, err));
    return el_session_build(engine, &o, o.batch, session, err);
}

void edgellm_session_close(edgellm_session *session)
{
    if (!session) return;
    el_arena arena = session->arena; /* the session lies in it */
    el_realtime_stop(session->realtime);
    el_crew_stop(session->forward.crew);
    el_arena_release(&arena);
}

/* ---- computing ----------------------------------------------------------------------------- */

edgellm_status el_session_check_tokens(const edgellm_session *s, const uint32_t *tokens,
                                       size_t count, edgellm_error *err)
{
    const uint32_t vocab = s->engine->file.config.vocab, context = s->forward.context;
    if (count == 0) return el_fail(err, EDGELLM_ERR_USAGE, "no tokens to compute");
    if (count > context - s->position)
        return el_fail(err, EDGELLM_ERR_CONTEXT,
                       "%zu tokens at position %u do not fit into the context of %u: shorten the "
                       "text or ask for a larger context",
                       count, s->position, context);
    for (size_t i = 0; i < count; i++)
        if (tokens[i] >= vocab)
            return el_fail(err, EDGELLM_ERR_USAGE, "token %u (at %zu): ids are 0 to %u", tokens[i],
                           i, vocab - 1);
    return EDGELLM_OK;
}

bool el_session_run_batch(edgellm_session *s, const uint32_t *tokens, uint32_t n, float *all,
                          bool last)
{
    return el_session_run_by(s, s, tokens, n, all, last);
}

bool el_session_run_by(edgellm_session *worker, edgellm_session *s, const uint32_t *tokens,
                       uint32_t n, float *all, bool last)
{
    el_forward *f = &worker->forward;
    f->tokens = tokens;
    f->n = n;
    for (uint32_t i = 0; i < n; i++)
        f->places[i] = el_cache_place(&s->forward, s->position + i);
    f->head_first = all ? 0 : last ? n - 1 : n;
    f->head_out = all ? all : s->forward.logits;
    el_forward_run(f);
    if (f->stopped) {
        el_cache_forget(&s->forward, s->position, s->position + n);
        return false;
    }
    memmove(s->tokens + s->position, tokens, n * sizeof *tokens); /* they may lie there already */
    s->position += n;
    return true;
}

enum { AT_ONCE = 16 }; /* a number that the compiler makes vectors of */

/* Adding to the exponent sets the sign where all its bits are. */
static bool all_finite(const float *x, size_t n)
{
    uint32_t seen[AT_ONCE] = {0}, any = 0;
    size_t i = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE)
        for (int j = 0; j < AT_ONCE; j++)
            seen[j] |= (el_bits_of_float(x[i + (size_t)j]) & 0x7f800000u) + 0x00800000u;
    for (; i < n; i++)
        any |= (el_bits_of_float(x[i]) & 0x7f800000u) + 0x00800000u;
    for (int j = 0; j < AT_ONCE; j++)
        any |= seen[j];
    return any >> 31 == 0;
}

edgellm_status el_session_check_logits(const edgellm_session *s, const float *logits, size_t rows,
                                       edgellm_error *err)
{
    const size_t n = rows * s->engine->file.config.vocab;
    if (all_finite(logits, n)) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "the logits overflow: the weights of this model are damaged or far too large");
}

static edgellm_status was_stopped(const edgellm_session *s, uint32_t n, size_t done, size_t count,
                                  edgellm_error *err)
{
    return el_fail(err, EDGELLM_ERR_DEADLINE,
                   "the deadline passed while %u token%s at position %u %s computed (%zu of %zu "
                   "tokens were computed before)",
                   n, n == 1 ? "" : "s", s->position, n == 1 ? "was" : "were", done, count);
}

/* Would a batch of n tokens end too late? `done` of `count` tokens are computed. */
static edgellm_status check_deadline(const edgellm_session *s, uint32_t n, size_t done,
                                     size_t count, edgellm_error *err)
{
    if (s->deadline == 0) return EDGELLM_OK;
    const el_nanoseconds now = el_clock_now();
    const double left = (double)(int64_t)(s->deadline - now);
    double needed = s->has_costs ? el_forecast_needed(&s->costs, s->position, n) : 0;
    if (s->has_costs && done + n == count)
        needed += el_forecast_choice(&s->costs, el_session_choice(s));
    if (left > 0 && left >= needed) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_DEADLINE,
                   "%u token%s at position %u may take %.2f ms, %.2f ms are left until the "
                   "deadline (%zu of %zu tokens were computed)",
                   n, n == 1 ? "" : "s", s->position, needed / 1e6, left / 1e6, done, count);
}

static edgellm_status run_batches(edgellm_session *s, const uint32_t *tokens, size_t count,
                                  float *all_logits, edgellm_error *err)
{
    const size_t vocab = s->engine->file.config.vocab;
    for (size_t done = 0; done < count;) {
        size_t left = count - done, n = left < s->forward.batch ? left : s->forward.batch;
        float *all = all_logits ? all_logits + done * vocab : NULL;
        el_realtime_border(s->realtime, n > 1);
        EL_TRY(check_deadline(s, (uint32_t)n, done, count, err));
        if (!el_session_run_batch(s, tokens + done, (uint32_t)n, all, done + n == count))
            return was_stopped(s, (uint32_t)n, done, count, err);
        s->logits_at = 0;
        done += n;
    }
    return EDGELLM_OK;
}

/* The deadline is not looked at: what was there before has to be there again. */
void el_session_reach(edgellm_session *s)
{
    const uint32_t position = s->position;
    const uint64_t deadline = s->forward.deadline;
    if (el_cache_reaches(&s->forward, position)) return;
    s->forward.deadline = 0;
    for (s->position = 0; s->position < position;) {
        const uint32_t left = position - s->position, batch = s->forward.batch;
        el_session_run_batch(s, s->tokens + s->position, left < batch ? left : batch, NULL, false);
    }
    s->forward.deadline = deadline;
}

/* All batches were computed: are the logits numbers? */
static edgellm_status finish_eval(edgellm_session *s, size_t count, const float *all_logits,
                                  edgellm_error *err)
{
    const size_t vocab = s->engine->file.config.vocab;
    if (all_logits)
        memcpy(s->forward.logits, all_logits + (count - 1) * vocab, vocab * sizeof(float));
    edgellm_status status = el_session_check_logits(s, all_logits ? all_logits : s->forward.logits,
                                                    all_logits ? count : 1, err);
    if (status == EDGELLM_OK) {
        s->logits_at = s->position;
    } else {
        s->position -= (uint32_t)count;
        el_cache_forget(&s->forward, s->position, s->position + (uint32_t)count);
        el_session_reach(s);
    }
    return status;
}

edgellm_status edgellm_session_eval(edgellm_session *session, const uint32_t *tokens, size_t count,
                                    float *all_logits, edgellm_error *err)
{
    EL_TRY(el_session_check_tokens(session, tokens, count, err));
    el_fpenv env = el_fpenv_enter();
    session->forward.deadline = session->deadline;
    edgellm_status status = run_batches(session, tokens, count, all_logits, err);
    session->forward.deadline = 0;
    if (status == EDGELLM_OK) status = finish_eval(session, count, all_logits, err);
    el_fpenv_leave(env);
    return status;
}

const float *edgellm_session_logits(const edgellm_session *session)
{
    return session->forward.logits;
}

uint32_t edgellm_session_position(const edgellm_session *session)
{
    return session->position;
}

const uint32_t *edgellm_session_tokens(const edgellm_session *session)
{
    return session->tokens;
}

void edgellm_session_plan(const edgellm_session *session, edgellm_memory_plan *plan)
{
    *plan = session->plan;
}

void edgellm_session_realtime(const edgellm_session *session, edgellm_realtime *report)
{
    *report = session->realtime ? *el_realtime_report(session->realtime) : (edgellm_realtime){0};
}

edgellm_status edgellm_session_truncate(edgellm_session *session, uint32_t position,
                                        edgellm_error *err)
{
    if (position > session->position)
        return el_fail(err, EDGELLM_ERR_USAGE, "cannot cut at %u: the session holds %u tokens",
                       position, session->position);
    if (!el_cache_reaches(&session->forward, position))
        return el_fail(err, EDGELLM_ERR_CONTEXT,
                       "cannot cut at %u: layers with a window of %u have gone on to %u and no "
                       "longer hold what comes before: cut at 0 and compute the tokens again",
                       position, session->engine->file.config.window, session->position);
    session->position = position;
    return EDGELLM_OK;
}

edgellm_status edgellm_session_shift(edgellm_session *session, uint32_t keep, uint32_t *dropped,
                                     edgellm_error *err)
{
    const uint32_t drops = keep < session->position ? (session->position - keep) / 2 : 0;
    const uint32_t left = session->position - keep - drops;
    if (drops == 0)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "nothing to drop behind %u tokens: the session holds %u", keep,
                       session->position);
    uint32_t *tokens = session->tokens + keep;
    memmove(tokens, tokens + drops, left * sizeof *tokens);
    const uint32_t from = el_cache_reaches(&session->forward, keep) ? keep : 0;
    session->position = from;
    session->logits_at = 0;
    EL_TRY(edgellm_session_eval(session, session->tokens + from, keep + left - from, NULL, err));
    if (dropped) *dropped = drops;
    return EDGELLM_OK;
}

edgellm_status edgellm_session_set_sampler(edgellm_session *session,
                                           const edgellm_sampler_options *options,
                                           edgellm_error *err)
{
    return el_sampler_set(&session->sampler, options, err);
}

uint64_t edgellm_hash_logits(uint64_t hash, const float *logits, uint32_t vocab)
{
    for (uint32_t i = 0; i < vocab; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        if (logits[i] != logits[i]) bits = QUIET_NAN; /* processors differ in sign and payload */
        hash = (hash ^ bits) * 1099511628211u;
    }
    return hash;
}
