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
    el_out_text(out, "\"}");
    write_end(a, out);
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

static void end_generate_stream(const el_answer *a, el_out *out)
{
    begin_generate(a, out);
    end_generate(a, out);
    el_out_text(out, "\n");
}

static void end_chat_stream(const el_answer *a, el_out *out)
{
    begin_chat(a, out);
    end_chat(a, out);
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

const el_wire el_ollama_generate = {JSON, false, begin_generate, write_text, end_generate,
                                    fail, NULL};
const el_wire el_ollama_generate_stream = {
    LINES, true, begin_stream, generate_piece, end_generate_stream, fail, NULL};
const el_wire el_ollama_chat = {JSON, false, begin_chat, write_text, end_chat, fail, NULL};
const el_wire el_ollama_chat_stream = {LINES,           true, begin_stream, chat_piece,
                                       end_chat_stream, fail, NULL};
