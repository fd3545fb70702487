#include "server/logprobs.h"

#include <math.h>
#include <string.h>

#include "server/answer.h"
#include "token/chars.h"

/* ---- tokens -------------------------------------------------------------------------------- */

/* A token's bytes, the name of a special one; those of a name that is too long are left out. */
typedef struct bytes {
    char at[EDGELLM_STREAM_BYTES];
    size_t len;
} bytes;

static void find_bytes(const el_answer *a, uint32_t token, bytes *b)
{
    edgellm_error err;
    b->len = 0;
    (void)edgellm_detokenize(a->engine, &token, 1, true, b->at, sizeof b->at, &b->len, &err);
    if (b->len > sizeof b->at) b->len = sizeof b->at;
}

static bool are_equal(const bytes *a, const bytes *b)
{
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

static int char_at(const char *text, size_t len)
{
    uint32_t code;
    return el_chars_decode((const uint8_t *)text, len, &code);
}

uint32_t el_logprobs_chars(const char *text, size_t len)
{
    uint32_t n = 0;
    for (size_t i = 0; i < len; n++) {
        const int size = char_at(text + i, len - i);
        i += size > 0 ? (size_t)size : 1;
    }
    return n;
}

static bool is_text(const bytes *b)
{
    for (size_t i = 0; i < b->len;) {
        const int size = char_at(b->at + i, b->len - i);
        if (size <= 0) return false;
        i += (size_t)size;
    }
    return true;
}

static uint32_t token_of(const el_answer *a, uint32_t index)
{
    return a->task->tokens[a->task->request.count + index];
}

/* What was probable beside that one: (request.top_logprobs). */
static const edgellm_logprob *top_of(const el_answer *a, uint32_t index)
{
    return a->task->top + (size_t)index * a->task->request.top_logprobs;
}

/* The same number, read back as a float. OpenAI's interface has no infinity: what is beyond all
 * bounds is -9999. */
static void write_number(float logprob, el_out *out)
{
    el_out_print(out, "%.9g", isfinite(logprob) ? (double)logprob : -9999.0);
}

/* ---- of messages --------------------------------------------------------------------------- */

/* But for the brace that ends it. */
static void write_entry(const el_answer *a, uint32_t token, float logprob, el_out *out)
{
    bytes b;
    find_bytes(a, token, &b);
    el_out_text(out, "{\"token\":\"");
    el_out_escaped(out, b.at, b.len);
    el_out_text(out, "\",\"logprob\":");
    write_number(logprob, out);
    el_out_text(out, ",\"bytes\":[");
    for (size_t i = 0; i < b.len; i++)
        el_out_print(out, i > 0 ? ",%u" : "%u", (unsigned)(unsigned char)b.at[i]);
    el_out_text(out, "]");
}

/* The token itself, then one of the others at each step; true: that was the last. */
static bool write_content(el_answer *a, uint32_t index, uint32_t step, el_out *out)
{
    const uint32_t n = a->task->request.top_logprobs;
    if (step == 0) {
        write_entry(a, token_of(a, index), a->task->logprobs[index], out);
        el_out_text(out, ",\"top_logprobs\":[");
    } else {
        const edgellm_logprob *one = top_of(a, index) + step - 1;
        if (step > 1) el_out_text(out, ",");
        write_entry(a, one->token, one->logprob, out);
        el_out_text(out, "}");
    }
    if (step == n) el_out_text(out, "]}");
    return step == n;
}

/* The same, but for a list of others that nobody asked for. */
static bool write_ollama(el_answer *a, uint32_t index, uint32_t step, el_out *out)
{
    if (a->task->request.top_logprobs > 0) return write_content(a, index, step, out);
    write_entry(a, token_of(a, index), a->task->logprobs[index], out);
    el_out_text(out, "}");
    return true;
}

/* ---- of texts that go on ------------------------------------------------------------------- */

/* A token that is no whole text is told by its bytes. */
static void write_text(const bytes *b, el_out *out)
{
    el_out_text(out, "\"");
    if (is_text(b)) {
        el_out_escaped(out, b->at, b->len);
    } else {
        el_out_text(out, "bytes:");
        for (size_t i = 0; i < b->len; i++)
            el_out_print(out, "\\\\x%02x", (unsigned)(unsigned char)b->at[i]);
    }
    el_out_text(out, "\"");
}

static bool write_token(el_answer *a, uint32_t index, uint32_t step, el_out *out)
{
    bytes b;
    (void)step;
    find_bytes(a, token_of(a, index), &b);
    write_text(&b, out);
    return true;
}

static bool write_logprob(el_answer *a, uint32_t index, uint32_t step, el_out *out)
{
    (void)step;
    write_number(a->task->logprobs[index], out);
    return true;
}

/* One of the first n, which are more probable, has the same text. */
static bool is_named(const el_answer *a, const edgellm_logprob *top, uint32_t n, const bytes *b)
{
    bytes other;
    for (uint32_t i = 0; i < n; i++) {
        find_bytes(a, top[i].token, &other);
        if (are_equal(&other, b)) return true;
    }
    return false;
}

/* An object with a member for each of the others, then for the token itself, by their texts. */
static bool write_top(el_answer *a, uint32_t index, uint32_t step, el_out *out)
{
    const uint32_t n = a->task->request.top_logprobs;
    const edgellm_logprob *top = top_of(a, index);
    const edgellm_logprob itself = {token_of(a, index), a->task->logprobs[index]};
    const edgellm_logprob *one = step < n ? &top[step] : &itself;
    bytes b;
    find_bytes(a, one->token, &b);
    if (step == 0) el_out_text(out, "{");
    if (!is_named(a, top, step, &b)) {
        if (step > 0) el_out_text(out, ",");
        write_text(&b, out);
        el_out_text(out, ":");
        write_number(one->logprob, out);
    }
    if (step == n) el_out_text(out, "}");
    return step == n;
}

/* Where its text begins, behind the prompt and what came before it. */
static bool write_offset(el_answer *a, uint32_t index, uint32_t step, el_out *out)
{
    el_logprobs *l = &a->logprobs;
    char text[EDGELLM_STREAM_BYTES];
    (void)step;
    el_out_print(out, "%u", l->before + l->chars);
    const size_t len = edgellm_stream_push(a->engine, &l->stream, token_of(a, index), text);
    l->chars += el_logprobs_chars(text, len);
    return true;
}

/* ---- in steps ------------------------------------------------------------------------------ */

typedef struct part {
    const char *before, *after;
    /* Of a token; true: it is over, false: another step follows. NULL: of none. */
    bool (*write)(el_answer *a, uint32_t index, uint32_t step, el_out *out);
} part;

/* The tokens of a part. False: there is no room for all. */
static bool write_part(el_answer *a, const part *p, el_out *out)
{
    el_logprobs *l = &a->logprobs;
    while (p->write && l->told + l->at < a->written.at) {
        if (!el_answer_has_room(out)) return false;
        if (l->step == 0 && l->at > 0) el_out_text(out, ",");
        const bool is_over = p->write(a, l->told + l->at, l->step, out);
        l->step = is_over ? 0 : l->step + 1;
        l->at += is_over;
    }
    return true;
}

static bool write_parts(el_answer *a, const part *parts, uint32_t n, el_out *out)
{
    el_logprobs *l = &a->logprobs;
    if (!l->is_open && l->told == a->written.at) {
        el_out_text(out, "null");
        return true;
    }
    if (!l->is_open) el_out_text(out, parts[0].before);
    l->is_open = true;
    while (l->part < n) {
        if (!write_part(a, &parts[l->part], out)) return false;
        el_out_text(out, parts[l->part].after);
        l->at = 0;
        if (++l->part < n) el_out_text(out, parts[l->part].before);
    }
    l->told = a->written.at;
    l->part = 0;
    l->is_open = false;
    return true;
}

bool el_logprobs_write_chat(el_answer *answer, el_out *out)
{
    static const part parts[] = {{"{\"content\":[", "],\"refusal\":null}", write_content}};
    return write_parts(answer, parts, sizeof parts / sizeof parts[0], out);
}

bool el_logprobs_write_ollama(el_answer *answer, el_out *out)
{
    static const part parts[] = {{"[", "]", write_ollama}};
    return write_parts(answer, parts, sizeof parts / sizeof parts[0], out);
}

bool el_logprobs_write_completion(el_answer *answer, el_out *out)
{
    static const part tops = {",\"top_logprobs\":[", "]", write_top};
    static const part none = {",\"top_logprobs\":null", "", NULL};
    const part parts[] = {{"{\"tokens\":[", "]", write_token},
                          {",\"token_logprobs\":[", "]", write_logprob},
                          answer->task->request.top_logprobs > 0 ? tops : none,
                          {",\"text_offset\":[", "]}", write_offset}};
    return write_parts(answer, parts, sizeof parts / sizeof parts[0], out);
}
