#include "server/compute.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"

/* ---- promises ------------------------------------------------------------------------------ */

static bool is_ready(const el_generation *g)
{
    return el_generation_stage_of(g) == EL_GENERATION_READY;
}

/* The other one that is ready; NULL: there is none. */
static el_generation *other_of(el_compute *c, const el_generation *g)
{
    el_generation *other = &c->generations[g == &c->generations[0]];
    return is_ready(other) ? other : NULL;
}

static bool has_promises(const el_generation *g)
{
    for (uint32_t i = 0; i < g->n_running; i++)
        if (g->running[i]->request.deadline_ns != 0) return true;
    return false;
}

static bool awaits_promises(const el_generation *g)
{
    for (uint32_t i = 0; i < g->n_waiting; i++)
        if (g->waiting[i]->request.deadline_ns != 0) return true;
    return false;
}

/* Schedulers know only their own: so one at a time has promises, and the earlier one first. */
static bool may_promise(el_compute *c, const el_generation *g)
{
    const el_generation *other = other_of(c, g);
    if (c->is_holding) return false;
    if (!other) return true;
    return !has_promises(other) && (g->number < other->number || !awaits_promises(other));
}

/* ---- tasks begin --------------------------------------------------------------------------- */

static void end(el_task *task, edgellm_finish finish)
{
    task->finish = finish;
    el_task_set_stage(task, EL_STAGE_ENDED);
}

static void take_new(el_generation *g)
{
    for (el_task *task = el_tasks_next(&g->tasks); task; task = el_tasks_next(&g->tasks))
        g->waiting[g->n_waiting++] = task;
}

/* Before that one: the higher priority; of equal ones the earlier deadline, and any deadline before
 * none. */
static bool goes_before(const el_task *a, const el_task *b)
{
    if (a->request.priority != b->request.priority)
        return a->request.priority > b->request.priority;
    return a->request.deadline_ns - 1 < b->request.deadline_ns - 1; /* 0, none, is the largest */
}

/* The place of the task that is to have the next slot; n_waiting: there is none. */
static uint32_t first_waiting(const el_generation *g, bool with_deadlines)
{
    uint32_t first = g->n_waiting;
    for (uint32_t i = 0; i < g->n_waiting; i++) {
        if (!with_deadlines && g->waiting[i]->request.deadline_ns != 0) continue;
        if (first == g->n_waiting || goes_before(g->waiting[i], g->waiting[first])) first = i;
    }
    return first;
}

static void remove_waiting(el_generation *g, uint32_t place)
{
    g->n_waiting--;
    memmove(g->waiting + place, g->waiting + place + 1, (g->n_waiting - place) * sizeof(el_task *));
}

enum { SHORTENINGS = 4 };

/* Where nobody said how many tokens, as many as fit before the deadline: a few less than the
 * refusal says, since time goes on. */
static edgellm_status submit(const el_generation *g, el_task *task)
{
    for (int i = 0;; i++) {
        task->began_ns = el_clock_now();
        const edgellm_status status = edgellm_scheduler_submit(
            g->scheduler, &task->request, &task->id, &task->forecast, &task->error);
        const uint32_t fit = task->forecast.tokens;
        if (status != EDGELLM_ERR_DEADLINE || !task->may_shorten || i == SHORTENINGS) return status;
        if (fit == 0 || fit > task->request.max_tokens) return status;
        task->request.max_tokens = fit - fit / 64;
    }
}

/* Tokens of a request's prompt that its slot held already. */
static uint32_t held_for(const el_generation *g, uint64_t id)
{
    edgellm_slot slot;
    for (uint32_t i = 0; edgellm_scheduler_slot(g->scheduler, i, &slot); i++)
        if (slot.id == id) return slot.held;
    return 0;
}

/* False: there is no slot. A task that was refused is the network's again. */
static bool begin(el_compute *c, el_generation *g, el_task *task, bool *refused)
{
    const edgellm_status status = submit(g, task);
    if (status == EDGELLM_ERR_BUSY) return false;
    if (status != EDGELLM_OK) {
        end(task, EDGELLM_FINISH_NOT);
        *refused = true;
        return true;
    }
    task->error.status = EDGELLM_OK;
    task->was_taken = true;
    task->cached = held_for(g, task->id);
    el_histogram_add(&c->meters.queue, task->began_ns - task->asked_ns);
    if (task->request.deadline_ns != 0) el_counter_add(&c->meters.accepted, 1);
    g->running[g->n_running++] = task;
    el_task_set_stage(task, EL_STAGE_RUNNING);
    return true;
}

