/*
 * test_server_account.c: what is left of requests, and who may ask, without a network: buckets
 * against a search in their bounds, deadlines that were met, missed, left and refused, counts that
 * add up, lines of the log at a full pipe, names of requests and hosts.
 */
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "server/hosts.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/request_id.h"
#include "support/test_help.h"

static const uint64_t ms = 1000000;

/* Those that metrics.c begins with. */
static const el_route routes[] = {{.path = "/one"}, {.path = "/two"}};

const el_route *el_route_at(size_t number)
{
    return number < 2 ? &routes[number] : NULL;
}

/* ---- buckets ------------------------------------------------------------------------------- */

static void test_histogram(void **unused)
{
    (void)unused;
    static const uint64_t beyond[] = {0, 1, 1000 * 1000 * ms, UINT64_MAX / 4};
    el_histogram h = {.sum_ns = 0};
    uint64_t n = 0, sum = 0;
    for (uint32_t i = 0; i < EL_HISTOGRAM_BOUNDS; i++) {
        const uint64_t bound = el_histogram_bounds[i] * ms;
        el_histogram_add(&h, bound); /* what is as long as the bound is in its bucket */
        assert_int_equal(el_counter_read(&h.in[i]), 1 + (i > 0));
        el_histogram_add(&h, bound + 1); /* in the next */
        assert_int_equal(el_counter_read(&h.in[i + 1]), 1);
        sum += 2 * bound + 1;
        n += 2;
        assert_true(i == 0 || el_histogram_bounds[i] > el_histogram_bounds[i - 1]);
    }
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++)
        el_histogram_add(&h, beyond[i]), sum += beyond[i], n++;
    assert_int_equal(el_counter_read(&h.sum_ns), sum);
    for (uint32_t i = 0; i <= EL_HISTOGRAM_BOUNDS; i++)
        n -= el_counter_read(&h.in[i]);
    assert_int_equal(n, 0);
}

/* ---- accounts ------------------------------------------------------------------------------ */

/* An answer of five tokens that was asked for at 100 ms, with 50 ms to its deadline. */
static el_task task_of(uint64_t last_ms)
{
    el_task task = {
        .asked_ns = 100 * ms, .began_ns = 110 * ms, .was_taken = true, .stage = EL_STAGE_ENDED};
    task.request.count = 7;
    task.request.deadline_ns = 150 * ms;
    task.first_ns = 120 * ms;
    task.last_ns = last_ms * ms;
    return task;
}

static el_account account_of(el_task *task, bool has_ended, uint32_t deadline_ms)
{
    el_account account = {.route = &routes[0],
                          .status = 200,
                          .is_whole = has_ended,
                          .asked_ns = 100 * ms,
                          .ended_ns = 200 * ms};
    el_answer *answer = calloc(1, sizeof *answer);
    assert_non_null(answer);
    answer->task = task;
    answer->has_ended = has_ended;
    answer->finish = has_ended ? "length" : NULL;
    answer->last_ns = task->last_ns;
    answer->deadline_ms = deadline_ms;
    answer->ahead.at = 5;
    el_account_answer(&account, answer);
    free(answer);
    return account;
}

static void test_deadlines(void **unused)
{
    (void)unused;
    el_task in_time = task_of(150), late = task_of(153), waits = {.stage = EL_STAGE_ASKED};
    el_account a = account_of(&in_time, true, 50);
    assert_int_equal(a.deadline, EL_DEADLINE_MET);
    assert_int_equal(a.queue_ns, 10 * ms);
    assert_int_equal(a.first_ns, 20 * ms);
    assert_true(a.prompt_tokens == 7 && a.answer_tokens == 5 && a.was_computed);
    a = account_of(&late, true, 50);
    assert_int_equal(a.deadline, EL_DEADLINE_MISSED);
    assert_int_equal(a.late_ns, 3 * ms);
    assert_int_equal(account_of(&late, true, 0).deadline, EL_DEADLINE_NONE);
    assert_int_equal(account_of(&in_time, false, 50).deadline, EL_DEADLINE_ABANDONED);
    a = account_of(&waits, false, 50); /* who left before it was accepted */
    assert_int_equal(a.deadline, EL_DEADLINE_NONE);
    assert_int_equal(a.prompt_tokens, 0);
    assert_string_equal(el_account_outcome(&a), "gone");
}

