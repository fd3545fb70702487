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
    answer->has_closed = answer->is_telling = answer->is_calling = false;
    answer->has_told = answer->is_sent = false;
    answer->n_text = answer->no_call_at = 0;
    answer->finish = NULL;
    answer->first = answer->current = answer;
    answer->next = NULL;
    answer->index = 0;
}

void el_answer_add(el_answer *last, el_answer *choice)
{
    choice->first = last->first;
    choice->index = last->index + 1;
    last->next = choice;
}

void el_answer_close(el_answer *answer)
{
    for (el_answer *a = answer, *next; a; a = next) {
        if (a->task) el_tasks_abandon(a->tasks, a->task);
        next = a->next;
        a->task = NULL;
        a->next = NULL;
    }
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

static void look_at(el_answer *a)
{
    const bool was_over = a->has_ended;
    const el_stage stage = el_task_stage(a->task); /* first: its tokens are all there then */
    const uint32_t n = atomic_load_explicit(&a->task->n_answer, memory_order_acquire);
    if (a->has_failed) return;
    read_tokens(a, n);
    if (a->has_ended && !was_over && stage != EL_STAGE_ENDED) el_tasks_cancel(a->tasks, a->task);
    if (!a->has_ended && stage == EL_STAGE_ENDED) {
        const edgellm_finish finish = a->task->finish;
        if (finish == EDGELLM_FINISH_LENGTH || finish == EDGELLM_FINISH_DEADLINE)
            end(a, "length");
        else if (finish == EDGELLM_FINISH_END) /* without an end token: an embedding */
            end(a, "stop");
        else if (finish == EDGELLM_FINISH_CANCELLED && a->is_cancelled)
            end(a, "cancelled");
        else
            fail(a);
    }
}

/* The request has failed, as this choice has. */
static void fail_all(el_answer *first, const el_answer *failed)
{
    for (el_answer *a = first; a; a = a->next)
        if (el_task_stage(a->task) != EL_STAGE_ENDED) el_tasks_cancel(a->tasks, a->task);
    first->has_failed = true;
    if (failed != first) first->problem = failed->problem;
}

/* A choice has no slot yet, so that it may still be refused. */
static bool may_be_refused(const el_answer *first)
{
    for (const el_answer *a = first; a && first->deadline_ms > 0; a = a->next)
        if (el_task_stage(a->task) == EL_STAGE_ASKED) return true;
    return false;
}

/* Whole answers are written when all have ended. */
static bool has_news(const el_answer *first)
{
    bool any = false, all = true;
    for (const el_answer *a = first; a; a = a->next) {
        const bool comes = first->wire->streams && a->written.at < may_write(a);
        any |= !a->has_closed && (a->has_ended || comes);
        all &= a->has_ended;
    }
    return any && (all || (first->wire->streams && (first->is_sent || !may_be_refused(first))));
}

bool el_answer_look(el_answer *answer)
{
    el_answer *a = answer;
    do {
        if (answer->has_failed) return true;
        look_at(a);
        if (a->has_failed) fail_all(answer, a);
        a = a->next;
    } while (a);
    return answer->has_failed || has_news(answer);
}

/* ---- writing ------------------------------------------------------------------------------- */

static void write_piece(el_answer *a, const char *text, size_t len, el_out *out)
{
    a->wire->piece(a, text, len, out);
    a->is_telling = a->wire->streams && a->tells;
}

/* What belongs behind the last piece. False: there is no room for all. */
static bool finish_piece(el_answer *a, el_out *out)
{
    if (a->is_telling && a->wire->details(a, out)) a->is_telling = false;
    return !a->is_telling;
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

/* What belongs behind the last token: behind its piece, then its calls. False: likewise. */
static bool finish_token(el_answer *a, el_out *out)
{
    if (!finish_piece(a, out)) return false;
    if (a->is_calling && !el_answer_has_room(out)) return false;
    if (a->is_calling) write_calls(a, out);
    a->is_calling = false;
    return true;
}

/* The tokens that `ahead` has read. False: there is no room for all. */
static bool write_tokens(el_answer *a, el_out *out)
{
    const uint32_t *tokens = a->task->tokens + a->task->request.count;
    while (finish_token(a, out)) {
        const char *text;
        if (a->written.at == may_write(a)) return true;
        if (!el_answer_has_room(out)) return false;
        const size_t len = el_reader_push(&a->written, a->engine, tokens[a->written.at], &text);
        if (len > 0) write_piece(a, text, len, out);
        a->is_calling = a->written.calls.form != NULL;
    }
    return false;
}

/* Tokens without text came last. */
static bool has_untold(const el_answer *a)
{
    return a->wire->streams && a->tells && a->logprobs.told < a->written.at;
}

/* What was held back. */
static bool write_rest(el_answer *a, el_out *out)
{
    while (finish_piece(a, out) && el_answer_has_room(out)) {
        const char *text;
        const size_t len = el_reader_flush(&a->written, &text);
        if (len == 0 && !has_untold(a)) return true;
        write_piece(a, text, len, out);
    }
    return false;
}

/* Those of a whole answer. */
static bool write_details(el_answer *a, el_out *out)
{
    const bool are_told = a->wire->streams || !a->tells || a->has_told;
    if (!are_told) a->has_told = a->wire->details(a, out);
    return are_told || a->has_told;
}

static bool is_behind(const el_answer *a)
{
    return a->written.at < may_write(a) || a->is_telling || a->is_calling;
}

/* As much of a choice as there is. False: there is no room for all of it. */
static bool write_choice(el_answer *a, el_out *out)
{
    if (a->has_closed || (!a->has_ended && !is_behind(a))) return true;
    if (!el_answer_has_room(out)) return false;
    if (!a->has_begun) a->wire->begin(a, out);
    a->has_begun = true;
    if (!write_tokens(a, out)) return false;
    if (!a->has_ended) return true;
    if (!write_rest(a, out) || !write_details(a, out) || !el_answer_has_room(out)) return false;
    a->wire->end(a, out);
    a->has_closed = true;
    return true;
}

/* Whoever was in the middle of a piece ends that first. */
static bool write_failure(el_answer *first, el_out *out)
{
    if (!finish_piece(first->current, out)) return false;
    if (el_answer_has_room(out)) first->wire->fail(first, &first->problem, out);
    return true;
}

static bool all_are_closed(const el_answer *first)
{
    for (const el_answer *a = first; a; a = a->next)
        if (!a->has_closed) return false;
    return true;
}

/* Goes on with the choice for which there was no room, then with those behind it. */
bool el_answer_write(el_answer *a, el_out *out)
{
    a->is_sent = true;
    if (a->has_failed) return write_failure(a, out);
    for (; a->current; a->current = a->current->next)
        if (!write_choice(a->current, out)) return false;
    a->current = a;
    return all_are_closed(a);
}

bool el_answer_is_last(const el_answer *answer)
{
    for (const el_answer *a = answer->first; a; a = a->next)
        if (a != answer && !a->has_closed) return false;
    return true;
}

uint32_t el_answer_tokens(const el_answer *answer)
{
    uint32_t n = 0;
    for (const el_answer *a = answer->first; a; a = a->next)
        n += a->n_text;
    return n;
}

/* The earlier of two times, of which 0 is none. */
static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

el_answer_times el_answer_times_of(const el_answer *answer)
{
    uint64_t began = 0, first = 0, last = 0;
    for (const el_answer *a = answer->first; a; a = a->next) {
        const uint64_t ended = atomic_load(&a->task->last_ns);
        began = earlier(began, a->task->began_ns);
        first = earlier(first, atomic_load(&a->task->first_ns));
        if (ended > last) last = ended;
    }
    el_answer_times times = {.queue_ns = began - answer->task->asked_ns};
    if (first == 0) return times;
    times.prompt_ns = first - began;
    times.answer_ns = last - first;
    return times;
}

void el_answer_write_deadline(const el_answer *answer, el_out *out)
{
    double forecast = 0;
    uint32_t tokens = UINT32_MAX;
    bool ended = false;
    if (answer->deadline_ms == 0) return;
    for (const el_answer *a = answer->first; a; a = a->next) {
        const el_task *task = a->task;
        if (task->forecast.answer_ns > forecast) forecast = task->forecast.answer_ns;
        if (task->request.max_tokens < tokens) tokens = task->request.max_tokens;
        ended |= a->finish[0] == 'l' && task->finish == EDGELLM_FINISH_DEADLINE;
    }
    el_out_print(out, ",\"deadline\":{\"deadline_ms\":%u,\"forecast_ms\":", answer->deadline_ms);
    el_out_real(out, forecast / 1e6);
    el_out_print(out, ",\"max_tokens\":%u,\"ended_by_deadline\":%s}", tokens,
                 ended ? "true" : "false");
}
