#include "server/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "server/model_name.h"

/* ---- the file ------------------------------------------------------------------------------ */

static edgellm_status open_file(el_generation *g, const char *path, edgellm_error *err)
{
    if (g->file >= 0) return EDGELLM_OK;
    g->file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (g->file >= 0) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_IO, "cannot open '%.300s': %s", path, strerror(errno));
}

/* Is it still the one with that name? */
static bool is_named(const el_generation *g, const char *path)
{
    struct stat ours, named;
    return fstat(g->file, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

static edgellm_status check_name(const el_generation *g, const char *path, edgellm_error *err)
{
    if (is_named(g, path)) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_IO, "'%.300s' was replaced while it was opened: try again",
                   path);
}

/* By a path that leads to what is open. */
static edgellm_status open_engine(el_generation *g, const el_generation_options *o,
                                  edgellm_error *err)
{
    char again[40];
    edgellm_engine_options engine = o->engine;
    engine.verify |= g->verifies;
    engine.copy &= !g->looks;
    if (g->kernel[0] != '\0') engine.kernel = g->kernel;
    if (!g->is_back) return edgellm_engine_open(o->model, &engine, &g->engine, err);
    snprintf(again, sizeof again, "/proc/self/fd/%d", g->file);
    return edgellm_engine_open(again, &engine, &g->engine, err);
}

static edgellm_status load_once(el_generation *g, const el_generation_options *o,
                                edgellm_error *err)
{
    EL_TRY(open_file(g, o->model, err));
    EL_TRY(open_engine(g, o, err));
    edgellm_engine_info(g->engine, &g->info);
    el_model_name_bits(&g->info, g->fingerprint, sizeof g->fingerprint);
    return EDGELLM_OK;
}

/* A file that was replaced meanwhile is left for the one that has its name now. */
edgellm_status el_generation_load(el_generation *g, const el_generation_options *o,
                                  edgellm_error *err)
{
    for (int tries = 3;; tries--) {
        EL_TRY(load_once(g, o, err));
        if (g->is_back || is_named(g, o->model)) return EDGELLM_OK;
        if (tries == 1) return check_name(g, o->model, err);
        el_generation_unload(g);
        close(g->file);
        g->file = -1;
    }
}

void el_generation_unload(el_generation *g)
{
    edgellm_engine_close(g->engine);
    g->engine = NULL;
}

/* ---- memory -------------------------------------------------------------------------------- */

static uint32_t tasks_of(const el_generation_options *o)
{
    return o->scheduler.slots + o->queue;
}

/* Of a model whose engine is, or was, open. */
static el_tasks_room room_of(const el_generation *g, const el_generation_options *o)
{
    const uint32_t context = g->memory.context;
    return (el_tasks_room){tasks_of(o), context, o->answer > context ? o->answer : context,
                           o->top_logprobs, g->info.dim};
}

/* The plan of the scheduler, and what the server has beside it. What was there before a later model
 * is not the program alone. */
static edgellm_status count_memory(el_generation *g, const el_generation_options *o,
                                   edgellm_error *err)
{
    const uint64_t most = o->scheduler.session.max_ram;
    const el_tasks_room room = room_of(g, o);
    uint64_t own = o->own_bytes + el_tasks_bytes(&room);
    el_slots_open(&g->slots, &g->memory, o->scheduler.slots);
    if (o->keeps_slots) own += g->slots.most_bytes;
    if (g->program > 0) {
        g->memory.total -= g->memory.program;
        g->memory.program = g->program;
        g->memory.total += g->memory.program;
    }
    g->memory.total += own;
    if (most == 0 || g->memory.total <= most) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY,
                   "the plan needs %" PRIu64 " bytes, %" PRIu64 " of them for connections and the "
                   "queue; --max-ram is %" PRIu64
                   ": fewer --sessions, a smaller -c, --queue, --max-answer or --top-logprobs",
                   g->memory.total, own, most);
}

