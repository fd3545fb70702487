/* stream_messages.c: what is sent on a WebSocket: one object of JSON a message. */
#include <math.h>
#include <string.h>

#include "server/openai.h"
#include "server/stream.h"

static void begin(const char *type, const char *id, el_out *out)
{
    el_out_print(out, "{\"type\":\"%s\"", type);
    if (!id) return;
    el_out_text(out, ",\"id\":");
    el_out_string(out, id);
}

void el_stream_write_pong(el_out *out)
{
    el_out_text(out, "{\"type\":\"pong\"}");
}

void el_stream_write_accepted(const el_stream *stream, el_out *out)
{
    begin("accepted", stream->id, out);
    el_out_text(out, ",\"resume\":\"");
    for (int i = 0; i < EL_STREAM_SECRET; i++)
        el_out_print(out, "%02x", stream->secret[i]);
    el_out_print(out, "\",\"prompt_tokens\":%u}", stream->answer.task->request.count);
}

void el_stream_write_error(const char *id, bool ends, const el_problem *problem, el_out *out)
{
    begin("error", id, out);
    if (id) el_out_print(out, ",\"ends\":%s", ends ? "true" : "false");
    el_out_print(out, ",\"status\":%u", el_problem_status(problem));
    if (problem->retry_after > 0) el_out_print(out, ",\"retry_after\":%u", problem->retry_after);
    const size_t at = out->used;
    el_problem_write(problem, out);
    if (at < out->used) out->at[at] = ','; /* its members, not an object in the object */
}

/* ---- answers ------------------------------------------------------------------------------- */

/* The same number, read back as a float. */
static void write_logprob(float logprob, el_out *out)
{
    if (isfinite(logprob))
        el_out_print(out, ",\"logprob\":%.9g", (double)logprob);
    else
        el_out_text(out, ",\"logprob\":null");
}

static void write_token(el_stream *s, el_out *out)
{
    el_answer *a = &s->answer;
    const el_task *task = a->task;
    const uint32_t index = a->written.at, token = task->tokens[task->request.count + index];
    const char *text;
    size_t len = el_reader_push(&a->written, a->engine, token, &text);
    begin("token", s->id, out);
    el_out_print(out, ",\"index\":%u,\"token\":%u,\"text\":\"", index, token);
    el_out_escaped(out, text, len);
    while (el_reader_call(&a->written, &text, &len) != EL_CALL_NONE)
        continue; /* calls come with its end */
    el_out_text(out, "\",\"at_ms\":");
    el_out_real(out, (double)(task->times[index] - task->asked_ns) / 1e6);
    if (s->logprobs) write_logprob(task->logprobs[index], out);
    el_out_text(out, "}");
}

/* What was held back, in case a stop text began, or a character was not complete. */
static void write_rest(el_answer *a, el_out *out)
{
    const char *text;
    size_t len = el_reader_flush(&a->written, &text);
    if (len == 0) return;
    el_out_text(out, ",\"text\":\"");
    for (; len > 0; len = el_reader_flush(&a->written, &text))
        el_out_escaped(out, text, len);
    el_out_text(out, "\"");
}

static void write_end(el_stream *s, el_out *out)
{
    const bool calls = s->answer.ahead.calls.n > 0 && s->answer.finish[0] == 's';
    begin("done", s->id, out);
    el_out_print(out, ",\"finish_reason\":\"%s\"", calls ? "tool_calls" : s->answer.finish);
    write_rest(&s->answer, out);
    el_openai_write_hash(&s->answer, out);
    el_out_text(out, ",");
    el_openai_write_end(&s->answer, true, out);
}

static void write_parts(el_answer *a, el_out *out)
{
    const el_calls *calls = &a->written.calls;
    const char *piece;
    size_t len;
    el_call_part part;
    while ((part = el_reader_call(&a->written, &piece, &len)) != EL_CALL_NONE) {
        if (part == EL_CALL_BEGINS) {
            el_out_text(out, calls->n > 1 ? ",{" : "{");
            el_openai_write_call(a, calls, out);
        } else if (part == EL_CALL_ARGUMENTS) {
            el_out_escaped(out, piece, len);
        } else {
            el_out_text(out, "\"}}");
        }
    }
}

/* The calls of all its tokens, from where they were written to. False: there is no room for all. */
static bool write_calls(el_answer *a, el_out *out)
{
    const uint32_t *tokens = a->task->tokens + a->task->request.count;
    while (a->written.at < a->n_text) {
        const char *text;
        if (!el_answer_has_room(out)) return false;
        el_reader_push(&a->written, a->engine, tokens[a->written.at], &text);
        write_parts(a, out);
    }
    return true;
}

/* False: only a part of it. */
static bool write_done(el_stream *s, el_out *out)
{
    el_answer *a = &s->answer;
    if (!s->is_ending) {
        write_end(s, out);
        if (a->ahead.calls.n > 0) {
            el_out_text(out, ",\"tool_calls\":[");
            el_stream_rewind(a, 0);
            s->is_ending = true;
        }
    }
    if (s->is_ending) {
        if (!write_calls(a, out)) return false;
        if (el_calls_are_open(&a->written.calls)) el_out_text(out, "\"}}"); /* it was cut short */
        el_out_text(out, "]");
        s->is_ending = false;
    }
    el_out_text(out, "}");
    return true;
}

static void write_taken(el_stream *s, el_out *out)
{
    s->answer.deadline_ms = s->wanted_ms;
    begin("deadline", s->id, out);
    el_out_print(out, ",\"deadline_ms\":%u", s->wanted_ms);
    if (s->answer.task->changed.forecast.answer_ns > 0) {
        el_out_text(out, ",\"forecast_ms\":");
        el_out_real(out, s->answer.task->changed.forecast.answer_ns / 1e6);
    }
    el_out_text(out, "}");
}

static void write_refused(const el_stream *s, el_out *out)
{
    const el_task *task = s->answer.task;
    const bool late = task->changed.error.status == EDGELLM_ERR_DEADLINE;
    el_problem problem;
    el_problem_set(&problem, late ? EL_PROBLEM_DEADLINE : EL_PROBLEM_REQUEST, "deadline_ms", "%s",
                   task->changed.error.message);
    problem.has_forecast = task->changed.forecast.answer_ns > 0;
    problem.forecast = task->changed.forecast;
    el_stream_write_error(s->id, false, &problem, out);
}

bool el_stream_write_next(el_stream *stream, el_out *out)
{
    el_answer *a = &stream->answer;
    const el_change change = el_task_change(a->task);
    if (!stream->is_ending && stream->wanted_ms > 0 && change >= EL_CHANGE_TAKEN) {
        if (change == EL_CHANGE_TAKEN)
            write_taken(stream, out);
        else
            write_refused(stream, out);
        stream->wanted_ms = 0;
    } else if (!stream->is_ending && a->written.at < a->ahead.at) {
        write_token(stream, out);
    } else if (a->has_failed) {
        el_stream_write_error(stream->id, true, &a->problem, out);
        el_stream_tell(stream);
    } else {
        if (!write_done(stream, out)) return false;
        el_stream_tell(stream);
    }
    return true;
}
