#include "batch/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fnv.h"
#include "batch/census.h"
#include "batch/envelope.h"
#include "batch/ledger.h"
#include "batch/reply.h"
#include "server/compute.h"
#include "server/json_limits.h"
#include "server/json_room.h"
#include "server/model_name.h"
#include "server/prepare.h"

static const uint64_t look_ns = 200000000; /* for signals, and the time between two reports */

/* A request that waits or is computed; it has the place of its task. */
typedef struct place {
    bool is_taken;
    uint64_t number; /* of its line */
    char custom_id[EL_ENVELOPE_ID + 1];
    el_answer answer;
} place;

typedef struct batch {
    const el_batch_options *options;
    el_batch_counts *counts;
    int input;
    el_lines lines;
    el_census census;
    struct stat before; /* of the input */
    uint64_t fingerprint;
    char model[128], bits[64];
    el_ledger ledger;
    el_compute compute;
    el_generation *served; /* the one that there is */
    bool is_computing;
    sem_t wake;
    el_ask ask;
    place *places; /* (tasks) */
    uint32_t n_places, n_taken;
    bool at_end; /* of the input */
    uint64_t reported_ns;
} batch;

/* ---- opening ------------------------------------------------------------------------------- */

static edgellm_status open_input(batch *b, edgellm_error *err)
{
    const char *path = b->options->input;
    b->input = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer, too */
    if (b->input < 0)
        return el_fail(err, EDGELLM_ERR_IO, "cannot read '%.300s': %s", path, strerror(errno));
    if (fstat(b->input, &b->before) != 0 || !S_ISREG(b->before.st_mode))
        return el_fail(err, EDGELLM_ERR_IO,
                       "'%.300s' is no regular file: it is read twice, and again after a stop",
                       path);
    return el_lines_open(&b->lines, b->input, path, (size_t)b->options->max_line, err);
}

/* The answers' bits depend on these. */
static edgellm_status take_fingerprint(batch *b, edgellm_error *err)
{
    const el_batch_options *o = b->options;
    const uint64_t width = o->session.kv_bits == 8 ? 0 : o->session.kv_bits;
    const uint64_t mode = o->session.exact + 2 * width;
    const uint64_t numbers[] = {b->census.hash, o->seed, o->session.context, mode, o->max_line};
    edgellm_engine *engine;
    edgellm_model_info info;
    const char *form = o->engine.chat_form;
    EL_TRY(
        edgellm_engine_open(o->model, &(edgellm_engine_options){.chat_form = form}, &engine, err));
    edgellm_engine_info(engine, &info);
    uint64_t hash = el_fnv(EDGELLM_HASH_START, EDGELLM_VERSION, sizeof EDGELLM_VERSION);
    hash = el_fnv(hash, info.identity, sizeof info.identity);
    if (form) hash = el_fnv(hash, form, strlen(form));
    b->fingerprint = el_fnv(hash, numbers, sizeof numbers);
    el_model_name(o->model, b->model, sizeof b->model);
    el_model_name_bits(&info, b->bits, sizeof b->bits);
    edgellm_engine_close(engine);
    return EDGELLM_OK;
}

static void wake(void *context)
{
    sem_post(context);
}

static edgellm_status start_computing(batch *b, edgellm_error *err)
{
    const el_batch_options *o = b->options;
    const uint64_t own = el_json_room((size_t)o->max_line, EL_JSON_VALUES) + b->lines.size +
                         el_ledger_bytes(b->census.lines) + sizeof *b + b->n_places * sizeof(place);
    const el_compute_options options = {
        .model = {.model = o->model,
                  .engine = o->engine,
                  .scheduler = {.session = o->session, .slots = o->sessions},
                  .queue = b->n_places - o->sessions,
                  .top_logprobs = EDGELLM_TOP_LOGPROBS,
                  .own_bytes = own,
                  .calibrate_ns = o->calibrate_ms * UINT64_C(1000000)},
        .wake = wake,
        .show = wake,
        .context = &b->wake,
    };
    b->places = calloc(b->n_places, sizeof *b->places);
    if (!b->places) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for the requests in hand");
    EL_TRY(el_compute_start(&b->compute, &options, err));
    b->is_computing = true;
    b->served = &b->compute.generations[0];
    el_compute_give(&b->compute, b->served);
    return EDGELLM_OK;
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* Until the compute thread has something, or it is time to look around. */
static void wait_a_little(batch *b)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)look_ns;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)sem_timedwait(&b->wake, &until);
    while (sem_trywait(&b->wake) == 0) {
    }
}