static void test_outcomes(void **unused)
{
    (void)unused;
    const struct {
        el_account account;
        const char *outcome;
    } rows[] = {{{.is_whole = true, .status = 200}, "done"},
                {{.is_whole = true, .status = 404}, "refused"},
                {{.is_whole = true, .status = 503}, "failed"},
                {{.is_whole = true, .status = 200, .has_failed = true}, "failed"},
                {{.is_whole = true, .status = 422, .has_failed = true}, "refused"},
                {{.is_whole = false, .status = 200}, "gone"},
                {{.is_whole = false}, "gone"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(el_account_outcome(&rows[i].account), rows[i].outcome);
}

static void test_metrics(void **unused)
{
    (void)unused;
    static el_metrics m;
    el_task late = task_of(153), in_time = task_of(140);
    el_metrics_open(&m);
    assert_int_equal(m.n_rows, 2);
    for (int i = 0; i < 3; i++) {
        el_account account = account_of(i == 0 ? &late : &in_time, true, 50);
        el_metrics_count(&m, &account);
    }
    assert_true(m.n_rows == 2 && m.rows[0].n == 3 && m.rows[1].n == 0);
    assert_true(m.prompt_tokens == 21 && m.answer_tokens == 15);
    assert_true(m.deadlines[EL_DEADLINE_MET] == 2 && m.deadlines[EL_DEADLINE_MISSED] == 1);
    assert_int_equal(el_counter_read(&m.lateness.sum_ns), 3 * ms);
    assert_int_equal(el_counter_read(&m.request.sum_ns), 300 * ms);
    for (unsigned status = 0; status < 1000; status++) { /* more than there is room for */
        const el_account account = {.status = status, .is_whole = true};
        el_metrics_count(&m, &account);
    }
    assert_int_equal(m.n_rows, EL_METRICS_ROWS);
    assert_int_equal(m.prompt_tokens, 21);
}

/* ---- the log ------------------------------------------------------------------------------- */

static void test_full_pipe(void **unused)
{
    (void)unused;
    el_log log;
    int ends[2];
    char got[65536], long_line[2 * EL_LOG_LINE];
    assert_int_equal(pipe(ends), 0);
    (void)fcntl(ends[1], F_SETPIPE_SZ, 4096);
    el_log_open(&log, ends[1]);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0); /* others write there as before */
    memset(long_line, 'x', sizeof long_line);
    for (int i = 0; i < 100; i++)
        el_log_line(&log, long_line, sizeof long_line);
    assert_true(log.written > 0 && log.dropped > 0 && log.written + log.dropped == 100);
    const ssize_t n = read(ends[0], got, sizeof got);
    assert_int_equal(n, log.written * EL_LOG_LINE); /* whole lines, cut */
    for (ssize_t i = EL_LOG_LINE - 1; i < n; i += EL_LOG_LINE)
        assert_int_equal(got[i], '\n');
    el_log_close(&log);
    close(ends[0]);
    close(ends[1]);
    el_log_line(&log, "x", 1); /* closed: without effect */
    assert_int_equal(log.written + log.dropped, 0);
}

static void test_line(void **unused)
{
    (void)unused;
    el_log log;
    int ends[2];
    char got[2 * EL_LOG_LINE], longest[EL_REQUEST_ID + 1];
    el_task late = task_of(153);
    el_account account = account_of(&late, true, 50);
    memset(longest, 'y', EL_REQUEST_ID);
    longest[EL_REQUEST_ID] = '\0';
    assert_int_equal(pipe(ends), 0);
    el_log_open(&log, ends[1]);
    account.answer_tokens = account.deadline_ms = UINT32_MAX;
    account.first_ns = account.ended_ns = UINT64_MAX;
    el_log_request(&log, &account, longest, "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%e\"0");
    const ssize_t n = read(ends[0], got, sizeof got);
    assert_in_range(n, 100, EL_LOG_LINE / 2);
    json_t *line = json_loadb(got, (size_t)n, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(line, "deadline")), "missed");
    assert_string_equal(json_string_value(json_object_get(line, "id")), longest);
    assert_int_equal(json_integer_value(json_object_get(line, "status")), 200);
    assert_true(json_real_value(json_object_get(line, "queue_ms")) == 10);
    json_decref(line);
    el_log_close(&log);
    close(ends[0]);
    close(ends[1]);
}

/* ---- names --------------------------------------------------------------------------------- */

static void test_ids(void **unused)
{
    (void)unused;
    static const char *const good[] = {"a", "A-z_0.9:=+/"};
    static const char *const bad[] = {"", "a b", "a\n", "\"", "\\", "a\x80", "a,b", "a;b", "\x7f"};
    char id[EL_REQUEST_ID + 2], other[EL_REQUEST_ID + 1];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(el_request_id_is_sane(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(el_request_id_is_sane(bad[i], strlen(bad[i])));
    memset(id, 'x', sizeof id);
    assert_true(el_request_id_is_sane((id[EL_REQUEST_ID] = '\0', id), EL_REQUEST_ID));
    assert_false(el_request_id_is_sane("a\0b", 3));
    el_request_id_make(id, 5, UINT32_MAX);
    el_request_id_make(other, 5, 0);
    assert_string_not_equal(id, other);
    assert_true(el_request_id_is_sane(id, strlen(id)));
}

static void test_hosts(void **unused)
{
    (void)unused;
    static const char *const names[] = {"board.local", "fe80::1"};
    static const char *const good[] = {
        "localhost", "LOCALHOST:1", "127.0.0.1:11435", "[::1]",
        "[::1]:80",  "localhost:",  "Board.Local:9",   "[FE80::1]:9"};
    static const char *const bad[] = {"",
                                      ":",
                                      ":80",
                                      "[",
                                      "[]",
                                      "[]:80",
                                      "]",
                                      "localhostx",
                                      "xlocalhost",
                                      "localhost.evil",
                                      "localhost:8x",
                                      "[::1",
                                      "[::1]x",
                                      "::1",
                                      "[localhost",
                                      "fe80::1",
                                      "[[::1]]",
                                      "127.0.0.1.",
                                      "board.loca",
                                      "[board.local"};
    const el_hosts some = {names, 2}, none = {NULL, 0};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(el_hosts_have(&some, good[i]));
        assert_int_equal(el_hosts_have(&none, good[i]), i < 6);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(el_hosts_have(&some, bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram), cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_outcomes),  cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_full_pipe), cmocka_unit_test(test_line),
        cmocka_unit_test(test_ids),       cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
