/*
 * openai_wire.c: how answers look in OpenAI's interface: one JSON object, or server-sent events
 * with an object for each token. Beyond it: timings, as llama.cpp's server tells them, and the
 * deadline. Of several choices the first to be written begins what they have in common, the last
 * ends it.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "server/openai.h"

/* ---- parts --------------------------------------------------------------------------------- */

static void write_head(const el_answer *a, const char *object, el_out *out)
{
    el_out_text(out, "{\"id\":\"");
    el_out_text(out, a->id);
    el_out_text(out, "\",\"object\":\"");
    el_out_text(out, object);
    el_out_text(out, "\",\"created\":");
    el_out_number(out, (uint64_t)a->created);
    el_out_text(out, ",\"model\":");
    el_out_string(out, a->model);
    el_out_text(out, ",\"system_fingerprint\":\"");
    el_out_text(out, a->fingerprint);
    el_out_text(out, "\",\"choices\":[");
}

static void write_usage(const el_answer *a, el_out *out)
{
    const uint32_t prompt = a->task->request.count, n = el_answer_tokens(a);
    el_out_print(out,
                 "\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u",
                 prompt, n, prompt + n);
    if (a->tells_cached)
        el_out_print(out, ",\"prompt_tokens_details\":{\"cached_tokens\":%u}",
                     a->first->task->cached);
    el_out_text(out, "}");
}

/* Of all choices: how often a context was full. */
static uint32_t shifts_of(const el_answer *a)
{
    uint32_t n = 0;
    for (const el_answer *one = a->first; one; one = one->next)
        n += atomic_load_explicit(&one->task->n_shifts, memory_order_relaxed);
    return n;
}

static uint32_t choices_of(const el_answer *a)
{
    uint32_t n = 0;
    for (const el_answer *one = a->first; one; one = one->next)
        n++;
    return n;
}

/* Of n tokens in so many milliseconds: what each took, and how many a second; null where nothing
 * can be said. */
static void write_rate(const char *what, uint32_t n, double ms, el_out *out)
{
    const bool is_known = n > 0 && ms > 0;
    el_out_print(out, ",\"%s_per_token_ms\":", what);
    el_out_real(out, is_known ? ms / n : NAN);
    el_out_print(out, ",\"%s_per_second\":", what);
    el_out_real(out, is_known ? 1e3 * n / ms : NAN);
}

/* The first token of each choice is its prompt's: the others have the time from there on. */
static void write_rates(const el_answer *a, const el_answer_times *t, el_out *out)
{
    const el_task *first = a->first->task;
    const uint32_t n = el_answer_tokens(a), firsts = choices_of(a);
    write_rate("prompt", first->request.count - first->cached, (double)t->prompt_ns / 1e6, out);
    write_rate("predicted", n > firsts ? n - firsts : 0, (double)t->answer_ns / 1e6, out);
}

