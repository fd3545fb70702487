#include "server/answer.h"

#include <string.h>

void el_answer_open(el_answer *answer)
{
    memset(&answer->ahead, 0, sizeof answer->ahead);
    answer->ahead.stops = &answer->stops;
    answer->ahead.calls.form = answer->call_form;
    answer->ahead.calls.only_first = answer->only_first_calls;
    answer->written = answer->ahead;
    answer->has_begun = answer->has_ended = answer->has_failed = answer->is_cancelled = false;
    answer->n_text = answer->no_call_at = 0;
    answer->finish = NULL;
}

void el_answer_close(el_answer *answer)
{
    if (answer->task) el_tasks_abandon(answer->tasks, answer->task);
    answer->task = NULL;
}

/* ---- looking ahead ------------------------------------------------------------------------- */

static void end(el_answer *a, const char *finish)
{
    a->has_ended = true;
    a->n_text = a->ahead.at;
    a->last_ns = atomic_load_explicit(&a->task->last_ns, memory_order_relaxed);
    a->finish = finish;
}

/* What a status of the library is here. */
static el_problem_kind kind_of(edgellm_status status)
{
    switch (status) {
    case EDGELLM_ERR_DEADLINE:
        return EL_PROBLEM_DEADLINE;
    case EDGELLM_ERR_CONTEXT:
        return EL_PROBLEM_CONTEXT;
    case EDGELLM_ERR_USAGE:
    case EDGELLM_ERR_UNSUPPORTED: /* a grammar of too many ways */
        return EL_PROBLEM_REQUEST;
    default:
        return EL_PROBLEM_INTERNAL;
    }
}

static void fail(el_answer *a)
{
    const el_task *task = a->task;
    const el_problem_kind kind = kind_of(task->error.status);
    a->has_failed = true;
    if (task->finish == EDGELLM_FINISH_CANCELLED) {
        el_problem_set(&a->problem, EL_PROBLEM_STOPPING, NULL, "The server is shutting down");
        return;
    }
    el_problem_set(&a->problem, kind, kind == EL_PROBLEM_DEADLINE ? "deadline_ms" : NULL, "%s",
                   task->error.message);
    a->problem.has_forecast = kind == EL_PROBLEM_DEADLINE && task->forecast.answer_ns > 0;
    a->problem.forecast = task->forecast;
}

static void read_token(el_answer *a, uint32_t token)
{
    const char *text;
    size_t len;
    el_reader_push(&a->ahead, a->engine, token, &text);
    while (el_reader_call(&a->ahead, &text, &len) != EL_CALL_NONE)
        continue;
    if (!el_calls_are_open(&a->ahead.calls)) a->no_call_at = a->ahead.at;
}

/* Reads on until something ends the text. */
static void read_tokens(el_answer *a, uint32_t n)
{
    const uint32_t *tokens = a->task->tokens + a->task->request.count;
    while (!a->has_ended && a->ahead.at < n) {
        const uint32_t token = tokens[a->ahead.at];
        if (!a->ignore_eos && edgellm_is_end(a->engine, token)) {
            end(a, "stop");
            return;
        }
        read_token(a, token);
        if (a->ahead.search.found) end(a, "stop");
    }
}

/* How many tokens may be written. */
static uint32_t may_write(const el_answer *a)
{
    return a->wire->whole_calls && !a->has_ended ? a->no_call_at : a->ahead.at;
}

bool el_answer_look(el_answer *a)
{
    if (a->has_failed) return true;
    const bool was_over = a->has_ended;
    const el_stage stage = el_task_stage(a->task); /* first: its tokens are all there then */
    const uint32_t n = atomic_load_explicit(&a->task->n_answer, memory_order_acquire);
    read_tokens(a, n);
    if (a->has_ended && !was_over && stage != EL_STAGE_ENDED) el_tasks_cancel(a->tasks, a->task);
    if (!a->has_ended && stage == EL_STAGE_ENDED) {
        const edgellm_finish finish = a->task->finish;
        if (finish == EDGELLM_FINISH_LENGTH || finish == EDGELLM_FINISH_DEADLINE)
            end(a, "length");
        else if (finish == EDGELLM_FINISH_CANCELLED && a->is_cancelled)
            end(a, "cancelled");
        else
            fail(a);
    }
    return a->has_ended || a->has_failed || (a->wire->streams && a->written.at < may_write(a));
}

/* ---- writing ------------------------------------------------------------------------------- */

static bool has_room(const el_out *out)
{
    return out->room - out->used >= EL_ANSWER_ROOM;
}

static void write_piece(const el_answer *a, const char *text, size_t len, el_out *out)
{
    if (len > 0) a->wire->piece(a, text, len, out);
}

static void write_calls(el_answer *a, el_out *out)
{
    const el_calls *calls = &a->written.calls;
    const char *piece;
    size_t len;
    el_call_part part;
    while ((part = el_reader_call(&a->written, &piece, &len)) != EL_CALL_NONE) {
        const uint32_t n = part == EL_CALL_ENDS ? calls->n_done : calls->n;
        if (a->wire->whole_calls && n > a->ahead.calls.n_done) continue;
        if (part == EL_CALL_BEGINS)
            a->wire->call(a, calls, out);
        else if (part == EL_CALL_ARGUMENTS)
            a->wire->arguments(a, calls, piece, len, out);
        else
            a->wire->call_end(a, out);
    }
}

/* The tokens that `ahead` has read. False: there is no room for all. */
static bool write_tokens(el_answer *a, el_out *out)
{
    const uint32_t *tokens = a->task->tokens + a->task->request.count;
    while (a->written.at < may_write(a)) {
        const char *text;
        if (!has_room(out)) return false;
        const size_t len = el_reader_push(&a->written, a->engine, tokens[a->written.at], &text);
        write_piece(a, text, len, out);
        write_calls(a, out);
    }
    return true;
}

/* What was held back. */
static bool write_rest(el_answer *a, el_out *out)
{
    for (;;) {
        const char *text;
        if (!has_room(out)) return false;
        const size_t len = el_reader_flush(&a->written, &text);
        if (len == 0) return true;
        write_piece(a, text, len, out);
    }
}

bool el_answer_write(el_answer *a, el_out *out)
{
    if (!a->has_begun) a->wire->begin(a, out);
    a->has_begun = true;
    if (a->has_failed) {
        if (has_room(out)) a->wire->fail(a, &a->problem, out);
        return true;
    }
    if (!write_tokens(a, out) || !a->has_ended || !write_rest(a, out)) return false;
    a->wire->end(a, out);
    return true;
}

el_answer_times el_answer_times_of(const el_answer *answer)
{
    const el_task *task = answer->task;
    const uint64_t first = atomic_load(&task->first_ns), last = atomic_load(&task->last_ns);
    el_answer_times times = {.queue_ns = task->began_ns - task->asked_ns};
    if (first > 0) times.prompt_ns = first - task->began_ns;
    if (first > 0) times.answer_ns = last - first;
    return times;
}

void el_answer_write_deadline(const el_answer *a, el_out *out)
{
    const bool ended = a->finish[0] == 'l' && a->task->finish == EDGELLM_FINISH_DEADLINE;
    if (a->deadline_ms == 0) return;
    el_out_print(out, ",\"deadline\":{\"deadline_ms\":%u,\"forecast_ms\":", a->deadline_ms);
    el_out_real(out, a->task->forecast.answer_ns / 1e6);
    el_out_print(out, ",\"max_tokens\":%u,\"ended_by_deadline\":%s}", a->task->request.max_tokens,
                 ended ? "true" : "false");
}
