/*
 * openai_wire.c: how answers look in OpenAI's interface: one JSON object, or server-sent events
 * with an object for each token. Beyond it: timings, as llama.cpp's server tells them, and the
 * deadline.
 */
#include <inttypes.h>

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

static void begin_chat(const el_answer *a, el_out *out)
{
    write_head(a, "chat.completion", out);
    el_out_text(out, "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"");
}

static void end_chat(const el_answer *a, el_out *out)
{
    el_out_print(out, "\"},\"logprobs\":null,\"finish_reason\":\"%s\"}],", a->finish);
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
    el_out_print(out, "{\"index\":0,%s,\"finish_reason\":\"%s\"}],", empty, a->finish);
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
    el_out_text(out, "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                     "\"finish_reason\":null}");
    end_event(a, out);
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

const el_wire el_openai_chat = {JSON, false, begin_chat, write_text, end_chat, fail_whole};
const el_wire el_openai_chat_stream = {EVENTS,          true,       begin_chat_stream, chat_piece,
                                       end_chat_stream, fail_stream};
const el_wire el_openai_completion = {JSON,       false,          begin_completion,
                                      write_text, end_completion, fail_whole};
const el_wire el_openai_completion_stream = {
    EVENTS, true, begin_completion_stream, completion_piece, end_completion_stream, fail_stream};