static void write_timings(const el_answer *a, el_out *out)
{
    const el_answer_times t = el_answer_times_of(a);
    const el_task *first = a->first->task;
    el_out_text(out, "\"timings\":{\"queue_ms\":");
    el_out_real(out, (double)t.queue_ns / 1e6);
    el_out_print(out, ",\"cache_n\":%u,\"prompt_n\":%u,\"prompt_ms\":", first->cached,
                 first->request.count - first->cached);
    el_out_real(out, (double)t.prompt_ns / 1e6);
    el_out_print(out, ",\"predicted_n\":%u,\"predicted_ms\":", el_answer_tokens(a));
    el_out_real(out, (double)t.answer_ns / 1e6);
    write_rates(a, &t, out);
    if (first->request.shift) el_out_print(out, ",\"shift_n\":%u", shifts_of(a));
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

/* As `edgellm run --hash` has it. Behind a stop text tokens may have been computed that are not the
 * answer's: then nobody knows it. */
void el_openai_write_hash(const el_answer *a, el_out *out)
{
    if (!a->task->request.hash) return;
    if (a->ahead.search.found || atomic_load(&a->task->n_answer) == 0)
        el_out_text(out, ",\"logits_hash\":null");
    else
        el_out_print(out, ",\"logits_hash\":\"%016" PRIx64 "\"", a->task->hash);
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

/* The next of the list; the first stands behind what all have in common. */
static void begin_choice(const el_answer *a, const char *object, el_out *out)
{
    if (a->index == 0)
        write_head(a, object, out);
    else
        el_out_text(out, ",");
    el_out_print(out, "{\"index\":%u,", a->index);
}

static void end_choice(const el_answer *a, el_out *out)
{
    el_out_print(out, ",\"finish_reason\":\"%s\"", finish_of(a));
    el_openai_write_hash(a, out);
    el_out_text(out, "}");
    if (a->next) return;
    el_out_text(out, "],");
    el_openai_write_end(a, true, out);
    el_out_text(out, "}");
}

static void begin_chat(const el_answer *a, el_out *out)
{
    begin_choice(a, "chat.completion", out);
    el_out_text(out, "\"message\":{\"role\":\"assistant\",\"content\":");
    el_out_text(out, has_content(a) ? "\"" : "null");
}

/* Its name in the world is made of the answer's, and of its number among the calls of all choices.
 */
void el_openai_write_call(const el_answer *a, const el_calls *calls, el_out *out)
{
    const char *number = strchr(a->id, '-');
    el_out_print(out,
                 "\"id\":\"call_%s%02x\",\"type\":\"function\",\"function\":{\"name\":\"%s\","
                 "\"arguments\":\"",
                 number ? number + 1 : a->id, a->index * EL_CALLS + calls->n - 1, calls->name);
}

static void begin_call(const el_answer *a, const el_calls *calls, el_out *out)
{
    if (calls->n > 1)
        el_out_text(out, ",{");
    else
        el_out_print(out, "%s,\"tool_calls\":[{", has_content(a) ? "\"" : "");
    el_openai_write_call(a, calls, out);
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

static void end_message(const el_answer *a, el_out *out)
{
    const bool is_open = el_calls_are_open(&a->ahead.calls); /* it was cut short */
    el_out_print(out, "%s%s}", is_open ? "\"}}" : "", has_calls(a) ? "]" : "\"");
}

static bool chat_logprobs(el_answer *a, el_out *out)
{
    if (!el_answer_has_room(out)) return false;
    if (!a->logprobs.is_open) end_message(a, out);
    if (!a->logprobs.is_open) el_out_text(out, ",\"logprobs\":");
    return el_logprobs_write_chat(a, out);
}

static void end_chat(const el_answer *a, el_out *out)
{
    if (!a->tells) end_message(a, out);
    if (!a->tells) el_out_text(out, ",\"logprobs\":null");
    end_choice(a, out);
}

static void begin_completion(const el_answer *a, el_out *out)
{
    begin_choice(a, "text_completion", out);
    el_out_text(out, "\"text\":\"");
}

static bool completion_logprobs(el_answer *a, el_out *out)
{
    if (!el_answer_has_room(out)) return false;
    if (!a->logprobs.is_open) el_out_text(out, "\",\"logprobs\":");
    return el_logprobs_write_completion(a, out);
}

static void end_completion(const el_answer *a, el_out *out)
{
    if (!a->tells) el_out_text(out, "\",\"logprobs\":null");
    end_choice(a, out);
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

/* With a choice in it. */
static void begin_choice_event(const el_answer *a, const char *object, el_out *out)
{
    begin_event(a, object, out);
    el_out_text(out, "{\"index\":");
    el_out_number(out, a->index);
    el_out_text(out, ",");
}

static void end_event(const el_answer *a, el_out *out)
{
    el_out_text(out, ",\"finish_reason\":null}");
    el_out_text(out, a->include_usage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

/* The last events: what all took, that it is over. */
static void end_stream(const el_answer *a, const char *object, el_out *out)
{
    if (a->include_usage) {
        begin_event(a, object, out);
        el_out_text(out, "],");
        write_usage(a, out);
        el_out_text(out, "}\n\n");
    }
    el_out_text(out, "data: [DONE]\n\n");
}

/* The last event of a choice: how it ended; of the last choice, times too. */
static void end_choice_event(const el_answer *a, const char *object, const char *empty, el_out *out)
{
    const bool is_last = el_answer_is_last(a);
    begin_choice_event(a, object, out);
    el_out_print(out, "%s,\"finish_reason\":\"%s\"", empty, finish_of(a));
    el_openai_write_hash(a, out);
    el_out_text(out, "}]");
    if (a->include_usage) el_out_text(out, ",\"usage\":null");
    if (is_last) {
        el_out_text(out, ",");
        el_openai_write_end(a, false, out);
    }
    el_out_text(out, "}\n\n");
    if (is_last) end_stream(a, object, out);
}

static void fail_stream(const el_answer *a, const el_problem *problem, el_out *out)
{
    (void)a;
    el_out_text(out, "data: ");
    el_problem_write(problem, out);
    el_out_text(out, "\n\n");
}

/* Behind the text of an event. */
static bool event_logprobs(el_answer *a, bool (*write)(el_answer *a, el_out *out), el_out *out)
{
    if (!el_answer_has_room(out)) return false;
    if (!a->logprobs.is_open) el_out_text(out, ",\"logprobs\":");
    if (!write(a, out)) return false;
    end_event(a, out);
    return true;
}

#define CHAT_CHUNK "chat.completion.chunk"

static void begin_chat_stream(const el_answer *a, el_out *out)
{
    begin_choice_event(a, CHAT_CHUNK, out);
    /* Clients put text behind null as behind nothing; where no text comes it stays null. */
    el_out_print(out, "\"delta\":{\"role\":\"assistant\",\"content\":%s}",
                 a->call_form ? "null" : "\"\"");
    end_event(a, out);
}

static void begin_call_event(const el_answer *a, const el_calls *calls, el_out *out)
{
    begin_choice_event(a, CHAT_CHUNK, out);
    el_out_print(out, "\"delta\":{\"tool_calls\":[{\"index\":%u,", calls->n - 1);
}

static void end_call_event(const el_answer *a, el_out *out)
{
    el_out_text(out, "\"}}]}");
    end_event(a, out);
}

static void call_piece(const el_answer *a, const el_calls *calls, el_out *out)
{
    begin_call_event(a, calls, out);
    el_openai_write_call(a, calls, out);
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
    const bool is_text = len > 0 || !a->call_form; /* behind calls there are but their details */
    begin_choice_event(a, CHAT_CHUNK, out);
    el_out_text(out, is_text ? "\"delta\":{\"content\":\"" : "\"delta\":{");
    el_out_escaped(out, text, len);
    el_out_text(out, is_text ? "\"}" : "}");
    if (!a->tells) end_event(a, out);
}

static bool chat_stream_logprobs(el_answer *a, el_out *out)
{
    return event_logprobs(a, el_logprobs_write_chat, out);
}

static void end_chat_stream(const el_answer *a, el_out *out)
{
    end_choice_event(a, CHAT_CHUNK, "\"delta\":{}", out);
}

#define TEXT_CHUNK "text_completion"

static void begin_completion_stream(const el_answer *a, el_out *out)
{
    (void)a, (void)out; /* its first event is its first token's */
}

static void completion_piece(const el_answer *a, const char *text, size_t len, el_out *out)
{
    begin_choice_event(a, TEXT_CHUNK, out);
    el_out_text(out, "\"text\":\"");
    el_out_escaped(out, text, len);
    el_out_text(out, "\"");
    if (a->tells) return;
    el_out_text(out, ",\"logprobs\":null");
    end_event(a, out);
}

static bool completion_stream_logprobs(el_answer *a, el_out *out)
{
    return event_logprobs(a, el_logprobs_write_completion, out);
}

static void end_completion_stream(const el_answer *a, el_out *out)
{
    end_choice_event(a, TEXT_CHUNK, "\"text\":\"\",\"logprobs\":null", out);
}

/* ---- the wires ----------------------------------------------------------------------------- */

#define JSON   "application/json"
#define EVENTS "text/event-stream"

const el_wire el_openai_chat = {.content_type = JSON,
                                .begin = begin_chat,
                                .piece = write_text,
                                .end = end_chat,
                                .fail = fail_whole,
                                .details = chat_logprobs,
                                .call = begin_call,
                                .arguments = write_arguments,
                                .call_end = end_call};
const el_wire el_openai_chat_stream = {.content_type = EVENTS,
                                       .streams = true,
                                       .begin = begin_chat_stream,
                                       .piece = chat_piece,
                                       .end = end_chat_stream,
                                       .fail = fail_stream,
                                       .details = chat_stream_logprobs,
                                       .call = call_piece,
                                       .arguments = arguments_piece,
                                       .call_end = no_call_end};
const el_wire el_openai_completion = {.content_type = JSON,
                                      .begin = begin_completion,
                                      .piece = write_text,
                                      .end = end_completion,
                                      .fail = fail_whole,
                                      .details = completion_logprobs};
const el_wire el_openai_completion_stream = {.content_type = EVENTS,
                                             .streams = true,
                                             .begin = begin_completion_stream,
                                             .piece = completion_piece,
                                             .end = end_completion_stream,
                                             .fail = fail_stream,
                                             .details = completion_stream_logprobs};