static edgellm_status check_interrupted(const batch *b, edgellm_error *err)
{
    if (b->options->interrupted() == 0) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_INTERRUPTED,
                   "stopped with %" PRIu64 " of %" PRIu64 " requests answered: the same command "
                   "goes on from there",
                   b->ledger.n_done, b->census.requests);
}

static edgellm_status wait_until_ready(batch *b, edgellm_error *err)
{
    while (el_generation_stage_of(b->served) == EL_GENERATION_GIVEN) {
        EL_TRY(check_interrupted(b, err));
        wait_a_little(b);
    }
    if (el_generation_stage_of(b->served) == EL_GENERATION_READY) return EDGELLM_OK;
    *err = b->served->error;
    return err->status;
}

static void report(batch *b)
{
    const uint64_t now = el_clock_now();
    if (now - b->reported_ns < look_ns) return;
    b->reported_ns = now;
    b->options->progress(b->options->context, b->counts);
}

/* ---- requests begin ------------------------------------------------------------------------ */

/* What only makes sense where somebody waits for the answer. */
static bool check_ask(const el_ask *ask, el_problem *problem)
{
    if (ask->stream)
        return el_problem_set(problem, EL_PROBLEM_REQUEST, "stream",
                              "'stream' is not for a batch: its answers are whole");
    if (ask->n > 1)
        return el_problem_set(problem, EL_PROBLEM_REQUEST, "n",
                              "'n' is 1 in a batch: write a line for each choice");
    if (ask->deadline_ms > 0)
        return el_problem_set(problem, EL_PROBLEM_REQUEST, "deadline_ms",
                              "'deadline_ms' is not for a batch: nobody waits for its answers");
    return true;
}

/* Takes the body over. */
static bool prepare(batch *b, const el_envelope *e, el_task *task, el_problem *problem)
{
    el_ask *ask = &b->ask;
    if (!el_ask_read_object(ask, e->url->form, json_incref(e->body), problem)) return false;
    if (!check_ask(ask, problem)) return false;
    if (!ask->has_seed) ask->sampler.seed = b->options->seed;
    ask->has_seed = true;
    const el_prepare_room space = {b->served->memory.context, b->served->tasks.answer};
    return el_prepare_task(task, ask, b->served->engine, &space, problem);
}

static void hand_over(batch *b, const el_envelope *e, el_task *task, uint64_t number)
{
    place *p = &b->places[task - b->served->tasks.list];
    el_answer *a = &p->answer;
    p->is_taken = true;
    p->number = number;
    b->n_taken++;
    snprintf(p->custom_id, sizeof p->custom_id, "%s", e->custom_id);
    a->wire = e->url->wire;
    a->engine = b->served->engine;
    a->tasks = &b->served->tasks;
    a->task = task;
    a->model = b->model;
    a->fingerprint = b->bits;
    a->created = time(NULL);
    a->stops = b->ask.stops;
    a->include_usage = a->tells_cached = a->is_cancelled = false;
    a->ignore_eos = b->ask.ignore_eos;
    a->deadline_ms = 0;
    a->tells = a->wire->details && b->ask.logprobs;
    a->logprobs = (el_logprobs){.before = el_logprobs_chars(b->ask.prompt, b->ask.prompt_len)};
    snprintf(a->id, sizeof a->id, "%s-%016" PRIx64, e->url->id, b->fingerprint ^ number);
    el_prepare_calls(&b->ask, a->engine, &a->call_form, &a->only_first_calls);
    el_answer_open(a);
    el_tasks_hand_over(a->tasks, task);
}

/* Begins the request of a line, or answers it at once with what is wrong. */
static edgellm_status begin(batch *b, const el_line *line, el_task *task, edgellm_error *err)
{
    el_envelope envelope;
    el_envelope_fault fault;
    el_problem problem;
    edgellm_status status = EDGELLM_OK;
    if (!el_envelope_read(&envelope, line, &fault)) {
        status = el_reply_fault(&b->ledger, line->number, envelope.custom_id, &fault, err);
        b->counts->unreadable++;
    } else {
        if (prepare(b, &envelope, task, &problem)) {
            hand_over(b, &envelope, task, line->number);
        } else {
            status = el_reply_problem(&b->ledger, line->number, envelope.custom_id, &problem, err);
            b->counts->refused++;
        }
        el_ask_release(&b->ask);
    }
    el_envelope_release(&envelope);
    el_json_room_empty();
    return status;
}

