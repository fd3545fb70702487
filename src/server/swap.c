#include "server/swap.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/quota.h"
#include "server/loop.h"
#include "server/server_state.h"
#include "server/stream.h"

#define SECOND UINT64_C(1000000000)

const char *const el_swap_result_names[EL_SWAP_RESULTS] = {
    [EL_SWAP_SWAPPED] = "swapped", [EL_SWAP_SAME] = "same", [EL_SWAP_KEPT] = "kept"};

static const el_generation_options *options_of(const el_server *server)
{
    return &server->compute.options.model;
}

/* ---- the thread beside --------------------------------------------------------------------- */

static void *run(void *context)
{
    el_server *server = context;
    (void)setpriority(PRIO_PROCESS, 0, 19); /* of this thread */
    server->swap.work(server);
    atomic_store(&server->swap.is_done, true);
    el_loop_wake(server);
    return NULL;
}

/* Where there can be no further thread, everybody waits for the work. */
static void begin_work(el_server *server, void (*work)(el_server *server))
{
    el_swap *swap = &server->swap;
    swap->work = work;
    atomic_store(&swap->is_done, false);
    swap->is_threaded = pthread_create(&swap->thread, NULL, run, server) == 0;
    if (swap->is_threaded) return;
    work(server);
    atomic_store(&swap->is_done, true);
}

static void join(el_swap *swap)
{
    if (swap->is_threaded) pthread_join(swap->thread, NULL);
    swap->is_threaded = false;
}

static bool work_is_done(el_swap *swap)
{
    if (!atomic_load(&swap->is_done)) return false;
    join(swap);
    return true;
}

/* ---- looking ------------------------------------------------------------------------------- */

/* Bytes that there may be of everything together; 0: nobody knows. */
static uint64_t memory_limit(const el_generation_options *o)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    const uint64_t all = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    const uint64_t group = el_quota_memory("/proc/self/cgroup", "/sys/fs/cgroup");
    if (o->scheduler.session.max_ram > 0) return o->scheduler.session.max_ram;
    return group > 0 && (all == 0 || group < all) ? group : all;
}

/* What both have in common is counted once. A thread that is real-time has one scheduler. */
static bool both_fit(const el_server *server, const el_generation *next)
{
    const el_generation_options *o = options_of(server);
    const uint64_t most = memory_limit(o), common = next->program + o->own_bytes;
    if (o->scheduler.session.realtime) return false;
    return most == 0 || server->now->memory.total + next->memory.total - common <= most;
}

/* Plans count cores, those of the thread that computes. */
static edgellm_status plan_there(el_generation *g, const el_generation_options *o,
                                 edgellm_error *err)
{
    if (o->cores) sched_setaffinity(0, sizeof *o->cores, o->cores);
    return el_generation_plan(g, o, err);
}

/* Twice: most often nothing has changed, which is told without reading the weights. */
static edgellm_status look_at(const el_server *server, el_generation *next, bool *is_same,
                              edgellm_error *err)
{
    const el_generation_options *o = options_of(server);
    const uint32_t *known = server->now->info.identity;
    next->looks = true;
    EL_TRY(el_generation_load(next, o, err));
    *is_same = memcmp(next->info.identity, known, sizeof next->info.identity) == 0;
    if (*is_same) return EDGELLM_OK;
    el_generation_unload(next);
    next->verifies = true;
    EL_TRY(el_generation_load(next, o, err));
    return plan_there(next, o, err);
}

/* Would it, if the one before were gone? */
static bool fits_alone(const el_server *server, const el_generation *next)
{
    const uint64_t left = el_quota_left("/proc/meminfo");
    return left == 0 || next->memory.total <= left + server->now->memory.total;
}

/* Of weights that are copied a look takes no memory: only what fits is opened so. Others may have
 * taken what a second copy needs: then, too, it is one after the other. */
static edgellm_status open_as_served(el_server *server, el_generation *next, edgellm_error *err)
{
    next->looks = false;
    if (!options_of(server)->engine.copy) return EDGELLM_OK;
    el_generation_unload(next);
    const edgellm_status status = el_generation_load(next, options_of(server), err);
    if (status != EDGELLM_ERR_MEMORY || !fits_alone(server, next)) return status;
    server->swap.fits = false;
    return EDGELLM_OK;
}

