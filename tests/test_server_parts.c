/*
 * test_server_parts.c: what of the server needs no network: stop texts against a search in the
 * whole text, calls of tools cut anywhere, JSON text against jansson, the ring and tasks between
 * two threads, keys, limits, bodies in chunks, log-probabilities.
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "server/answer.h"
#include "server/calls.h"
#include "server/chunks.h"
#include "server/json_limits.h"
#include "server/keys.h"
#include "server/problem.h"
#include "server/stops.h"
#include "server/tasks.h"
#include "support/test_help.h"

/* Tasks destroy what they own; none here has a grammar. */
void edgellm_grammar_destroy(edgellm_grammar *grammar)
{
    assert_null(grammar);
}

/* A token's text is its letter. */
edgellm_status edgellm_detokenize(const edgellm_engine *engine, const uint32_t *tokens,
                                  size_t count, bool special, char *text, size_t capacity,
                                  size_t *len, edgellm_error *err)
{
    (void)engine, (void)special, (void)capacity, (void)err;
    assert_int_equal(count, 1);
    text[0] = (char)('a' + tokens[0]);
    *len = 1;
    return EDGELLM_OK;
}

size_t edgellm_stream_push(const edgellm_engine *engine, edgellm_stream *stream, uint32_t token,
                           char *text)
{
    (void)engine, (void)stream;
    text[0] = (char)('a' + token);
    return 1;
}

static uint32_t state = 1;

static uint32_t random_below(uint32_t n)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
}

/* ---- stop texts ---------------------------------------------------------------------------- */

enum { LETTERS = 3, TEXT = 60 };

static void random_text(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + random_below(LETTERS));
}

static el_stop_list random_stops(void)
{
    el_stop_list stops = {.n = random_below(EL_STOPS + 1)};
    for (uint32_t i = 0; i < stops.n; i++) {
        stops.len[i] = 1 + random_below(7);
        random_text(stops.text[i], stops.len[i]);
    }
    return stops;
}

/* Where the first of them to be whole ends, and where that one begins; of those that end in the
 * same piece the one that begins first. */
static size_t naive_end(const el_stop_list *stops, const char *text, size_t shown, size_t *begin)
{
    *begin = shown;
    for (size_t at = 0; at < shown; at++) {
        for (uint32_t i = 0; i < stops->n; i++) {
            if (at + stops->len[i] > shown || memcmp(text + at, stops->text[i], stops->len[i]) != 0)
                continue;
            *begin = at;
            return at + stops->len[i];
        }
    }
    return 0;
}

/* Pieces of any size: what is given out is always a beginning of the right text, holds nothing of
 * a stop text, and is all of it in the end. */
static void check_pieces(const el_stop_list *stops, const char *text)
{
    el_stop_search search = {.n_held = 0};
    char room[EL_STOP_BYTES + TEXT], given[TEXT + 1];
    size_t at = 0, n = 0, begin = TEXT;
    const char *out;
    while (at < TEXT && !search.found) {
        const size_t len = 1 + random_below(4), left = TEXT - at;
        const size_t piece = len < left ? len : left;
        memcpy(room + EL_STOP_BYTES, text + at, piece);
        at += piece;
        const size_t more = el_stop_push(stops, &search, room, piece, &out);
        memcpy(given + n, out, more);
        n += more;
        assert_int_equal(search.found, naive_end(stops, text, at, &begin) > 0);
        assert_true(n <= begin);
    }
    const size_t rest = el_stop_flush(&search, &out);
    memcpy(given + n, out, rest);
    n += rest;
    assert_int_equal(n, begin);
    assert_memory_equal(given, text, n);
}

static void test_stops(void **unused)
{
    (void)unused;
    for (int i = 0; i < 20000; i++) {
        char text[TEXT];
        const el_stop_list stops = random_stops();
        random_text(text, TEXT);
        check_pieces(&stops, text);
    }
}

