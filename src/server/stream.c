#include "server/stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/error.h"
#include "server/request.h"
#include "server/server_state.h"

uint64_t el_streams_bytes(uint32_t n)
{
    return n * sizeof(el_stream);
}

edgellm_status el_streams_open(el_server *server, edgellm_error *err)
{
    server->streams = calloc(el_server_tasks(server->options), sizeof *server->streams);
    if (server->streams) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for %u requests",
                   el_server_tasks(server->options));
}

/* ---- their life ---------------------------------------------------------------------------- */

/* Once for each, when its end is sent or nobody will ask for it any more. */
static void take_account(el_server *server, el_stream *s)
{
    static const char path[] = EL_STREAM_PATH;
    el_answer *a = &s->answer;
    if (!a->task || s->is_counted) return;
    el_account account = {.route = el_route_find(path, sizeof path - 1, NULL),
                          .status = a->has_failed ? el_problem_status(&a->problem) : 200,
                          .is_whole = s->is_told,
                          .asked_ns = a->task->asked_ns,
                          .ended_ns = el_clock_now()};
    if (s->wanted_ms > 0 && el_task_change(a->task) == EL_CHANGE_TAKEN)
        a->deadline_ms = s->wanted_ms; /* taken, but not told */
    el_account_answer(&account, a);
    el_metrics_count(&server->metrics, &account);
    if (server->options->log_requests)
        el_log_request(&server->log, &account, s->id, s->owner ? s->owner->peer : NULL);
    s->is_counted = true;
}

static void forget(el_server *server, el_stream *s)
{
    if (s->answer.task) server->n_streams--;
    take_account(server, s);
    el_answer_close(&s->answer);
    memset(s, 0, sizeof *s);
}

void el_streams_close(el_server *server)
{
    for (uint32_t i = 0; server->streams && i < el_server_tasks(server->options); i++)
        forget(server, &server->streams[i]);
    free(server->streams);
    server->streams = NULL;
}

/* Nobody owns it from here on. */
static void disown(el_server *server, el_stream *s)
{
    s->owner = NULL;
    s->kept_until = el_clock_now() + server->options->resume_s * UINT64_C(1000000000);
    if (server->options->resume_s == 0 || server->is_draining) forget(server, s);
}

void el_stream_tell(el_stream *stream)
{
    stream->is_told = true;
    take_account(stream->owner->server, stream);
    disown(stream->owner->server, stream);
}

void el_streams_lose(const el_conn *conn)
{
    el_server *server = conn->server;
    for (uint32_t i = 0; i < el_server_tasks(server->options); i++)
        if (server->streams[i].owner == conn) disown(server, &server->streams[i]);
}

void el_streams_drop(const el_conn *conn)
{
    el_server *server = conn->server;
    for (uint32_t i = 0; i < el_server_tasks(server->options); i++)
        if (server->streams[i].owner == conn) forget(server, &server->streams[i]);
}

bool el_streams_make_room(el_server *server, const el_tasks *tasks)
{
    el_stream *oldest = NULL;
    for (uint32_t i = 0; i < el_server_tasks(server->options); i++) {
        el_stream *s = &server->streams[i];
        if (s->answer.tasks != tasks) continue;
        if (s->is_told && (!oldest || s->kept_until < oldest->kept_until)) oldest = s;
    }
    if (oldest) forget(server, oldest);
    return oldest != NULL;
}

bool el_stream_has_news(el_stream *stream)
{
    const el_change change = el_task_change(stream->answer.task);
    const bool is_answered = change == EL_CHANGE_TAKEN || change == EL_CHANGE_REFUSED;
    return el_answer_look(&stream->answer) || (stream->wanted_ms > 0 && is_answered);
}

void el_streams_look(el_server *server)
{
    if (server->n_streams == 0) return; /* or each token of others would touch them all */
    const uint64_t now = el_clock_now();
    for (uint32_t i = 0; i < el_server_tasks(server->options); i++) {
        el_stream *s = &server->streams[i];
        if (!s->answer.task) continue;
        if (!s->owner && now >= s->kept_until)
            forget(server, s);
        else if (!s->is_told && el_stream_has_news(s) && s->owner) /* looked at if lost too */
            el_stream_write_now(s->owner);
    }
}

void el_streams_drain(el_server *server)
{
    for (uint32_t i = 0; i < el_server_tasks(server->options); i++)
        if (server->streams[i].answer.task && !server->streams[i].owner)
            forget(server, &server->streams[i]);
    for (uint32_t i = 0; i < server->options->connections; i++)
        if (server->conns[i].wsi && server->conns[i].is_stream)
            el_conn_want_write(&server->conns[i]);
}

/* ---- whose they are ------------------------------------------------------------------------ */

unsigned el_streams_of(const el_conn *conn)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < el_server_tasks(conn->server->options); i++)
        n += conn->server->streams[i].owner == conn;
    return n;
}

el_stream *el_stream_named(const el_conn *conn, const char *id)
{
    for (uint32_t i = 0; i < el_server_tasks(conn->server->options); i++) {
        el_stream *s = &conn->server->streams[i];
        if (s->owner == conn && strcmp(s->id, id) == 0) return s;
    }
    return NULL;
}

static bool has_place(const el_conn *conn, const char *id, el_problem *problem)
{
    if (el_stream_named(conn, id))
        return el_problem_set(problem, EL_PROBLEM_REQUEST, "id",
                              "a request that runs on this connection has this 'id'");
    if (el_streams_of(conn) < EL_STREAM_REQUESTS) return true;
    return el_problem_set(problem, EL_PROBLEM_QUEUE, NULL,
                          "%d requests run on this connection, as many as may", EL_STREAM_REQUESTS);
}