/* In the thread beside. What is not to be served is closed there, too. */
static void look(el_server *server)
{
    el_swap *swap = &server->swap;
    el_generation *next = swap->next;
    edgellm_status status = look_at(server, next, &swap->is_same, &swap->error);
    swap->fits = status == EDGELLM_OK && both_fit(server, next);
    if (swap->fits)
        status = open_as_served(server, next, &swap->error);
    else
        next->looks = false;
    swap->error.status = status;
    if (status != EDGELLM_OK || swap->is_same)
        el_generation_close(next);
    else if (!swap->fits)
        el_generation_unload(next);
}

static void close_one(el_server *server)
{
    el_generation_close(server->swap.closed);
}

/* ---- what is told -------------------------------------------------------------------------- */

static bool logs_json(const el_server *server)
{
    return server->options->log_requests;
}

/* It is over: systemd waits for this after each signal, of several after the last. */
static void tell(el_server *server, el_swap_result result)
{
    server->metrics.models[result]++;
    if (!server->swap.is_wanted && !server->is_draining) el_notify("READY=1");
}

static void tell_kept(el_server *server)
{
    el_log_message(&server->log, logs_json(server), "%s; the model stays as it was",
                   server->swap.error.message);
    tell(server, EL_SWAP_KEPT);
}

static void tell_same(el_server *server)
{
    el_log_message(&server->log, logs_json(server), "%s: the model is the same", server->model);
    tell(server, EL_SWAP_SAME);
}

static void tell_swapped(el_server *server)
{
    const el_generation *g = server->now;
    el_log_message(&server->log, logs_json(server),
                   "%s: another model from now on, %s: sessions of %u tokens, %.1f MB",
                   server->model, g->fingerprint, g->memory.context, (double)g->memory.total / 1e6);
    tell(server, EL_SWAP_SWAPPED);
}

/* ---- steps --------------------------------------------------------------------------------- */

static void give(el_server *server, el_generation *g)
{
    g->number = ++server->swap.n_models;
    g->program = server->swap.program;
    server->swap.next = g;
    el_compute_give(&server->compute, g);
}

static el_generation *free_one(el_server *server)
{
    el_generation *all = server->compute.generations;
    return &all[server->now == &all[0]];
}

static edgellm_status idle(el_server *server, edgellm_error *err)
{
    el_swap *swap = &server->swap;
    (void)err;
    if (!swap->is_wanted || server->is_draining) return EDGELLM_OK;
    swap->is_wanted = false;
    swap->next = free_one(server);
    swap->next->program = swap->program;
    snprintf(swap->next->kernel, sizeof swap->next->kernel, "%s",
             server->now->info.kernel); /* it was chosen when nothing disturbed */
    swap->state = EL_SWAP_LOOKS;
    begin_work(server, look);
    return EDGELLM_OK;
}

static edgellm_status looks(el_server *server, edgellm_error *err)
{
    el_swap *swap = &server->swap;
    (void)err;
    if (!work_is_done(swap)) return EDGELLM_OK;
    swap->state = EL_SWAP_IDLE;
    if (swap->error.status != EDGELLM_OK) {
        tell_kept(server);
    } else if (swap->is_same) {
        tell_same(server);
    } else if (server->is_draining) {
        el_generation_close(swap->next);
    } else if (swap->fits) {
        give(server, swap->next);
        swap->state = EL_SWAP_PREPARES;
    } else {
        el_log_message(&server->log, logs_json(server),
                       "%s: another model, which does not fit beside this one: what runs may end "
                       "first",
                       server->model);
        swap->is_exclusive = true;
        swap->state = EL_SWAP_DRAINS;
    }
    return EDGELLM_OK;
}

static void close_beside(el_server *server, el_generation *g)
{
    server->swap.closed = g;
    server->swap.state = EL_SWAP_CLOSES;
    begin_work(server, close_one);
}

static edgellm_status prepares(el_server *server, edgellm_error *err)
{
    el_swap *swap = &server->swap;
    el_generation *next = swap->next;
    const el_generation_stage stage = el_generation_stage_of(next);
    (void)err;
    if (stage == EL_GENERATION_READY) {
        server->earlier = server->now;
        server->now = next;
        swap->state = EL_SWAP_RETIRES;
        tell_swapped(server);
    } else if (stage == EL_GENERATION_FAILED) {
        swap->error = next->error;
        tell_kept(server);
        close_beside(server, next);
    }
    return EDGELLM_OK;
}

/* Answers that were told are kept no longer than until they are in the way. */
static bool is_unused(el_server *server, el_generation *g, bool is_in_the_way)
{
    el_streams_look(server);
    while (is_in_the_way && el_streams_make_room(server, &g->tasks)) {
    }
    if (el_tasks_are_free(&g->tasks) && el_slots_stage(&g->slots) == EL_SLOT_FREE) return true;
    if (!server->is_draining) el_loop_wake_at(server, el_clock_now() + SECOND);
    return false;
}

