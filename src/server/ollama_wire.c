/*
 * ollama_wire.c: how answers look in Ollama's interface: one JSON object, or one on each line, the
 * last with what it took, in nanoseconds. Beyond it: the deadline.
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
    el_answer_write_deadline(a, out);
    el_out_text(out, "}");
}

/* ---- whole --------------------------------------------------------------------------------- */

static void end_generate(const el_answer *a, el_out *out)
{
    el_out_text(out, "\"");
    write_end(a, out);
}

static void end_chat(const el_answer *a, el_out *out)
{
    el_out_text(out, a->ahead.calls.n_done > 0 ? "]}" : "\"}");
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

static void generate_piece(const el_answer *a, const char *text, size_t len, el_out *out)
{
    begin_generate(a, out);
    el_out_escaped(out, text, len);
    el_out_text(out, "\",\"done\":false}\n");
}

static void chat_piece(const el_answer *a, const char *text, size_t len, el_out *out)
{
    begin_chat(a, out);
    el_out_escaped(out, text, len);
    el_out_text(out, "\"},\"done\":false}\n");
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
    end_generate(a, out);
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
                                    .fail = fail};
const el_wire el_ollama_generate_stream = {.content_type = LINES,
                                           .streams = true,
                                           .begin = begin_stream,
                                           .piece = generate_piece,
                                           .end = end_generate_stream,
                                           .fail = fail};
const el_wire el_ollama_chat = {.content_type = JSON,
                                .begin = begin_chat,
                                .piece = write_text,
                                .end = end_chat,
                                .fail = fail,
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
                                       .call = begin_call_line,
                                       .arguments = write_arguments,
                                       .call_end = end_call_line,
                                       .whole_calls = true};