/* ---- a request ----------------------------------------------------------------------------- */

static el_stream *stream_of(const el_server *server, const el_generation *g, const el_task *task)
{
    return &server->streams[el_server_place(server, &g->tasks, task)];
}

el_stream *el_stream_begin(el_conn *conn, el_problem *problem)
{
    static const el_wire wire = {.streams = true}; /* written by stream_messages.c */
    static const el_endpoint endpoint = {
        .form = EL_ASK_STREAM, .id = "stream", .whole = &wire, .streamed = &wire};
    el_server *server = conn->server;
    el_stream begun = {.owner = conn, .logprobs = server->ask.logprobs};
    if (!el_server_is_ready(server, problem)) return NULL;
    if (!has_place(conn, server->ask.id, problem)) return NULL;
    memcpy(begun.id, server->ask.id, strlen(server->ask.id));
    if (getrandom(begun.secret, sizeof begun.secret, GRND_NONBLOCK) != sizeof begun.secret) {
        el_problem_set(problem, EL_PROBLEM_INTERNAL, NULL, "the system has no random numbers yet");
        return NULL;
    }
    el_task *task = el_request_task(server, problem);
    if (!task) return NULL;
    el_stream *s = stream_of(server, server->now, task);
    *s = begun;
    server->n_streams++;
    el_request_start(server, &endpoint, task, &s->answer);
    return s;
}

void el_stream_cancel(el_stream *stream)
{
    el_answer *a = &stream->answer;
    if (a->has_ended || a->has_failed || el_task_stage(a->task) == EL_STAGE_ENDED) return;
    a->is_cancelled = true;
    el_tasks_cancel(a->tasks, a->task);
}

bool el_stream_change(el_stream *stream, uint32_t deadline_ms, el_problem *problem)
{
    el_answer *a = &stream->answer;
    if (a->has_ended || a->has_failed || el_task_stage(a->task) == EL_STAGE_ENDED)
        return el_problem_set(problem, EL_PROBLEM_ROUTE, "id", "this request has ended");
    if (stream->wanted_ms > 0 ||
        !el_tasks_change(a->tasks, a->task, a->task->asked_ns + deadline_ms * UINT64_C(1000000)))
        return el_problem_set(problem, EL_PROBLEM_QUEUE, "deadline_ms",
                              "the last change of this deadline is not answered yet");
    stream->wanted_ms = deadline_ms;
    return true;
}

/* ---- one that was lost --------------------------------------------------------------------- */

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static bool read_secret(const char *text, unsigned char *secret)
{
    if (strlen(text) != 2 * (size_t)EL_STREAM_SECRET) return false;
    for (size_t i = 0; i < EL_STREAM_SECRET; i++) {
        const int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        secret[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* In a time that tells nothing of the secrets. */
static el_stream *with_secret(const el_server *server, const unsigned char *secret)
{
    el_stream *found = NULL;
    for (uint32_t i = 0; i < el_server_tasks(server->options); i++) {
        unsigned differs = !server->streams[i].answer.task;
        for (int k = 0; k < EL_STREAM_SECRET; k++)
            differs |= (unsigned)(secret[k] ^ server->streams[i].secret[k]);
        if (differs == 0) found = &server->streams[i];
    }
    return found;
}

static el_stream *find_kept(el_server *server, const char *text, el_problem *problem)
{
    unsigned char secret[EL_STREAM_SECRET];
    el_stream *s = read_secret(text, secret) ? with_secret(server, secret) : NULL;
    if (s && !s->owner && el_clock_now() >= s->kept_until) {
        forget(server, s);
        s = NULL;
    }
    if (!s)
        el_problem_set(problem, EL_PROBLEM_ROUTE, "resume",
                       "no answer is kept under this secret (--resume-time)");
    return s;
}

void el_stream_rewind(el_answer *answer, uint32_t from)
{
    const uint32_t *tokens = answer->task->tokens + answer->task->request.count;
    const char *text;
    size_t len;
    answer->written = (el_reader){.stops = &answer->stops};
    answer->written.calls.form = answer->call_form;
    answer->written.calls.only_first = answer->only_first_calls;
    while (answer->written.at < from) {
        el_reader_push(&answer->written, answer->engine, tokens[answer->written.at], &text);
        while (el_reader_call(&answer->written, &text, &len) != EL_CALL_NONE)
            continue;
    }
}

el_stream *el_stream_resume(el_conn *conn, el_problem *problem)
{
    const el_ask *ask = &conn->server->ask;
    el_stream *s = find_kept(conn->server, ask->resume, problem);
    if (!s) return NULL;
    if (s->owner != conn && !has_place(conn, s->id, problem)) return NULL;
    if (conn->half == s) {
        el_problem_set(problem, EL_PROBLEM_QUEUE, "resume",
                       "its end is being sent here: wait for it");
        return NULL;
    }
    el_answer_look(&s->answer);
    if (ask->from > s->answer.ahead.at) {
        el_problem_set(problem, EL_PROBLEM_REQUEST, "from",
                       "'from' is %u, but there are %u tokens so far", ask->from,
                       s->answer.ahead.at);
        return NULL;
    }
    el_stream_rewind(&s->answer, ask->from);
    s->owner = conn;
    s->is_told = s->is_ending = false;
    return s;
}