static void test_long_stops(void **unused)
{
    el_stop_list stops = {.n = 1, .len = {EL_STOP_BYTES}};
    el_stop_search search = {.n_held = 0};
    char room[EL_STOP_BYTES + 1];
    const char *out;
    size_t n = 0;
    (void)unused;
    memset(stops.text[0], 'a', EL_STOP_BYTES);
    stops.text[0][EL_STOP_BYTES - 1] = 'b';
    for (int i = 0; i < 1000; i++) { /* never the last byte */
        room[EL_STOP_BYTES] = 'a';
        n += el_stop_push(&stops, &search, room, 1, &out);
    }
    assert_int_equal(n, 1000 - (EL_STOP_BYTES - 1));
    room[EL_STOP_BYTES] = 'b';
    assert_int_equal(el_stop_push(&stops, &search, room, 1, &out), 0);
    assert_true(search.found);
    assert_int_equal(el_stop_flush(&search, &out), 0);
}

/* ---- calls of tools ------------------------------------------------------------------------ */

/* Text as it is, then for each call (NAME ARGUMENTS). */
static void show_parts(el_calls *calls, const char *at, const char *end, char *shown)
{
    const char *piece;
    size_t len;
    el_call_part part;
    while ((part = el_calls_next(calls, &at, end, &piece, &len)) != EL_CALL_NONE) {
        if (part == EL_CALL_BEGINS)
            sprintf(shown + strlen(shown), "(%s ", calls->name);
        else if (part == EL_CALL_ARGUMENTS)
            strncat(shown, piece, len);
        else
            strcat(shown, ")");
    }
    assert_ptr_equal(at, end);
}

/* As a reader does it, in pieces of random length. */
static void show_in_pieces(el_calls *calls, const char *text, uint32_t longest, char *shown)
{
    char bytes[512];
    size_t call = 0;
    const char *end = text + strlen(text);
    for (size_t n; text < end; text += n) {
        const size_t held = el_calls_unhold(calls, bytes);
        assert_true(held <= EL_CALLS_HELD);
        n = 1 + random_below(longest);
        if (n > (size_t)(end - text)) n = (size_t)(end - text);
        memcpy(bytes + held, text, n);
        call = 0;
        if (calls->stage == EL_CALLS_TEXT)
            strncat(shown, bytes, el_calls_text(calls, bytes, held + n, &call));
        else
            assert_int_equal(held, 0);
        if (calls->stage != EL_CALLS_TEXT) show_parts(calls, bytes + call, bytes + held + n, shown);
    }
    if (calls->stage == EL_CALLS_TEXT) strncat(shown, bytes, el_calls_unhold(calls, bytes));
}

#define LAMP   "{\"a\": \"}]\\\"{\\\\\", \"b\": [{}, []]}"
#define CHATML "<tool_call>\n{\"name\": \"lamp\", \"arguments\": " LAMP "}\n</tool_call>"
#define OTHER  "<tool_call>\n{\"name\": \"x-1_\", \"arguments\": {}}\n</tool_call>"
#define LLAMA3 "{\"name\": \"lamp\", \"parameters\": " LAMP "}"

static void test_calls(void **unused)
{
    static const struct {
        const char *form, *text, *shown;
        bool only_first;
        uint32_t n_done;
    } rows[] = {
        {"chatml", CHATML, "(lamp " LAMP ")", false, 1},
        {"chatml", CHATML "\n" OTHER, "(lamp " LAMP ")(x-1_ {})", true, 2},
        {"chatml", "Well\n\n" OTHER "\n" CHATML, "Well(x-1_ {})(lamp " LAMP ")", false, 2},
        {"chatml", "<tool_<<tool_call\n" OTHER, "<tool_<<tool_call(x-1_ {})", false, 1},
        {"chatml", "a\n\nb <tool_call\n\n", "a\n\nb <tool_call\n\n", false, 0},
        {"chatml", "{\"a\": \"" OTHER "\"}", "{\"a\": \"" OTHER "\"}", true, 0},
        {"chatml", "\n\n<tool", "\n\n<tool", false, 0},
        {"chatml", "<tool_call>\n{\"name\": \"l", "", false, 0},
        {"chatml", "<tool_call>\n{\"name\": \"l\", \"arguments\": {\"", "(l {\"", false, 0},
        {"llama3", LLAMA3, "(lamp " LAMP ")", true, 1},
        {"llama3", "{\"name\": 5}", "{\"name\": 5}", true, 0},
        {"llama3", " " LLAMA3, " " LLAMA3, true, 0},
        {"llama3", "{", "{", true, 0},
        {NULL, CHATML, CHATML, false, 0},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (uint32_t longest = 1; longest < 200; longest += 3) {
            char shown[512] = "";
            el_calls calls = {.form = el_call_form_find(rows[i].form),
                              .only_first = rows[i].only_first};
            show_in_pieces(&calls, rows[i].text, longest, shown);
            assert_string_equal(shown, rows[i].shown);
            assert_int_equal(calls.n_done, rows[i].n_done);
            assert_int_equal(el_calls_are_open(&calls), strcmp(shown, "(l {\"") == 0);
        }
    }
}