static void retire(el_server *server, el_generation *g)
{
    server->earlier = g;
    server->swap.state = EL_SWAP_LEAVES;
    el_compute_retire(&server->compute, g);
}

static edgellm_status retires(el_server *server, edgellm_error *err)
{
    (void)err;
    if (is_unused(server, server->earlier, server->swap.is_wanted)) retire(server, server->earlier);
    return EDGELLM_OK;
}

static edgellm_status drains(el_server *server, edgellm_error *err)
{
    el_generation *g = server->now;
    (void)err;
    if (server->is_draining || !is_unused(server, g, true)) return EDGELLM_OK;
    server->now = NULL;
    retire(server, g);
    return EDGELLM_OK;
}

static edgellm_status leaves(el_server *server, edgellm_error *err)
{
    el_swap *swap = &server->swap;
    el_generation *g = server->earlier;
    (void)err;
    if (el_generation_stage_of(g) != EL_GENERATION_LEFT) return EDGELLM_OK;
    if (swap->is_exclusive) {
        swap->file = g->file;
        g->file = -1;
    }
    server->earlier = NULL;
    close_beside(server, g);
    return EDGELLM_OK;
}

/* The one that failed is closed: its place is for the earlier one again. */
static void go_back(el_swap *swap)
{
    swap->next->file = swap->file;
    swap->next->is_back = true;
    swap->file = -1;
}

static edgellm_status closes(el_server *server, edgellm_error *err)
{
    el_swap *swap = &server->swap;
    (void)err;
    if (!work_is_done(swap)) return EDGELLM_OK;
    swap->state = swap->is_exclusive ? EL_SWAP_ALONE : EL_SWAP_IDLE;
    if (!swap->is_exclusive) return EDGELLM_OK;
    if (swap->closed == swap->next) go_back(swap);
    give(server, swap->next);
    return EDGELLM_OK;
}

/* ---- one model at a time ------------------------------------------------------------------- */

static void close_file(el_swap *swap)
{
    if (swap->file >= 0) close(swap->file);
    swap->file = -1;
}

static void take_up(el_server *server)
{
    el_swap *swap = &server->swap;
    const bool is_first = swap->program == 0;
    server->now = swap->next;
    swap->program = server->now->memory.program;
    swap->state = EL_SWAP_IDLE;
    swap->is_exclusive = false;
    close_file(swap);
    if (is_first)
        el_server_say_ready(server);
    else if (server->now->is_back)
        tell_kept(server);
    else
        tell_swapped(server);
}

static edgellm_status alone(el_server *server, edgellm_error *err)
{
    el_swap *swap = &server->swap;
    el_generation *next = swap->next;
    const el_generation_stage stage = el_generation_stage_of(next);
    if (stage == EL_GENERATION_READY) take_up(server);
    if (stage != EL_GENERATION_FAILED) return EDGELLM_OK;
    if (swap->file < 0) {
        *err = next->error;
        return err->status;
    }
    swap->error = next->error;
    close_beside(server, next);
    return EDGELLM_OK;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static edgellm_status (*const steps[EL_SWAP_STATES])(el_server *server, edgellm_error *err) = {
    [EL_SWAP_ALONE] = alone,       [EL_SWAP_IDLE] = idle,       [EL_SWAP_LOOKS] = looks,
    [EL_SWAP_PREPARES] = prepares, [EL_SWAP_RETIRES] = retires, [EL_SWAP_DRAINS] = drains,
    [EL_SWAP_LEAVES] = leaves,     [EL_SWAP_CLOSES] = closes,
};

edgellm_status el_swap_go_on(el_server *server, edgellm_error *err)
{
    el_swap_state before;
    do {
        before = server->swap.state;
        EL_TRY(steps[before](server, err));
    } while (server->swap.state != before);
    return EDGELLM_OK;
}

void el_swap_begin(el_server *server)
{
    server->swap.file = -1;
    give(server, &server->compute.generations[0]);
}

void el_swap_want(el_server *server)
{
    server->swap.is_wanted = true;
}

uint32_t el_swap_retry_after(const el_server *server)
{
    static const uint32_t most = 600;
    uint32_t seconds = 1 + server->options->calibrate_ms / 1000;
    if (server->now) seconds += el_tasks_all_after(&server->now->tasks, el_clock_now());
    return seconds < most ? seconds : most;
}

void el_swap_close(el_server *server)
{
    join(&server->swap);
    close_file(&server->swap);
}
