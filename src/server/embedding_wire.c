/*
 * embedding_wire.c: how embeddings look in OpenAI's interface and in Ollama's: one JSON object,
 * with a list of numbers for each input, each so that it is read back as the same float32, or their
 * bytes in base64. They are written in steps, since a list may be long.
 */
#include <inttypes.h>
#include <string.h>

#include "server/ollama.h"
#include "server/openai.h"

static uint32_t dim_of(const el_answer *a)
{
    return a->tasks->dim;
}

static uint32_t tokens_of_all(const el_answer *answer)
{
    uint32_t n = 0;
    for (const el_answer *a = answer->first; a; a = a->next)
        n += a->task->request.count;
    return n;
}

/* ---- numbers ------------------------------------------------------------------------------- */

static bool write_list(el_answer *a, el_out *out)
{
    for (; a->n_numbers < dim_of(a); a->n_numbers++) {
        if (!el_answer_has_room(out)) return false;
        el_out_print(out, a->n_numbers > 0 ? ",%.9g" : "[%.9g",
                     (double)a->task->embedding[a->n_numbers]);
    }
    el_out_text(out, "]");
    return true;
}

/* 1 to 3 bytes as 4 digits. */
static void write_digits(const unsigned char *bytes, size_t n, el_out *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char b[3] = {0, 0, 0};
    memcpy(b, bytes, n);
    const unsigned bits = (unsigned)b[0] << 16 | (unsigned)b[1] << 8 | b[2];
    char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63], digits[bits >> 6 & 63],
                    digits[bits & 63]};
    memset(four + n + 1, '=', 3 - n);
    el_out_bytes(out, four, sizeof four);
}

/* Little-endian, as every machine that this runs on has them. Three numbers are 16 digits. */
static bool write_base64(el_answer *a, el_out *out)
{
    enum { NUMBERS = 3 };
    for (; a->n_numbers < dim_of(a); a->n_numbers += NUMBERS) {
        if (!el_answer_has_room(out)) return false;
        if (a->n_numbers == 0) el_out_text(out, "\"");
        const uint32_t left = dim_of(a) - a->n_numbers, n = left < NUMBERS ? left : NUMBERS;
        unsigned char bytes[NUMBERS * sizeof(float)];
        memcpy(bytes, a->task->embedding + a->n_numbers, n * sizeof(float));
        for (size_t i = 0; i < n * sizeof(float); i += 3)
            write_digits(bytes + i, n * sizeof(float) - i < 3 ? n * sizeof(float) - i : 3, out);
    }
    el_out_text(out, "\"");
    return true;
}

static bool write_numbers(el_answer *a, el_out *out)
{
    return a->is_base64 ? write_base64(a, out) : write_list(a, out);
}

/* There is no text. */
static void write_nothing(const el_answer *a, const char *text, size_t len, el_out *out)
{
    (void)a, (void)text, (void)len, (void)out;
}

/* It never fails after it has begun: it begins when it has ended. */
static void fail(const el_answer *a, const el_problem *problem, el_out *out)
{
    (void)a, (void)problem, (void)out;
}

/* ---- the wires ----------------------------------------------------------------------------- */

static void begin_openai(const el_answer *a, el_out *out)
{
    el_out_text(out, a->index == 0 ? "{\"object\":\"list\",\"data\":[" : ",");
    el_out_print(out, "{\"object\":\"embedding\",\"index\":%u,\"embedding\":", a->index);
}

static void end_openai(const el_answer *a, el_out *out)
{
    const uint32_t n = tokens_of_all(a);
    el_out_text(out, "}");
    if (a->next) return;
    el_out_text(out, "],\"model\":");
    el_out_string(out, a->model);
    el_out_print(out, ",\"usage\":{\"prompt_tokens\":%u,\"total_tokens\":%u}", n, n);
    el_answer_write_deadline(a, out);
    el_out_text(out, "}");
}

static void begin_ollama(const el_answer *a, el_out *out)
{
    if (a->index > 0) {
        el_out_text(out, ",");
        return;
    }
    el_out_text(out, "{\"model\":");
    el_out_string(out, a->model);
    el_out_text(out, ",\"embeddings\":[");
}

static void end_ollama(const el_answer *a, el_out *out)
{
    const el_answer_times t = el_answer_times_of(a);
    if (a->next) return;
    el_out_print(out, "],\"total_duration\":%" PRIu64 ",\"load_duration\":%" PRIu64,
                 t.queue_ns + t.prompt_ns + t.answer_ns, t.queue_ns);
    el_out_print(out, ",\"prompt_eval_count\":%u", tokens_of_all(a));
    el_answer_write_deadline(a, out);
    el_out_text(out, "}");
}

#define JSON "application/json"

const el_wire el_openai_embedding = {.content_type = JSON,
                                     .begin = begin_openai,
                                     .piece = write_nothing,
                                     .end = end_openai,
                                     .fail = fail,
                                     .details = write_numbers};
const el_wire el_ollama_embedding = {.content_type = JSON,
                                     .begin = begin_ollama,
                                     .piece = write_nothing,
                                     .end = end_ollama,
                                     .fail = fail,
                                     .details = write_numbers};