/* Reads on until all tasks are taken. */
static edgellm_status begin_more(batch *b, edgellm_error *err)
{
    el_tasks *tasks = &b->served->tasks;
    el_line line;
    bool any;
    while (!b->at_end) {
        EL_TRY(check_interrupted(b, err));
        el_tasks_sweep(tasks);
        el_task *task = el_tasks_find(tasks);
        if (!task) break;
        EL_TRY(el_lines_next(&b->lines, &line, &any, err));
        b->at_end = !any;
        if (!any || el_envelope_is_blank(&line) || line.number > b->census.lines ||
            el_ledger_has(&b->ledger, line.number))
            continue;
        EL_TRY(begin(b, &line, task, err));
        report(b);
    }
    return EDGELLM_OK;
}

/* ---- and end ------------------------------------------------------------------------------- */

static void count(el_batch_counts *counts, const el_answer *a)
{
    if (a->has_failed) {
        counts->refused++;
        return;
    }
    counts->answered++;
    counts->prompt_tokens += a->task->request.count;
    counts->answer_tokens += a->n_text;
}

static edgellm_status end(batch *b, place *p, edgellm_error *err)
{
    el_answer *a = &p->answer;
    count(b->counts, a);
    const edgellm_status status =
        a->has_failed ? el_reply_problem(&b->ledger, p->number, p->custom_id, &a->problem, err)
                      : el_reply_answer(&b->ledger, p->number, p->custom_id, a, err);
    el_answer_close(a);
    p->is_taken = false;
    b->n_taken--;
    return status;
}

static edgellm_status end_some(batch *b, edgellm_error *err)
{
    for (uint32_t i = 0; i < b->n_places; i++) {
        place *p = &b->places[i];
        if (p->is_taken && el_answer_look(&p->answer)) EL_TRY(end(b, p, err));
    }
    return EDGELLM_OK;
}

static edgellm_status work(batch *b, edgellm_error *err)
{
    while (!b->at_end || b->n_taken > 0) {
        EL_TRY(check_interrupted(b, err));
        EL_TRY(begin_more(b, err));
        EL_TRY(end_some(b, err));
        report(b);
        if (b->n_taken > 0 || !b->at_end) wait_a_little(b);
    }
    return EDGELLM_OK;
}

/* ---- life ---------------------------------------------------------------------------------- */

static edgellm_status compute(batch *b, edgellm_error *err)
{
    b->n_places = 2 * b->options->sessions; /* as many wait as are computed */
    EL_TRY(start_computing(b, err));
    EL_TRY(wait_until_ready(b, err));
    EL_TRY(el_lines_seek(&b->lines, 0, 1, err));
    return work(b, err);
}

/* Line numbers mean something only while the input is what it was. */
static edgellm_status check_unchanged(const batch *b, edgellm_error *err)
{
    struct stat now;
    if (fstat(b->input, &now) == 0 && now.st_size == b->before.st_size &&
        now.st_mtim.tv_sec == b->before.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == b->before.st_mtim.tv_nsec)
        return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_IO,
                   "'%.150s' was changed while it was computed: '%.150s' is of no use; remove it",
                   b->options->input, b->ledger.part);
}

static edgellm_status run(batch *b, edgellm_error *err)
{
    EL_TRY(open_input(b, err));
    EL_TRY(el_json_room_open(el_json_room((size_t)b->options->max_line, EL_JSON_VALUES), err));
    EL_TRY(el_census_take(&b->census, &b->lines, b->options->interrupted, err));
    b->counts->requests = b->census.requests;
    EL_TRY(take_fingerprint(b, err));
    EL_TRY(el_ledger_open(&b->ledger, b->options->output, b->fingerprint, b->census.lines,
                          b->census.requests, err));
    b->counts->earlier = b->ledger.n_done;
    if (b->ledger.is_finished) return EDGELLM_OK;
    if (b->ledger.n_done < b->census.requests) EL_TRY(compute(b, err));
    EL_TRY(check_unchanged(b, err));
    return el_ledger_finish(&b->ledger, err);
}

static void stop(batch *b)
{
    for (uint32_t i = 0; b->places && i < b->n_places; i++)
        if (b->places[i].is_taken) el_answer_close(&b->places[i].answer);
    if (!b->is_computing) return;
    el_compute_stop(&b->compute);
    el_compute_close(&b->compute);
}

edgellm_status el_batch_run(const el_batch_options *options, el_batch_counts *counts,
                            edgellm_error *err)
{
    batch *b = calloc(1, sizeof *b);
    if (!b) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for the batch");
    *counts = (el_batch_counts){0};
    *b = (batch){.options = options, .counts = counts, .input = -1, .ledger = {.fd = -1}};
    sem_init(&b->wake, 0, 0);
    const edgellm_status status = run(b, err);
    stop(b);
    el_json_room_close();
    el_ledger_close(&b->ledger);
    el_lines_close(&b->lines);
    if (b->input >= 0) close(b->input);
    sem_destroy(&b->wake);
    free(b->places);
    free(b);
    return status;
}
