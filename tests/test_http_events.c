/*
 * test_http_events.c: streamed bodies to events: what is in each, and which read brought its end,
 * however the bytes were cut into reads.
 */
#include <stdlib.h>

#include "cli/bench_http_events.h"
#include "support/test_help.h"

enum { MOST = 512, READ_NS = 1000 };

/* A body in reads of `step` bytes, the nth at n * READ_NS; 0: all in one. */
typedef struct body {
    char *bytes; /* of its own size, so that a sanitizer sees a step beyond */
    el_cli_http_read reads[MOST];
    el_cli_http_events events;
} body;

static void start(body *b, el_cli_http_form form, const char *text, size_t size, size_t step)
{
    size_t n = 0;
    if (step == 0) step = size > 0 ? size : 1;
    b->bytes = malloc(size > 0 ? size : 1);
    assert_non_null(b->bytes);
    memcpy(b->bytes, text, size);
    for (size_t end = 0; end < size;) {
        end = size - end < step ? size : end + step;
        assert_true(n < MOST);
        b->reads[n] = (el_cli_http_read){(n + 1) * READ_NS, end};
        n++;
    }
    b->events = (el_cli_http_events){
        .form = form, .bytes = b->bytes, .size = size, .reads = b->reads, .n_reads = n};
}

/* The next event holds `text`; `ends`: the offset of the byte that ended it. */
static void expect(body *b, size_t step, const char *text, size_t ends, bool whole)
{
    el_cli_http_event event;
    assert_true(el_cli_http_next(&b->events, &event));
    assert_int_equal(event.len, strlen(text));
    assert_memory_equal(event.data, text, event.len);
    assert_int_equal(event.whole, whole);
    assert_int_equal(event.number, b->events.number);
    assert_int_equal(event.ns, step == 0 ? READ_NS : (ends / step + 1) * READ_NS);
}

static void finish(body *b)
{
    el_cli_http_event event;
    assert_false(el_cli_http_next(&b->events, &event));
    assert_false(el_cli_http_next(&b->events, &event));
    free(b->bytes);
}

typedef struct expected {
    el_cli_http_form form;
    const char *text;
    struct {
        const char *data;
        size_t ends;
    } event[4];
    bool cut; /* the last event lacks its end */
} expected;

static const expected cases[] = {
    {EL_CLI_HTTP_LINES, "", {{NULL, 0}}, false},
    {EL_CLI_HTTP_LINES, "{\"a\":1}\n{\"b\":2}\n", {{"{\"a\":1}", 7}, {"{\"b\":2}", 15}}, false},
    {EL_CLI_HTTP_LINES, "a\r\nb\r\n", {{"a", 1}, {"b", 4}}, false},
    {EL_CLI_HTTP_LINES, "\n\r\na\n\n\nb\n", {{"a", 4}, {"b", 8}}, false},
    {EL_CLI_HTTP_LINES, "a\nbcd", {{"a", 1}, {"bcd", 4}}, true},
    {EL_CLI_HTTP_LINES, "a\rb\r", {{"a", 1}, {"b", 3}}, false},
    {EL_CLI_HTTP_LINES,
     "\xef\xbb\xbfGr\xc3\xbc\xc3\x9f\xf0\x9f\x98\x80\n",
     {{"Gr\xc3\xbc\xc3\x9f\xf0\x9f\x98\x80", 13}},
     false},
    {EL_CLI_HTTP_SSE, "", {{NULL, 0}}, false},
    {EL_CLI_HTTP_SSE, "\n\n\n", {{NULL, 0}}, false},
    {EL_CLI_HTTP_SSE, "{\"no\": \"event\"}\n\n", {{NULL, 0}}, false},
    {EL_CLI_HTTP_SSE, "data: a\n\ndata: b\n\n", {{"a", 8}, {"b", 17}}, false},
    {EL_CLI_HTTP_SSE, "data:a\n\ndata:  b\n\n", {{"a", 7}, {" b", 17}}, false},
    {EL_CLI_HTTP_SSE, "data: a\r\n\r\ndata: b\r\n\r\n", {{"a", 9}, {"b", 20}}, false},
    {EL_CLI_HTTP_SSE, "data: a\r\rdata: b\r\r", {{"a", 8}, {"b", 17}}, false},
    {EL_CLI_HTTP_SSE, "data: a\ndata\ndata:b\ndata: c\n\n", {{"a\n\nb\nc", 28}}, false},
    {EL_CLI_HTTP_SSE, ": ping\n\nid: 7\nevent: x\ndata: a\nretry: 5\n\n", {{"a", 40}}, false},
    {EL_CLI_HTTP_SSE, "data:\n\ndata\n\ndatax: y\ndat: z\n\ndata: a\n\n", {{"a", 38}}, false},
    {EL_CLI_HTTP_SSE, "data: a\n\ndata: b\n", {{"a", 8}, {"b", 16}}, true},
    {EL_CLI_HTTP_SSE, "data: a\n\ndata: bc", {{"a", 8}, {"bc", 16}}, true},
    {EL_CLI_HTTP_SSE, "data: a\n\n: the end", {{"a", 8}}, false},
    {EL_CLI_HTTP_SSE,
     "\xef\xbb\xbf"
     "data: \xf0\x9f\x98\x80\n\n",
     {{"\xf0\x9f\x98\x80", 14}},
     false},
};

static void check(const expected *c, size_t step)
{
    body b;
    start(&b, c->form, c->text, strlen(c->text), step);
    for (size_t i = 0; i < 4 && c->event[i].data != NULL; i++) {
        bool last = i == 3 || c->event[i + 1].data == NULL;
        expect(&b, step, c->event[i].data, c->event[i].ends, !(last && c->cut));
    }
    finish(&b);
}

static void events_are_the_same_in_any_reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 0; step <= strlen(cases[i].text); step++)
            check(&cases[i], step);
    }
}

static void what_is_called_error_is_told_apart(void **state)
{
    (void)state;
    static const char text[] = "error: {}\n\nerror\n\ndata: a\n\nerrors: x\n\n";
    el_cli_http_event event;
    body b;
    start(&b, EL_CLI_HTTP_SSE, text, sizeof text - 1, 0);
    assert_true(el_cli_http_next(&b.events, &event));
    assert_true(event.error && event.len == 2);
    assert_true(el_cli_http_next(&b.events, &event));
    assert_true(!event.error && event.len == 1);
    finish(&b);
}

/* Bytes of any kind, a NUL too. */
static void a_nul_is_a_byte(void **state)
{
    (void)state;
    static const char text[] = "data: a\0b\n\n";
    el_cli_http_event event;
    body b;
    start(&b, EL_CLI_HTTP_SSE, text, sizeof text - 1, 3);
    assert_true(el_cli_http_next(&b.events, &event));
    assert_int_equal(event.len, 3);
    assert_memory_equal(event.data, "a\0b", 3);
    finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_the_same_in_any_reads),
        cmocka_unit_test(what_is_called_error_is_told_apart),
        cmocka_unit_test(a_nul_is_a_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