/* ---- JSON text ----------------------------------------------------------------------------- */

static void test_strings(void **unused)
{
    char text[512], bytes[40];
    (void)unused;
    for (int round = 0; round < 5000; round++) {
        el_out out = {.at = text, .room = sizeof text};
        const size_t len = random_below(sizeof bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)random_below(256);
        el_out_text(&out, "[\"");
        el_out_escaped(&out, bytes, len);
        el_out_text(&out, "\"]");
        assert_false(out.is_full);
        json_t *root = json_loadb(text, out.used, JSON_ALLOW_NUL, NULL);
        assert_non_null(root);
        const json_t *value = json_array_get(root, 0);
        if (json_string_length(value) == len) /* no byte was replaced */
            assert_memory_equal(json_string_value(value), bytes, len);
        json_decref(root);
    }
}

static void test_numbers(void **unused)
{
    static const uint64_t values[] = {0, 1, 9, 10, 4294967295, UINT64_MAX};
    (void)unused;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[32], printed[32];
        el_out out = {.at = text, .room = sizeof text};
        el_out_number(&out, values[i]);
        snprintf(printed, sizeof printed, "%" PRIu64, values[i]);
        assert_int_equal(out.used, strlen(printed));
        assert_memory_equal(text, printed, out.used);
    }
}

static void test_no_room(void **unused)
{
    char text[8] = "-------";
    el_out out = {.at = text, .room = 5};
    (void)unused;
    el_out_text(&out, "abc");
    assert_false(out.is_full);
    el_out_print(&out, "%s", "def");
    assert_true(out.is_full);
    el_out_text(&out, "xy");
    assert_int_equal(out.used, 5);
    el_out_text(&out, "z");
    assert_int_equal(out.used, 5);
    assert_string_equal(text + 5, "--");
}

static void test_limits(void **unused)
{
    static const struct {
        const char *text;
        uint32_t depth, values;
    } rows[] = {{"", 0, 1},           {"5", 0, 1},        {"[]", 1, 2},
                {"[[1,2],3]", 2, 5},  {"\"[,:]\"", 0, 1}, {"{\"a\\\"[\":[]}", 2, 4},
                {"\"\\\\\",[", 1, 3}, {"]]][[", 2, 3},    {"\"\\", 0, 1}};
    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const el_json_extent e = el_json_measure(rows[i].text, strlen(rows[i].text));
        assert_int_equal(e.depth, rows[i].depth);
        assert_int_equal(e.values, rows[i].values);
    }
}

/* ---- between two threads ------------------------------------------------------------------- */

enum { TASKS = 3, ROUNDS = 2000, ANSWER = 50, CONTEXT = 64, TOP = 3 };

/* Answers each task with its prompt's token and what follows, until one has none. */
static void *compute(void *context)
{
    el_tasks *tasks = context;
    for (;;) {
        el_task *task = el_tasks_next(tasks);
        if (!task) {
            el_tasks_wait(tasks->wake);
            continue;
        }
        if (task->request.count == 0) return NULL;
        el_task_set_stage(task, EL_STAGE_RUNNING);
        for (uint32_t i = 1; i <= ANSWER && !atomic_load(&task->is_cancelled); i++) {
            const edgellm_logprob top[TOP] = {{i, 0}, {2 * i, 0}, {3 * i, 0}};
            el_task_set_top(task, top);
            el_task_add(task, task->tokens[0] + i, 0, i);
        }
        task->finish =
            atomic_load(&task->is_cancelled) ? EDGELLM_FINISH_CANCELLED : EDGELLM_FINISH_LENGTH;
        el_task_set_stage(task, EL_STAGE_ENDED);
    }
}

