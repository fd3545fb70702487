#include "server/compute.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

/* ---- tasks begin --------------------------------------------------------------------------- */

static void end(el_task *task, edgellm_finish finish)
{
    task->finish = finish;
    el_task_set_stage(task, EL_STAGE_ENDED);
}

static void take_new(el_compute *c)
{
    for (el_task *task = el_tasks_next(&c->tasks); task; task = el_tasks_next(&c->tasks))
        c->waiting[c->n_waiting++] = task;
}

/* Before that one: the earlier deadline, and any deadline before none. */
static bool goes_before(const el_task *a, const el_task *b)
{
    return a->request.deadline_ns - 1 < b->request.deadline_ns - 1; /* 0, none, is the largest */
}

/* The place of the task that is to have the next slot. */
static uint32_t first_waiting(const el_compute *c)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < c->n_waiting; i++)
        if (goes_before(c->waiting[i], c->waiting[first])) first = i;
    return first;
}

static void remove_waiting(el_compute *c, uint32_t place)
{
    c->n_waiting--;
    memmove(c->waiting + place, c->waiting + place + 1,
            (c->n_waiting - place) * sizeof *c->waiting);
}

enum { SHORTENINGS = 4 };

/* Where nobody said how many tokens, as many as fit before the deadline: a few less than the
 * refusal says, since time goes on. */
static edgellm_status submit(const el_compute *c, el_task *task)
{
    for (int i = 0;; i++) {
        task->began_ns = el_clock_now();
        const edgellm_status status = edgellm_scheduler_submit(
            c->scheduler, &task->request, &task->id, &task->forecast, &task->error);
        const uint32_t fit = task->forecast.tokens;
        if (status != EDGELLM_ERR_DEADLINE || !task->may_shorten || i == SHORTENINGS) return status;
        if (fit == 0 || fit > task->request.max_tokens) return status;
        task->request.max_tokens = fit - fit / 64;
    }
}

/* Tokens of a request's prompt that its slot held already. */
static uint32_t held_for(const el_compute *c, uint64_t id)
{
    edgellm_slot slot;
    for (uint32_t i = 0; edgellm_scheduler_slot(c->scheduler, i, &slot); i++)
        if (slot.id == id) return slot.held;
    return 0;
}

/* False: there is no slot. A task that was refused is the network's again. */
static bool begin(el_compute *c, el_task *task, bool *refused)
{
    const edgellm_status status = submit(c, task);
    if (status == EDGELLM_ERR_BUSY) return false;
    if (status != EDGELLM_OK) {
        end(task, EDGELLM_FINISH_NOT);
        *refused = true;
        return true;
    }
    task->error.status = EDGELLM_OK;
    task->was_taken = true;
    task->cached = held_for(c, task->id);
    el_histogram_add(&c->meters.queue, task->began_ns - task->asked_ns);
    if (task->request.deadline_ns != 0) el_counter_add(&c->meters.accepted, 1);
    c->running[c->n_running++] = task;
    el_task_set_stage(task, EL_STAGE_RUNNING);
    return true;
}

/* Into free slots; true if one of them was refused instead. */
static bool begin_waiting(el_compute *c)
{
    bool refused = false;
    while (c->n_waiting > 0) {
        const uint32_t place = first_waiting(c);
        if (!begin(c, c->waiting[place], &refused)) break;
        remove_waiting(c, place);
    }
    return refused;
}

/* Who waits and was cancelled, or whose time has passed, waits no more. */
static bool end_waiting(el_compute *c)
{
    const uint64_t now = el_clock_now();
    bool ended = false;
    for (uint32_t i = c->n_waiting; i-- > 0;) {
        el_task *task = c->waiting[i];
        const bool late = task->request.deadline_ns != 0 && now >= task->request.deadline_ns;
        const bool cancelled = atomic_load(&task->is_cancelled);
        if (!late && !cancelled) continue;
        if (cancelled)
            task->began_ns = now; /* all that it did was to wait */
        else
            el_fail(&task->error, EDGELLM_ERR_DEADLINE,
                    "the deadline has passed while all slots were taken");
        remove_waiting(c, i);
        end(task, cancelled ? EDGELLM_FINISH_CANCELLED : EDGELLM_FINISH_NOT);
        ended = true;
    }
    return ended;
}

