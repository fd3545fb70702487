/*
 * ollama_wire.c: how answers look in Ollama's interface: one JSON object, or one on each line, the
 * last with what it took, in nanoseconds. Beyond it: the deadline, and shifts.
 */
#include <inttypes.h>

#include "server/ollama.h"

/* ---- parts --------------------------------------------------------------------------------- */

static void begin_generate(const el_answer *a, el_out *out)
{
    el_ollama_write_head(a->model, a->created, out);
    el_out_text(out, ",\"response\":\"");
}

static void begin_chat(const el_answer *a, el_out *out)
{
    el_ollama_write_head(a->model, a->created, out);
    el_out_text(out, ",\"message\":{\"role\":\"assistant\",\"content\":\"");
}

static void write_text(const el_answer *a, const char *text, size_t len, el_out *out)
{
    (void)a;
    el_out_escaped(out, text, len);
}

/* Behind the text. Loaded the model is already: what Ollama waits for then is a slot here. */
static void write_end(const el_answer *a, el_out *out)
{
    const el_answer_times t = el_answer_times_of(a);
    el_out_print(out, ",\"done\":true,\"done_reason\":\"%s\"", a->finish);
    el_out_print(out, ",\"total_duration\":%" PRIu64 ",\"load_duration\":%" PRIu64,
                 t.queue_ns + t.prompt_ns + t.answer_ns, t.queue_ns);
    el_out_print(out, ",\"prompt_eval_count\":%u,\"prompt_eval_duration\":%" PRIu64,
                 a->task->request.count, t.prompt_ns);
    el_out_print(out, ",\"eval_count\":%u,\"eval_duration\":%" PRIu64, a->n_text, t.answer_ns);
    if (a->task->request.shift)
        el_out_print(out, ",\"shift_count\":%u",
                     atomic_load_explicit(&a->task->n_shifts, memory_order_relaxed));
    el_answer_write_deadline(a, out);
    el_out_text(out, "}");
}

/* ---- whole --------------------------------------------------------------------------------- */

static void end_text(const el_answer *a, el_out *out)
{
    (void)a;
    el_out_text(out, "\"");
}

static void end_message(const el_answer *a, el_out *out)
{
    el_out_text(out, a->ahead.calls.n_done > 0 ? "]}" : "\"}");
}

/* Log-probabilities, behind what ends the text; nothing where there is no token. */
static bool write_logprobs(el_answer *a, void (*end)(const el_answer *a, el_out *out), el_out *out)
{
    if (!el_answer_has_room(out)) return false;
    if (!a->logprobs.is_open) end(a, out);
    if (!a->logprobs.is_open && a->logprobs.told == a->written.at) return true;
    if (!a->logprobs.is_open) el_out_text(out, ",\"logprobs\":");
    return el_logprobs_write_ollama(a, out);
}

static bool generate_logprobs(el_answer *a, el_out *out)
{
    return write_logprobs(a, end_text, out);
}

static bool chat_logprobs(el_answer *a, el_out *out)
{
    return write_logprobs(a, end_message, out);
}

static void end_generate(const el_answer *a, el_out *out)
{
    if (!a->tells) end_text(a, out);
    write_end(a, out);
}

static void end_chat(const el_answer *a, el_out *out)
{
    if (!a->tells) end_message(a, out);
    write_end(a, out);
}

/* A call up to its arguments, which are JSON as they come. */
static void write_call(const el_calls *calls, el_out *out)
{
    el_out_print(out, "{\"function\":{\"name\":\"%s\",\"arguments\":", calls->name);
}

static void begin_call(const el_answer *a, const el_calls *calls, el_out *out)
{
    (void)a;
    el_out_text(out, calls->n > 1 ? "," : "\",\"tool_calls\":[");
    write_call(calls, out);
}

static void write_arguments(const el_answer *a, const el_calls *calls, const char *text, size_t len,
                            el_out *out)
{
    (void)a, (void)calls;
    el_out_bytes(out, text, len);
}

static void end_call(const el_answer *a, el_out *out)
{
    (void)a;
    el_out_text(out, "}}");
}

/* ---- streamed ------------------------------------------------------------------------------ */

static void begin_stream(const el_answer *a, el_out *out)
{
    (void)a, (void)out; /* its first line is its first token's */
}

/* A line that is not the last, behind its text. */
static void end_piece(const char *close, el_out *out)
{
    el_out_print(out, "%s,\"done\":false}\n", close);
}

static void generate_piece(const el_answer *a, const char *text, size_t len, el_out *out)
{
    begin_generate(a, out);
    el_out_escaped(out, text, len);
    if (!a->tells) end_piece("\"", out);
}

static void chat_piece(const el_answer *a, const char *text, size_t len, el_out *out)
{
    begin_chat(a, out);
    el_out_escaped(out, text, len);
    if (!a->tells) end_piece("\"}", out);
}

static void end_line_message(const el_answer *a, el_out *out)
{
    (void)a;
    el_out_text(out, "\"}");
}

static bool generate_line_logprobs(el_answer *a, el_out *out)
{
    if (!write_logprobs(a, end_text, out)) return false;
    end_piece("", out);
    return true;
}

static bool chat_line_logprobs(el_answer *a, el_out *out)
{
    if (!write_logprobs(a, end_line_message, out)) return false;
    end_piece("", out);
    return true;
}

static void begin_call_line(const el_answer *a, const el_calls *calls, el_out *out)
{
    begin_chat(a, out);
    el_out_text(out, "\",\"tool_calls\":[");
    write_call(calls, out);
}

static void end_call_line(const el_answer *a, el_out *out)
{
    (void)a;
    el_out_text(out, "}}]},\"done\":false}\n");
}

static void end_generate_stream(const el_answer *a, el_out *out)
{
    begin_generate(a, out);
    el_out_text(out, "\"");
    write_end(a, out);
    el_out_text(out, "\n");
}

static void end_chat_stream(const el_answer *a, el_out *out)
{
    begin_chat(a, out);
    el_out_text(out, "\"}");
    write_end(a, out);
    el_out_text(out, "\n");
}

/* Not called for whole ones: they begin when they have ended. */
static void fail(const el_answer *a, const el_problem *problem, el_out *out)
{
    (void)a;
    el_problem_write_flat(problem, out);
    el_out_text(out, "\n");
}

/* ---- the wires ----------------------------------------------------------------------------- */

#define JSON  "application/json"
#define LINES "application/x-ndjson"

const el_wire el_ollama_generate = {.content_type = JSON,
                                    .begin = begin_generate,
                                    .piece = write_text,
                                    .end = end_generate,
                                    .fail = fail,
                                    .details = generate_logprobs};
const el_wire el_ollama_generate_stream = {.content_type = LINES,
                                           .streams = true,
                                           .begin = begin_stream,
                                           .piece = generate_piece,
                                           .end = end_generate_stream,
                                           .fail = fail,
                                           .details = generate_line_logprobs};
const el_wire el_ollama_chat = {.content_type = JSON,
                                .begin = begin_chat,
                                .piece = write_text,
                                .end = end_chat,
                                .fail = fail,
                                .details = chat_logprobs,
                                .call = begin_call,
                                .arguments = write_arguments,
                                .call_end = end_call,
                                .whole_calls = true};
const el_wire el_ollama_chat_stream = {.content_type = LINES,
                                       .streams = true,
                                       .begin = begin_stream,
                                       .piece = chat_piece,
                                       .end = end_chat_stream,
                                       .fail = fail,
                                       .details = chat_line_logprobs,
                                       .call = begin_call_line,
                                       .arguments = write_arguments,
                                       .call_end = end_call_line,
                                       .whole_calls = true};