/* Into free slots; true if one of them was refused instead. */
static bool begin_waiting(el_compute *c, el_generation *g)
{
    bool refused = false;
    for (;;) {
        const uint32_t place = first_waiting(g, may_promise(c, g));
        if (place == g->n_waiting || !begin(c, g, g->waiting[place], &refused)) return refused;
        remove_waiting(g, place);
    }
}

/* Who waits and was cancelled, or whose time has passed, waits no more. */
static bool end_waiting(el_generation *g)
{
    const uint64_t now = el_clock_now();
    bool ended = false;
    for (uint32_t i = g->n_waiting; i-- > 0;) {
        el_task *task = g->waiting[i];
        const bool late = task->request.deadline_ns != 0 && now >= task->request.deadline_ns;
        const bool cancelled = atomic_load(&task->is_cancelled);
        if (!late && !cancelled) continue;
        if (cancelled)
            task->began_ns = now; /* all that it did was to wait */
        else
            el_fail(&task->error, EDGELLM_ERR_DEADLINE,
                    "the deadline has passed while all slots were taken");
        remove_waiting(g, i);
        end(task, cancelled ? EDGELLM_FINISH_CANCELLED : EDGELLM_FINISH_NOT);
        ended = true;
    }
    return ended;
}

static void cancel_running(const el_generation *g)
{
    for (uint32_t i = 0; i < g->n_running; i++)
        if (atomic_load(&g->running[i]->is_cancelled))
            edgellm_scheduler_cancel(g->scheduler, g->running[i]->id); /* again: without effect */
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

static bool change_running(el_compute *c, const el_generation *g, el_task *task)
{
    const uint64_t deadline = task->changed.deadline_ns;
    edgellm_forecast *f = &task->changed.forecast;
    const double passed = (double)(el_clock_now() - task->began_ns);
    const el_generation *other = other_of(c, g);
    if (deadline != 0 && other && has_promises(other)) {
        *f = (edgellm_forecast){.answer_ns = 0};
        el_fail(&task->changed.error, EDGELLM_ERR_DEADLINE,
                "another model keeps deadlines now; the deadline is as it was: try again");
        return false;
    }
    if (edgellm_scheduler_set_deadline(g->scheduler, task->id, deadline, f, &task->changed.error) !=
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
static bool change_deadlines(el_compute *c, el_generation *g)
{
    const uint32_t n = g->n_running + g->n_waiting;
    bool any = false;
    for (uint32_t i = 0; i < n; i++) {
        const bool runs = i < g->n_running;
        el_task *task = runs ? g->running[i] : g->waiting[i - g->n_running];
        if (el_task_change(task) != EL_CHANGE_ASKED) continue;
        const bool taken = runs ? change_running(c, g, task) : change_waiting(task);
        el_task_answer_change(task, taken ? EL_CHANGE_TAKEN : EL_CHANGE_REFUSED);
        any = true;
    }
    return any;
}

/* ---- and end ------------------------------------------------------------------------------- */

static void take_token(el_compute *c, el_task *task, const edgellm_event *event)
{
    const uint64_t now = el_clock_now();
    const uint64_t last = atomic_load_explicit(&task->last_ns, memory_order_relaxed);
    if (last == 0)
        el_histogram_add(&c->meters.first, now - task->asked_ns);
    else
        el_histogram_add(&c->meters.gap, now - last);
    if (event->top) el_task_set_top(task, event->top);
    task->hash = event->hash;
    if (event->shifted) atomic_fetch_add_explicit(&task->n_shifts, 1, memory_order_relaxed);
    el_task_add(task, event->token, event->logprob, now);
}

static void take_event(el_compute *c, el_generation *g, const edgellm_event *event,
                       const edgellm_error *err)
{
    uint32_t i = 0;
    while (i < g->n_running && g->running[i]->id != event->id)
        i++;
    if (i == g->n_running) return; /* there is none that was not submitted here */
    el_task *task = g->running[i];
    if (event->has_token) take_token(c, task, event);
    if (event->embedding) el_tasks_set_embedding(&g->tasks, task, event->embedding);
    if (event->finish == EDGELLM_FINISH_NOT) return;
    g->running[i] = g->running[--g->n_running];
    if (event->finish == EDGELLM_FINISH_FAILED) task->error = *err;
    end(task, event->finish);
}

/* Does one action. False: there was nothing to do. */
static bool turn(el_compute *c, el_generation *g)
{
    edgellm_turn t;
    edgellm_error err = {EDGELLM_OK, ""};
    (void)edgellm_scheduler_turn(g->scheduler, &t, &err); /* those that failed get the error */
    bool any_ends = false;
    for (uint32_t i = 0; i < t.n_events; i++) {
        take_event(c, g, &t.events[i], &err);
        any_ends |= t.events[i].finish != EDGELLM_FINISH_NOT;
    }
    if (t.n_events > 0) (any_ends ? c->options.wake : c->options.show)(c->options.context);
    return t.steps + t.prompt_tokens + t.n_events > 0;
}

/* ---- two models ---------------------------------------------------------------------------- */

/* Is there time for the next action of one, for which every promise of the other waits? */
static bool has_time(el_compute *c, const el_generation *g)
{
    const el_generation *other = other_of(c, g);
    double next;
    if (!other) return true;
    (void)edgellm_scheduler_slack(g->scheduler, &next);
    return EDGELLM_ADMITTED_AT * next <= edgellm_scheduler_slack(other->scheduler, NULL);
}

/* Somebody has a deadline, or may get one: what holds him up is not done. */
static bool is_promised(const el_compute *c)
{
    bool promised = false;
    for (int i = 0; i < EL_GENERATIONS; i++) {
        const el_generation *g = &c->generations[i];
        if (is_ready(g)) promised |= has_promises(g) || awaits_promises(g);
    }
    return promised;
}

/* True if there was something to do with a file. */
static bool keep_slots(const el_compute *c, el_generation *g)
{
    bool is_ending = false; /* who was cancelled has his slot until the next turn: wait for it */
    for (uint32_t i = 0; i < g->n_running; i++)
        is_ending |= atomic_load(&g->running[i]->is_cancelled);
    const bool did = !is_ending && el_slots_work(&g->slots, g->scheduler, is_promised(c));
    el_slots_show(&g->slots, g->scheduler);
    return did;
}

/* What the network wants. True: there is an answer to it. */
static bool take_in(el_compute *c, el_generation *g)
{
    take_new(g);
    const bool changed = change_deadlines(c, g); /* before a cancel that came after it */
    cancel_running(g);
    const bool ended = end_waiting(g);
    const bool refused = begin_waiting(c, g);
    const bool kept = keep_slots(c, g);
    return changed || ended || refused || kept;
}

/* For who watches the thread: it goes on, and is busy from here on or not. */
static void move_on(el_compute *c, bool is_busy)
{
    const uint32_t before = atomic_load_explicit(&c->moves, memory_order_relaxed);
    atomic_store_explicit(&c->moves, (before | 1) + (is_busy ? 2 : 1), memory_order_relaxed);
}

/* Does an action of each that is ready. False: there was nothing to do. */
static bool serve_once(el_compute *c)
{
    bool answered = false, worked = false;
    move_on(c, true);
    for (int i = 0; i < EL_GENERATIONS; i++)
        if (is_ready(&c->generations[i])) answered |= take_in(c, &c->generations[i]);
    if (answered) c->options.wake(c->options.context);
    for (int i = 0; i < EL_GENERATIONS; i++) {
        el_generation *g = &c->generations[i];
        if (is_ready(g) && has_time(c, g)) worked |= turn(c, g);
    }
    return worked;
}

/* ---- making ready -------------------------------------------------------------------------- */

typedef struct making {
    el_compute *c;
    const el_generation *made;
} making;

/* A step of a model that nobody has measured, by those of the one that there is. */
static double guess_step(const making *m, const el_generation *known)
{
    const double bytes = (double)known->info.token_bytes;
    const double step = known->costs.step + known->costs.step_position * m->made->memory.context;
    const double ratio = bytes > 0 ? (double)m->made->info.token_bytes / bytes : 1;
    return 2 * step * (ratio > 1 ? ratio : 1);
}

/* Before a piece of that work: the other model goes on until its promises leave time for it. */
static bool make_time(void *context, double ns)
{
    const making *m = context;
    el_compute *c = m->c;
    const el_generation *other = other_of(c, m->made);
    if (!other) return !atomic_load(&c->is_stopping);
    const double needed = EDGELLM_ADMITTED_AT * (ns > 0 ? ns : guess_step(m, other));
    const uint64_t until = el_clock_now() + c->options.patience_ns;
    do {
        (void)serve_once(c);
        c->is_holding = el_clock_now() >= until;
    } while (!atomic_load(&c->is_stopping) &&
             edgellm_scheduler_slack(other->scheduler, NULL) < needed);
    c->is_holding = false;
    move_on(c, false);
    return !atomic_load(&c->is_stopping);
}

static void make_ready(el_compute *c, el_generation *g)
{
    making m = {c, g};
    const el_generation_pauses pauses = {make_time, &m};
    move_on(c, false);
    const edgellm_status status =
        el_generation_open(g, &c->options.model, &c->wake, &pauses, &g->error);
    el_generation_set_stage(g, status == EDGELLM_OK ? EL_GENERATION_READY : EL_GENERATION_FAILED);
    c->options.wake(c->options.context);
}

/* A scheduler that may have made this thread real-time is closed by it; others where it disturbs
 * nobody. */
static void let_go(el_compute *c, el_generation *g)
{
    if (c->options.model.scheduler.session.realtime) {
        edgellm_scheduler_close(g->scheduler);
        g->scheduler = NULL;
    }
    el_generation_set_stage(g, EL_GENERATION_LEFT);
    c->options.wake(c->options.context);
}

/* What the network wants done with whole models. */
static void change_models(el_compute *c)
{
    for (int i = 0; i < EL_GENERATIONS; i++) {
        el_generation *g = &c->generations[i];
        const el_generation_stage stage = el_generation_stage_of(g);
        if (stage == EL_GENERATION_GIVEN) make_ready(c, g);
        if (stage == EL_GENERATION_RETIRED) let_go(c, g);
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

/* By the thread that they may have made real-time. */
static void close_schedulers(el_compute *c)
{
    for (int i = 0; i < EL_GENERATIONS; i++) {
        el_generation *g = &c->generations[i];
        const el_generation_stage stage = el_generation_stage_of(g);
        if (stage != EL_GENERATION_READY && stage != EL_GENERATION_RETIRED) continue;
        edgellm_scheduler_close(g->scheduler);
        g->scheduler = NULL;
    }
}

static void *run(void *context)
{
    el_compute *c = context;
    const cpu_set_t *cores = c->options.model.cores;
    if (cores) sched_setaffinity(0, sizeof *cores, cores);
    while (!atomic_load(&c->is_stopping)) {
        change_models(c);
        if (serve_once(c)) continue;
        move_on(c, false);
        el_tasks_wait(&c->wake);
    }
    close_schedulers(c);
    return NULL;
}

edgellm_status el_compute_start(el_compute *compute, const el_compute_options *options,
                                edgellm_error *err)
{
    *compute = (el_compute){.options = *options};
    for (int i = 0; i < EL_GENERATIONS; i++)
        el_generation_clear(&compute->generations[i]);
    sem_init(&compute->wake, 0, 0);
    const int failure = pthread_create(&compute->thread, NULL, run, compute);
    if (failure == 0) return EDGELLM_OK;
    sem_destroy(&compute->wake);
    return el_fail(err, EDGELLM_ERR_MEMORY, "cannot start the thread that computes: %s",
                   strerror(failure));
}

static void tell(el_compute *compute, el_generation *g, el_generation_stage stage)
{
    el_generation_set_stage(g, stage);
    sem_post(&compute->wake);
}

void el_compute_give(el_compute *compute, el_generation *g)
{
    tell(compute, g, EL_GENERATION_GIVEN);
}

void el_compute_retire(el_compute *compute, el_generation *g)
{
    tell(compute, g, EL_GENERATION_RETIRED);
}

bool el_compute_is_stuck(const el_compute *compute, uint32_t *moves)
{
    const uint32_t before = *moves;
    *moves = atomic_load_explicit(&compute->moves, memory_order_relaxed);
    return *moves % 2 == 1 && *moves == before;
}

void el_compute_stop(el_compute *compute)
{
    atomic_store(&compute->is_stopping, true);
    sem_post(&compute->wake);
    pthread_join(compute->thread, NULL);
}

void el_compute_close(el_compute *compute)
{
    for (int i = 0; i < EL_GENERATIONS; i++)
        el_generation_close(&compute->generations[i]);
    sem_destroy(&compute->wake);
}