/* The library would count all that is resident, the model before it too. */
static edgellm_scheduler_options options_of(const el_generation *g, const el_generation_options *o)
{
    edgellm_scheduler_options scheduler = o->scheduler;
    if (g->program > 0) scheduler.session.max_ram = 0;
    return scheduler;
}

edgellm_status el_generation_plan(el_generation *g, const el_generation_options *o,
                                  edgellm_error *err)
{
    const edgellm_scheduler_options scheduler = options_of(g, o);
    EL_TRY(edgellm_scheduler_plan(o->model, &scheduler, &g->memory, err));
    EL_TRY(check_name(g, o->model, err));
    return count_memory(g, o, err);
}

/* ---- opening ------------------------------------------------------------------------------- */

/* What opening may take, which is one piece: all memory is touched, the weights are mapped. By the
 * plan, and on a slow board; of the first there is none. */
static double opening_ns(const el_generation *g)
{
    static const double byte_ns = 1, mapped_ns = 0.1;
    return byte_ns * (double)g->memory.session_bytes + mapped_ns * (double)g->memory.weights;
}

static bool may_go_on(const el_generation_pauses *pauses, double ns)
{
    return pauses->before(pauses->context, ns);
}

static edgellm_status open_tasks(el_generation *g, const el_generation_options *o, sem_t *wake,
                                 edgellm_error *err)
{
    const el_tasks_room room = room_of(g, o);
    EL_TRY(el_tasks_open(&g->tasks, &room, wake, err));
    g->waiting = calloc(room.n, sizeof(el_task *));
    if (g->waiting) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for a queue of %u", room.n);
}

/* By what is known already, or by a look. */
static edgellm_status find_costs(el_generation *g, const el_generation_options *o,
                                 const el_generation_pauses *pauses, edgellm_error *err)
{
    if (o->find_costs)
        EL_TRY(o->find_costs(o->costs_context, &g->info, g->scheduler, o->scheduler.slots,
                             &g->forecasts, err));
    g->costs = g->forecasts.costs;
    if (g->forecasts.are_known) return EDGELLM_OK;
    EL_TRY(edgellm_scheduler_calibrate_beside(g->scheduler, o->calibrate_ns, pauses->before,
                                              pauses->context, &g->costs, err));
    return edgellm_scheduler_set_costs(g->scheduler, &g->costs, err);
}

static edgellm_status open_all(el_generation *g, const el_generation_options *o, sem_t *wake,
                               const el_generation_pauses *pauses, edgellm_error *err)
{
    const edgellm_scheduler_options scheduler = options_of(g, o);
    if (!g->engine) EL_TRY(el_generation_load(g, o, err));
    if (!may_go_on(pauses, opening_ns(g)))
        return el_fail(err, EDGELLM_ERR_INTERRUPTED, "the server ends");
    EL_TRY(edgellm_scheduler_open(g->engine, &scheduler, &g->scheduler, err));
    edgellm_scheduler_memory(g->scheduler, &g->memory);
    EL_TRY(count_memory(g, o, err));
    EL_TRY(open_tasks(g, o, wake, err));
    return find_costs(g, o, pauses, err);
}

edgellm_status el_generation_open(el_generation *g, const el_generation_options *o, sem_t *wake,
                                  const el_generation_pauses *pauses, edgellm_error *err)
{
    const edgellm_status status = open_all(g, o, wake, pauses, err);
    if (status == EDGELLM_OK) return status;
    edgellm_scheduler_close(g->scheduler);
    g->scheduler = NULL;
    return status;
}

/* ---- closing ------------------------------------------------------------------------------- */

/* But for the stage, which the compute thread looks at meanwhile. */
void el_generation_clear(el_generation *g)
{
    const size_t begin = offsetof(el_generation, number);
    memset((char *)g + begin, 0, sizeof *g - begin);
    g->file = -1;
    el_generation_set_stage(g, EL_GENERATION_NONE);
}

void el_generation_close(el_generation *g)
{
    edgellm_scheduler_close(g->scheduler);
    free(g->waiting);
    el_tasks_close(&g->tasks);
    edgellm_engine_close(g->engine);
    if (g->file >= 0) close(g->file);
    el_generation_clear(g);
}