static void hand_over(el_tasks *tasks, el_task *task, uint32_t first)
{
    task->request.count = 1;
    task->request.top_logprobs = TOP - first % 2; /* as many, or fewer, than there is room for */
    task->tokens[0] = first;
    el_tasks_hand_over(tasks, task);
}

/* Reads as far as there are tokens, until it has ended. */
static void read_task(const el_task *task, uint32_t first)
{
    const uint32_t top = task->request.top_logprobs;
    uint32_t at = 0;
    for (;;) {
        const bool ended = el_task_stage(task) == EL_STAGE_ENDED;
        const uint32_t n = atomic_load_explicit(&task->n_answer, memory_order_acquire);
        for (; at < n; at++) {
            assert_int_equal(task->tokens[1 + at], first + 1 + at);
            for (uint32_t k = 0; k < top; k++)
                assert_int_equal(task->top[at * top + k].token, (at + 1) * (k + 1));
        }
        if (ended) break;
    }
    assert_int_equal(at, ANSWER);
    assert_int_equal(task->finish, EDGELLM_FINISH_LENGTH);
}

static void test_tasks(void **unused)
{
    static const el_tasks_room room = {TASKS, CONTEXT, CONTEXT, TOP, 7};
    el_tasks tasks;
    pthread_t thread;
    sem_t wake;
    edgellm_error err;
    (void)unused;
    assert_int_equal(sem_init(&wake, 0, 0), 0);
    assert_int_equal(el_tasks_open(&tasks, &room, &wake, &err), EDGELLM_OK);
    assert_int_equal(pthread_create(&thread, NULL, compute, &tasks), 0);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        el_task *two[2];
        while (el_tasks_n_free(&tasks) < 2)
            el_tasks_sweep(&tasks);
        two[0] = el_tasks_find(&tasks);
        two[1] = el_tasks_find_next(&tasks, two[0]);
        assert_true(two[0] && two[1] > two[0]);
        for (uint32_t i = 0; i < 2; i++) {
            hand_over(&tasks, two[i], round * 1000 + i);
        }
        read_task(two[0], round * 1000);
        el_tasks_abandon(&tasks, two[0]);
        el_tasks_abandon(&tasks, two[1]); /* at whatever stage it is */
        el_tasks_sweep(&tasks);
    }
    el_task *last;
    while (!(last = el_tasks_find(&tasks)))
        el_tasks_sweep(&tasks);
    el_tasks_hand_over(&tasks, last); /* no prompt */
    pthread_join(thread, NULL);
    el_tasks_sweep(&tasks);
    for (uint32_t i = 0; i < TASKS; i++)
        assert_int_equal(el_task_stage(&tasks.list[i]) == EL_STAGE_FREE, &tasks.list[i] != last);
    assert_false(el_tasks_are_free(&tasks));
    el_task_set_stage(last, EL_STAGE_ENDED);
    el_tasks_abandon(&tasks, last);
    assert_true(el_tasks_are_free(&tasks));
    el_tasks_close(&tasks);
    sem_destroy(&wake);
}

static void test_retry_after(void **unused)
{
    static const el_tasks_room room = {TASKS, CONTEXT, CONTEXT, 0, 0};
    static const uint64_t second = 1000000000;
    el_tasks tasks;
    sem_t wake;
    edgellm_error err;
    (void)unused;
    assert_int_equal(sem_init(&wake, 0, 0), 0);
    assert_int_equal(el_tasks_open(&tasks, &room, &wake, &err), EDGELLM_OK);
    assert_int_equal(el_tasks_retry_after(&tasks, 5 * second), 1);
    assert_int_equal(el_tasks_all_after(&tasks, 5 * second), 1);
    for (uint32_t i = 0; i < 2; i++) { /* 3 of 10 and 23 tokens after 8 seconds: 14 and 40 more */
        el_task *task = el_tasks_find(&tasks);
        hand_over(&tasks, task, 0);
        task->request.max_tokens = i == 0 ? 10 : 23;
        task->began_ns = 2 * second;
        for (uint32_t k = 0; k < 3; k++)
            el_task_add(task, k, 0, 3 * second);
        el_task_set_stage(task, EL_STAGE_RUNNING);
    }
    assert_int_equal(el_tasks_retry_after(&tasks, 10 * second), 15);
    assert_int_equal(el_tasks_retry_after(&tasks, 10000 * second), 600);
    assert_int_equal(el_tasks_all_after(&tasks, 10 * second), 41);
    assert_int_equal(el_tasks_all_after(&tasks, 10000 * second), 600);
    el_tasks_close(&tasks);
    sem_destroy(&wake);
}