static void cancel_running(const el_compute *c)
{
    for (uint32_t i = 0; i < c->n_running; i++)
        if (atomic_load(&c->running[i]->is_cancelled))
            edgellm_scheduler_cancel(c->scheduler, c->running[i]->id); /* again: without effect */
}

/* ---- other deadlines ----------------------------------------------------------------------- */

/* Who waits is asked when it gets a slot; here only whether there is any time left. */
static bool change_waiting(el_task *task)
{
    const uint64_t deadline = task->changed.deadline_ns;
    task->changed.forecast = (edgellm_forecast){.answer_ns = 0};
    if (deadline != 0 && deadline <= el_clock_now()) {
        el_fail(&task->changed.error, EDGELLM_ERR_DEADLINE,
                "the new deadline has passed; the deadline is as it was");
        return false;
    }
    task->request.deadline_ns = deadline;
    return true;
}

static bool change_running(el_compute *c, el_task *task)
{
    const uint64_t deadline = task->changed.deadline_ns;
    edgellm_forecast *f = &task->changed.forecast;
    const double passed = (double)(el_clock_now() - task->began_ns);
    if (edgellm_scheduler_set_deadline(c->scheduler, task->id, deadline, f, &task->changed.error) !=
        EDGELLM_OK)
        return false;
    f->first_ns += passed;
    f->answer_ns += passed;
    task->forecast = *f;
    if (task->request.deadline_ns == 0) el_counter_add(&c->meters.accepted, 1);
    task->request.deadline_ns = deadline;
    return true;
}

/* True if one was answered. */
static bool change_deadlines(el_compute *c)
{
    const uint32_t n = c->n_running + c->n_waiting;
    bool any = false;
    for (uint32_t i = 0; i < n; i++) {
        const bool runs = i < c->n_running;
        el_task *task = runs ? c->running[i] : c->waiting[i - c->n_running];
        if (el_task_change(task) != EL_CHANGE_ASKED) continue;
        const bool taken = runs ? change_running(c, task) : change_waiting(task);
        el_task_answer_change(task, taken ? EL_CHANGE_TAKEN : EL_CHANGE_REFUSED);
        any = true;
    }
    return any;
}

/* ---- and end ------------------------------------------------------------------------------- */

static void take_token(el_compute *c, el_task *task, uint32_t token, float logprob)
{
    const uint64_t now = el_clock_now();
    const uint64_t last = atomic_load_explicit(&task->last_ns, memory_order_relaxed);
    if (last == 0)
        el_histogram_add(&c->meters.first, now - task->asked_ns);
    else
        el_histogram_add(&c->meters.gap, now - last);
    el_task_add(task, token, logprob, now);
}

static void take_event(el_compute *c, const edgellm_event *event, const edgellm_error *err)
{
    uint32_t i = 0;
    while (i < c->n_running && c->running[i]->id != event->id)
        i++;
    if (i == c->n_running) return; /* there is none that was not submitted here */
    el_task *task = c->running[i];
    if (event->has_token) take_token(c, task, event->token, event->logprob);
    if (event->finish == EDGELLM_FINISH_NOT) return;
    c->running[i] = c->running[--c->n_running];
    if (event->finish == EDGELLM_FINISH_FAILED) task->error = *err;
    end(task, event->finish);
}

/* Does one action. False: there was nothing to do. */
static bool turn(el_compute *c)
{
    edgellm_turn t;
    edgellm_error err = {EDGELLM_OK, ""};
    (void)edgellm_scheduler_turn(c->scheduler, &t, &err); /* those that failed get the error */
    for (uint32_t i = 0; i < t.n_events; i++)
        take_event(c, &t.events[i], &err);
    if (t.n_events > 0) c->options.wake(c->options.context);
    return t.steps + t.prompt_tokens + t.n_events > 0;
}

/* ---- files of slots ------------------------------------------------------------------------ */

/* Somebody has a deadline, or may get one: what holds him up is not done. */
static bool is_promised(const el_compute *c)
{
    bool promised = false;
    for (uint32_t i = 0; i < c->n_running; i++)
        promised |= c->running[i]->request.deadline_ns != 0;
    for (uint32_t i = 0; i < c->n_waiting; i++)
        promised |= c->waiting[i]->request.deadline_ns != 0;
    return promised;
}

