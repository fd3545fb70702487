/*
 * openai_wire.c: how answers look in OpenAI's interface: one JSON object, or server-sent events
 * with an object for each token. Beyond it: timings, as llama.cpp's server tells them, and the
 * deadline.
 */
#include <inttypes.h>
#include <string.h>

#include "server/openai.h"

/* ---- parts --------------------------------------------------------------------------------- */

static void write_head(const el_answer *a, const char *object, el_out *out)
{
    el_out_print(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", a->id,
                 object, a->created);
    el_out_string(out, a->model);
    el_out_print(out, ",\"system_fingerprint\":\"%s\",\"choices\":[", a->fingerprint);
}

static void write_usage(const el_answer *a, el_out *out)
{
    const uint32_t prompt = a->task->request.count;
    el_out_print(out,
                 "\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u",
                 prompt, a->n_text, prompt + a->n_text);
    if (a->tells_cached)
        el_out_print(out, ",\"prompt_tokens_details\":{\"cached_tokens\":%u}", a->task->cached);
    el_out_text(out, "}");
}

static void write_timings(const el_answer *a, el_out *out)
{
    const el_answer_times t = el_answer_times_of(a);
    el_out_text(out, "\"timings\":{\"queue_ms\":");
    el_out_real(out, (double)t.queue_ns / 1e6);
    el_out_print(out, ",\"cache_n\":%u,\"prompt_n\":%u,\"prompt_ms\":", a->task->cached,
                 a->task->request.count - a->task->cached);
    el_out_real(out, (double)t.prompt_ns / 1e6);
    el_out_print(out, ",\"predicted_n\":%u,\"predicted_ms\":", a->n_text);
    el_out_real(out, (double)t.answer_ns / 1e6);
    el_out_text(out, "}");
}

/* What an answer ends with, behind "choices": its usage, if wanted here, and times. */
void el_openai_write_end(const el_answer *a, bool usage, el_out *out)
{
    if (usage) {
        write_usage(a, out);
        el_out_text(out, ",");
    }
    write_timings(a, out);
    el_answer_write_deadline(a, out);
}

/* ---- whole --------------------------------------------------------------------------------- */

static void write_text(const el_answer *a, const char *text, size_t len, el_out *out)
{
    (void)a;
    el_out_escaped(out, text, len);
}

/* It has ended: what `ahead` has found is all that there is. */
static bool has_calls(const el_answer *a)
{
    return a->ahead.calls.n > 0;
}

static const char *finish_of(const el_answer *a)
{
    return has_calls(a) && a->finish[0] == 's' ? "tool_calls" : a->finish;
}

/* Where there is nothing but calls the content is null. */
static bool has_content(const el_answer *a)
{
    return !has_calls(a) || a->ahead.calls.has_text;
}

static void begin_chat(const el_answer *a, el_out *out)
{
    write_head(a, "chat.completion", out);
    el_out_text(out, "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    el_out_text(out, has_content(a) ? "\"" : "null");
}

/* What a call begins with, up to its arguments; its name in the world is made of the answer's. */
static void write_call(const el_answer *a, const el_calls *calls, el_out *out)
{
    const char *number = strchr(a->id, '-');
    el_out_print(out,
                 "\"id\":\"call_%s%02u\",\"type\":\"function\",\"function\":{\"name\":\"%s\","
                 "\"arguments\":\"",
                 number ? number + 1 : a->id, calls->n - 1, calls->name);
}

static void begin_call(const el_answer *a, const el_calls *calls, el_out *out)
{
    if (calls->n > 1)
        el_out_text(out, ",{");
    else
        el_out_print(out, "%s,\"tool_calls\":[{", has_content(a) ? "\"" : "");
    write_call(a, calls, out);
}

static void write_arguments(const el_answer *a, const el_calls *calls, const char *text, size_t len,
                            el_out *out)
{
    (void)a, (void)calls;
    el_out_escaped(out, text, len);
}

static void end_call(const el_answer *a, el_out *out)
{
    (void)a;
    el_out_text(out, "\"}}");
}

static void end_chat(const el_answer *a, el_out *out)
{
    const bool is_open = el_calls_are_open(&a->ahead.calls); /* it was cut short */
    el_out_print(out, "%s%s},\"logprobs\":null,\"finish_reason\":\"%s\"}],", is_open ? "\"}}" : "",
                 has_calls(a) ? "]" : "\"", finish_of(a));
    el_openai_write_end(a, true, out);
    el_out_text(out, "}");
}

static void begin_completion(const el_answer *a, el_out *out)
{
    write_head(a, "text_completion", out);
    el_out_text(out, "{\"index\":0,\"text\":\"");
}

static void end_completion(const el_answer *a, el_out *out)
{
    el_out_print(out, "\",\"logprobs\":null,\"finish_reason\":\"%s\"}],", a->finish);
    el_openai_write_end(a, true, out);
    el_out_text(out, "}");
}

/* It never fails after it has begun: it begins when it has ended. */
static void fail_whole(const el_answer *a, const el_problem *problem, el_out *out)
{
    (void)a, (void)problem, (void)out;
}