/* ---- keys and problems --------------------------------------------------------------------- */

static void test_keys(void **unused)
{
    static const char *const right[] = {"Bearer one", "bearer two"};
    static const char *const wrong[] = {
        "", "Bearer", "Bearer ", "one", "Bearer onee", "Bearer on", "Basic one", "Bearer one two"};
    el_keys keys = {.n = 2, .key = {"one", "two"}};
    char longest[300] = "Bearer ";
    (void)unused;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        assert_true(el_keys_allow(&keys, right[i], strlen(right[i])));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(el_keys_allow(&keys, wrong[i], strlen(wrong[i])));
    assert_false(el_keys_allow(&keys, longest, sizeof longest));
    keys.n = 0;
    assert_true(el_keys_allow(&keys, "", 0));
}

/* Each kind, with the longest message of the worst characters, fits into a reply. */
static void test_problems(void **unused)
{
    char text[6144], worst[600];
    (void)unused;
    memset(worst, 1, sizeof worst - 1);
    worst[sizeof worst - 1] = '\0';
    for (int kind = 0; kind < EL_PROBLEM_KINDS; kind++) {
        el_out out = {.at = text, .room = sizeof text};
        el_problem problem;
        assert_false(el_problem_set(&problem, (el_problem_kind)kind, worst, "%s", worst));
        problem.has_forecast = true;
        problem.forecast.answer_ns = 1e300;
        el_problem_write(&problem, &out);
        assert_false(out.is_full);
        json_t *root = json_loadb(text, out.used, 0, NULL);
        assert_non_null(json_object_get(json_object_get(root, "error"), "message"));
        json_decref(root);
        out.used = 0;
        el_problem_write_flat(&problem, &out);
        assert_false(out.is_full);
        root = json_loadb(text, out.used, 0, NULL);
        assert_int_equal(json_string_length(json_object_get(root, "error")),
                         strlen(problem.message));
        assert_string_equal(json_string_value(json_object_get(root, "param")), problem.param);
        assert_true(json_is_object(json_object_get(root, "forecast")));
        json_decref(root);
        assert_in_range(el_problem_status(&problem), 400, 503);
    }
}

/* ---- log-probabilities --------------------------------------------------------------------- */

/* What is told of an answer of two tokens, the second of which could not be, as JSON. */
static json_t *told(bool (*write)(el_answer *answer, el_out *out))
{
    static char text[2 * EL_ANSWER_ROOM];
    uint32_t tokens[] = {0, 1, 2};
    float logprobs[] = {-0.5f, -INFINITY};
    edgellm_logprob top[] = {{1, -0.5f}, {0, -INFINITY}, {0, -0.25f}, {2, -INFINITY}};
    el_task task = {.tokens = tokens, .logprobs = logprobs, .top = top};
    el_answer *answer = calloc(1, sizeof *answer);
    el_out out = {.at = text, .room = sizeof text};
    assert_non_null(answer);
    task.request.count = 1;
    task.request.top_logprobs = 2;
    answer->task = &task;
    answer->written.at = 2;
    assert_true(write(answer, &out));
    free(answer);
    json_t *json = json_loadb(text, out.used, 0, NULL);
    assert_non_null(json);
    return json;
}

static void check_number(const json_t *json, double right)
{
    assert_true(json_is_real(json) || json_is_integer(json));
    assert_true(json_number_value(json) == right);
}