/* True if there was something to do. */
static bool keep_slots(el_compute *c)
{
    bool is_ending = false; /* who was cancelled has his slot until the next turn: wait for it */
    for (uint32_t i = 0; i < c->n_running; i++)
        is_ending |= atomic_load(&c->running[i]->is_cancelled);
    const bool did = !is_ending && el_slots_work(&c->slots, c->scheduler, is_promised(c));
    el_slots_show(&c->slots, c->scheduler);
    return did;
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void serve(el_compute *c)
{
    while (!atomic_load(&c->is_stopping)) {
        take_new(c);
        const bool changed = change_deadlines(c); /* before a cancel that came after it */
        cancel_running(c);
        const bool ended = end_waiting(c);
        const bool refused = begin_waiting(c);
        const bool kept = keep_slots(c);
        if (changed || ended || refused || kept) c->options.wake(c->options.context);
        if (!turn(c)) el_tasks_wait(&c->tasks);
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

/* The plan of the scheduler, and what the server has beside it. */
static edgellm_status check_memory(el_compute *c, uint32_t n_tasks, edgellm_error *err)
{
    const uint64_t most = c->options.scheduler.session.max_ram;
    edgellm_scheduler_memory(c->scheduler, &c->memory);
    uint64_t own = c->options.own_bytes + el_tasks_bytes(n_tasks, c->memory.context);
    el_slots_open(&c->slots, &c->memory, c->options.scheduler.slots);
    if (c->options.keeps_slots) own += c->slots.most_bytes;
    c->memory.total += own;
    if (most == 0 || c->memory.total <= most) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY,
                   "the plan needs %" PRIu64 " bytes, %" PRIu64 " of them for connections and the "
                   "queue; --max-ram is %" PRIu64 ": fewer --sessions, a smaller -c or --queue",
                   c->memory.total, own, most);
}

/* By what is known already, or by a look. */
static edgellm_status find_costs(el_compute *c, edgellm_error *err)
{
    const el_compute_options *o = &c->options;
    edgellm_costs costs;
    if (o->find_costs)
        EL_TRY(o->find_costs(o->costs_context, &c->info, c->scheduler, o->scheduler.slots,
                             &c->forecasts, err));
    if (c->forecasts.are_known) return EDGELLM_OK;
    EL_TRY(edgellm_scheduler_calibrate(c->scheduler, c->options.calibrate_ns, &costs, err));
    return edgellm_scheduler_set_costs(c->scheduler, &costs, err);
}

static edgellm_status load(el_compute *c, edgellm_error *err)
{
    const uint32_t n = c->options.scheduler.slots + c->options.queue;
    if (c->options.cores) sched_setaffinity(0, sizeof *c->options.cores, c->options.cores);
    EL_TRY(edgellm_engine_open(c->options.model, &c->options.engine, &c->engine, err));
    edgellm_engine_info(c->engine, &c->info);
    EL_TRY(edgellm_scheduler_open(c->engine, &c->options.scheduler, &c->scheduler, err));
    EL_TRY(check_memory(c, n, err));
    EL_TRY(el_tasks_open(&c->tasks, n, c->memory.context, err));
    c->waiting = calloc(n, sizeof(el_task *));
    if (!c->waiting) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for a queue of %u", n);
    return find_costs(c, err);
}

static void *run(void *context)
{
    el_compute *c = context;
    const edgellm_status status = load(c, &c->error);
    atomic_store_explicit(&c->readiness,
                          status == EDGELLM_OK ? EL_READINESS_READY : EL_READINESS_FAILED,
                          memory_order_release);
    c->options.wake(c->options.context);
    if (status == EDGELLM_OK) serve(c);
    edgellm_scheduler_close(c->scheduler); /* by the thread that it may have made real-time */
    return NULL;
}

edgellm_status el_compute_start(el_compute *compute, const el_compute_options *options,
                                edgellm_error *err)
{
    *compute = (el_compute){.options = *options};
    const int failure = pthread_create(&compute->thread, NULL, run, compute);
    if (failure == 0) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY, "cannot start the thread that computes: %s",
                   strerror(failure));
}

void el_compute_stop(el_compute *compute)
{
    atomic_store(&compute->is_stopping, true);
    if (el_compute_readiness(compute) == EL_READINESS_READY) el_tasks_wake(&compute->tasks);
    pthread_join(compute->thread, NULL);
}

void el_compute_close(el_compute *compute)
{
    free(compute->waiting);
    el_tasks_close(&compute->tasks);
    edgellm_engine_close(compute->engine);
}