/* ---- streamed ------------------------------------------------------------------------------ */

static void begin_event(const el_answer *a, const char *object, el_out *out)
{
    el_out_text(out, "data: ");
    write_head(a, object, out);
}

static void end_event(const el_answer *a, el_out *out)
{
    el_out_text(out, a->include_usage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

/* The last events: how it ended, what it took, that it is over. */
static void end_stream(const el_answer *a, const char *object, const char *empty, el_out *out)
{
    begin_event(a, object, out);
    el_out_print(out, "{\"index\":0,%s,\"finish_reason\":\"%s\"}],", empty, finish_of(a));
    if (a->include_usage) el_out_text(out, "\"usage\":null,");
    el_openai_write_end(a, false, out);
    el_out_text(out, "}\n\n");
    if (a->include_usage) {
        begin_event(a, object, out);
        el_out_text(out, "],");
        write_usage(a, out);
        el_out_text(out, "}\n\n");
    }
    el_out_text(out, "data: [DONE]\n\n");
}

static void fail_stream(const el_answer *a, const el_problem *problem, el_out *out)
{
    (void)a;
    el_out_text(out, "data: ");
    el_problem_write(problem, out);
    el_out_text(out, "\n\n");
}

#define CHAT_CHUNK "chat.completion.chunk"

static void begin_chat_stream(const el_answer *a, el_out *out)
{
    begin_event(a, CHAT_CHUNK, out);
    /* Clients put text behind null as behind nothing; where no text comes it stays null. */
    el_out_print(out,
                 "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":%s},"
                 "\"finish_reason\":null}",
                 a->call_form ? "null" : "\"\"");
    end_event(a, out);
}

static void begin_call_event(const el_answer *a, const el_calls *calls, el_out *out)
{
    begin_event(a, CHAT_CHUNK, out);
    el_out_print(out, "{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":%u,", calls->n - 1);
}

static void end_call_event(const el_answer *a, el_out *out)
{
    el_out_text(out, "\"}}]},\"finish_reason\":null}");
    end_event(a, out);
}

static void call_piece(const el_answer *a, const el_calls *calls, el_out *out)
{
    begin_call_event(a, calls, out);
    write_call(a, calls, out);
    end_call_event(a, out);
}

static void arguments_piece(const el_answer *a, const el_calls *calls, const char *text, size_t len,
                            el_out *out)
{
    begin_call_event(a, calls, out);
    el_out_text(out, "\"function\":{\"arguments\":\"");
    el_out_escaped(out, text, len);
    end_call_event(a, out);
}

static void no_call_end(const el_answer *a, el_out *out)
{
    (void)a, (void)out; /* the next call, or the end, says so */
}

static void chat_piece(const el_answer *a, const char *text, size_t len, el_out *out)
{
    begin_event(a, CHAT_CHUNK, out);
    el_out_text(out, "{\"index\":0,\"delta\":{\"content\":\"");
    el_out_escaped(out, text, len);
    el_out_text(out, "\"},\"finish_reason\":null}");
    end_event(a, out);
}

static void end_chat_stream(const el_answer *a, el_out *out)
{
    end_stream(a, CHAT_CHUNK, "\"delta\":{}", out);
}

static void begin_completion_stream(const el_answer *a, el_out *out)
{
    (void)a, (void)out; /* its first event is its first token's */
}

static void completion_piece(const el_answer *a, const char *text, size_t len, el_out *out)
{
    begin_event(a, "text_completion", out);
    el_out_text(out, "{\"index\":0,\"text\":\"");
    el_out_escaped(out, text, len);
    el_out_text(out, "\",\"logprobs\":null,\"finish_reason\":null}");
    end_event(a, out);
}

static void end_completion_stream(const el_answer *a, el_out *out)
{
    end_stream(a, "text_completion", "\"text\":\"\",\"logprobs\":null", out);
}

/* ---- the wires ----------------------------------------------------------------------------- */

#define JSON   "application/json"
#define EVENTS "text/event-stream"

const el_wire el_openai_chat = {.content_type = JSON,
                                .begin = begin_chat,
                                .piece = write_text,
                                .end = end_chat,
                                .fail = fail_whole,
                                .call = begin_call,
                                .arguments = write_arguments,
                                .call_end = end_call};
const el_wire el_openai_chat_stream = {.content_type = EVENTS,
                                       .streams = true,
                                       .begin = begin_chat_stream,
                                       .piece = chat_piece,
                                       .end = end_chat_stream,
                                       .fail = fail_stream,
                                       .call = call_piece,
                                       .arguments = arguments_piece,
                                       .call_end = no_call_end};
const el_wire el_openai_completion = {.content_type = JSON,
                                      .begin = begin_completion,
                                      .piece = write_text,
                                      .end = end_completion,
                                      .fail = fail_whole};
const el_wire el_openai_completion_stream = {.content_type = EVENTS,
                                             .streams = true,
                                             .begin = begin_completion_stream,
                                             .piece = completion_piece,
                                             .end = end_completion_stream,
                                             .fail = fail_stream};