/* OpenAI's interface has no infinity: it is -9999, wherever it stands. */
static void test_what_cannot_be(void **unused)
{
    (void)unused;
    json_t *chat = told(el_logprobs_write_chat), *text = told(el_logprobs_write_completion);
    const json_t *content = json_object_get(chat, "content");
    const json_t *second = json_array_get(content, 1);
    const json_t *others = json_object_get(second, "top_logprobs");
    check_number(json_object_get(json_array_get(content, 0), "logprob"), -0.5);
    check_number(json_object_get(second, "logprob"), -9999);
    check_number(json_object_get(json_array_get(others, 0), "logprob"), -0.25);
    check_number(json_object_get(json_array_get(others, 1), "logprob"), -9999);
    const json_t *numbers = json_object_get(text, "token_logprobs");
    check_number(json_array_get(numbers, 0), -0.5);
    check_number(json_array_get(numbers, 1), -9999);
    const json_t *tops = json_object_get(text, "top_logprobs");
    check_number(json_object_get(json_array_get(tops, 0), "a"), -9999);
    check_number(json_object_get(json_array_get(tops, 1), "c"), -9999);
    json_decref(chat);
    json_decref(text);
}

/* ---- chunks -------------------------------------------------------------------------------- */

enum { CHUNKED = 400 };

/* Some text in chunks of any size, with extensions and trailers. */
static size_t make_chunks(const char *text, size_t len, char *to)
{
    static const char *const forms[] = {"%zx\r\n", "%04zX\r\n", "%zx ;x=\"y\"\r\n"};
    char *at = to;
    for (size_t i = 0; i < len;) {
        const size_t most = 1 + random_below(20), n = most < len - i ? most : len - i;
        at += sprintf(at, forms[random_below(3)], n);
        memcpy(at, text + i, n);
        memcpy(at + n, "\r\n", 2);
        at += n + 2;
        i += n;
    }
    return (size_t)(at + sprintf(at, random_below(2) > 0 ? "0\r\na: b\r\n\r\n" : "00\r\n\r\n") -
                    to);
}

/* However the bytes are cut: the same text, and what is behind it is left alone. */
static void check_chunks(const char *text, size_t len, const char *sent, size_t n)
{
    el_chunks chunks = {.stage = 0};
    char got[CHUNKED];
    size_t at = 0, used = 0, piece_len;
    el_chunk found = EL_CHUNK_NONE;
    while (found != EL_CHUNK_END) {
        const size_t most = 1 + random_below(9), left = n + 1 - at; /* one byte more */
        const char *from = sent + at, *end = from + (most < left ? most : left), *piece;
        assert_true(left > 0);
        while ((found = el_chunks_next(&chunks, &from, end, &piece, &piece_len)) ==
               EL_CHUNK_PIECE) {
            assert_true(piece_len > 0 && used + piece_len <= len);
            memcpy(got + used, piece, piece_len);
            used += piece_len;
        }
        assert_int_not_equal(found, EL_CHUNK_WRONG);
        at = (size_t)(from - sent);
    }
    assert_int_equal(at, n);
    assert_int_equal(used, len);
    assert_memory_equal(got, text, len);
}

/* What any byte of the frame is changed to ends somewhere, and reads nothing that is not there. */
static void check_damaged(char *sent, size_t n)
{
    const size_t at = random_below((uint32_t)n);
    const char was = sent[at], *from = sent, *piece;
    el_chunks chunks = {.stage = 0};
    size_t len, sum = 0;
    sent[at] = (char)random_below(256);
    while (el_chunks_next(&chunks, &from, sent + n, &piece, &len) == EL_CHUNK_PIECE)
        sum += len;
    assert_true(from <= sent + n && sum <= n);
    sent[at] = was;
}

static void test_chunks(void **unused)
{
    (void)unused;
    char text[CHUNKED], sent[CHUNKED * 20];
    for (int k = 0; k < 2000; k++) {
        const size_t len = random_below(CHUNKED);
        random_text(text, len);
        const size_t n = make_chunks(text, len, sent);
        sent[n] = 'G';
        check_chunks(text, len, sent, n);
        check_damaged(sent, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stops),       cmocka_unit_test(test_long_stops),
        cmocka_unit_test(test_strings),     cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_numbers),     cmocka_unit_test(test_limits),
        cmocka_unit_test(test_tasks),       cmocka_unit_test(test_calls),
        cmocka_unit_test(test_retry_after), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_problems),    cmocka_unit_test(test_what_cannot_be),
        cmocka_unit_test(test_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
