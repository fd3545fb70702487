/*
 * fuzz_http.c: any body of a streamed answer, cut into reads of any size. Its events are those that
 * a parser finds which makes lines first and copies, the same for any reads, and in order of time.
 *
 * Input: the form; bytes of a read; the body.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/bench_http_events.h"
#include "fuzz/fuzz.h"

enum { READ_NS = 10 };

/* ---- the other parser ------------------------------------------------------------------- */

/* Its place: the body with LF for every line end, a NUL after it; the event that it found. */
typedef struct plain {
    char *text; /* (size + 1) */
    size_t size, at;
    char *data; /* (size + 1) */
    size_t len;
    bool whole;
} plain;

static plain plain_start(const uint8_t *body, size_t size)
{
    plain p = {.text = fuzz_room(size + 1), .data = fuzz_room(size + 1)};
    size_t i = size >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (; i < size; i++) {
        if (body[i] == '\n' && i > 0 && body[i - 1] == '\r') continue;
        p.text[p.size++] = body[i] == '\r' ? '\n' : (char)body[i];
    }
    p.text[p.size] = '\0';
    return p;
}

static void plain_end(plain *p)
{
    free(p->text);
    free(p->data);
}

/* The value of a line of SSE, in its place: NULL if it has none that counts. */
static const char *plain_value(const char *line, size_t len, size_t *value_len)
{
    static const char *const names[] = {"data", "error"};
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(names[i]);
        if (len < n || memcmp(line, names[i], n) != 0) continue;
        if (len > n && line[n] != ':') continue;
        size_t skipped = len == n ? n : len > n + 1 && line[n + 1] == ' ' ? n + 2 : n + 1;
        *value_len = len - skipped;
        return line + skipped;
    }
    return NULL;
}

static void plain_add(plain *p, bool more, const char *value, size_t len)
{
    if (more) p->data[p->len++] = '\n';
    memcpy(p->data + p->len, value, len);
    p->len += len;
}

static bool plain_next(plain *p, bool sse)
{
    bool more = false;
    p->len = 0;
    while (p->at < p->size) {
        const char *line = p->text + p->at, *end = memchr(line, '\n', p->size - p->at);
        size_t len = end != NULL ? (size_t)(end - line) : p->size - p->at;
        p->whole = end != NULL;
        p->at += len + (end != NULL);
        if (!sse && len > 0) plain_add(p, false, line, len);
        if ((!sse || len == 0) && p->len > 0) return true;
        if (sse && len == 0) more = false;
        const char *value = sse ? plain_value(line, len, &len) : NULL;
        if (value != NULL) plain_add(p, more, value, len);
        more = more || value != NULL;
    }
    p->whole = false;
    return p->len > 0;
}

/* ---- what must hold --------------------------------------------------------------------- */

static size_t cut(el_cli_http_read *reads, size_t size, size_t step)
{
    size_t n = 0;
    for (size_t end = 0; end < size; n++) {
        end = size - end < step ? size : end + step;
        reads[n] = (el_cli_http_read){(n + 1) * READ_NS, end};
    }
    return n;
}

static void check(const uint8_t *body, size_t size, bool sse, size_t step)
{
    char *bytes = fuzz_room(size);
    el_cli_http_read *reads = fuzz_room((size / step + 1) * sizeof *reads);
    plain p = plain_start(body, size);
    if (size > 0) memcpy(bytes, body, size);
    el_cli_http_events events = {.form = sse ? EL_CLI_HTTP_SSE : EL_CLI_HTTP_LINES,
                                 .bytes = bytes,
                                 .size = size,
                                 .reads = reads,
                                 .n_reads = cut(reads, size, step)};
    el_cli_http_event event;
    uint64_t number = 0, ns = 0;
    while (el_cli_http_next(&events, &event)) {
        FUZZ_CHECK(plain_next(&p, sse));
        FUZZ_CHECK(event.len == p.len && memcmp(event.data, p.data, p.len) == 0);
        FUZZ_CHECK(event.whole == p.whole && event.number == ++number);
        /* the read that brought its end is one of those that had brought the next event's start */
        FUZZ_CHECK(event.ns >= ns && event.ns >= READ_NS && event.ns % READ_NS == 0);
        FUZZ_CHECK((event.ns / READ_NS - 1) * step < events.at);
        FUZZ_CHECK(event.ns / READ_NS * step + 2 > events.at);
        ns = event.ns;
    }
    FUZZ_CHECK(!plain_next(&p, sse) && events.at == size);
    plain_end(&p);
    free(reads);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    bool sse = fuzz_byte(&in) % 2 != 0;
    size_t step = fuzz_byte(&in);
    check(in.data, in.size, sse, step > 0 ? step : 256);
    check(in.data, in.size, sse, in.size + 1);
    return 0;
}
