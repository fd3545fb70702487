#include "server/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "server/json_room.h"
#include "server/prepare.h"
#include "server/server_state.h"
#include "server/stream.h"

/* ---- the task ------------------------------------------------------------------------------ */

static bool find_task(el_server *server, el_task **task, el_problem *problem)
{
    el_tasks *tasks = &server->compute.tasks;
    el_tasks_sweep(tasks);
    *task = el_tasks_find(tasks);
    if (!*task && el_streams_make_room(server)) *task = el_tasks_find(tasks);
    if (*task) return true;
    el_problem_set(problem, EL_PROBLEM_QUEUE, NULL,
                   "all %u sessions are taken and %u requests wait: try again later",
                   server->options->sessions, server->options->queue);
    problem->retry_after = el_tasks_retry_after(tasks, el_clock_now());
    return false;
}

/* ---- the answer ---------------------------------------------------------------------------- */

static void set_answer(el_server *server, const el_endpoint *endpoint, el_task *task,
                       el_answer *answer)
{
    const el_ask *ask = &server->ask;
    answer->wire = ask->stream ? endpoint->streamed : endpoint->whole;
    answer->engine = server->compute.engine;
    answer->tasks = &server->compute.tasks;
    answer->task = task;
    answer->model = server->model;
    answer->fingerprint = server->fingerprint;
    answer->created = time(NULL);
    answer->stops = ask->stops;
    answer->include_usage = ask->include_usage;
    answer->ignore_eos = ask->ignore_eos;
    answer->deadline_ms = ask->deadline_ms;
    snprintf(answer->id, sizeof answer->id, "%s-%08" PRIx64 "%08" PRIx64, endpoint->id,
             (uint64_t)server->started, ++server->n_answers);
    el_answer_open(answer);
}

el_task *el_request_task(el_server *server, el_problem *problem)
{
    const el_ask *ask = &server->ask;
    const el_compute *c = &server->compute;
    el_task *task;
    if (!find_task(server, &task, problem)) return NULL;
    return el_prepare_task(task, ask, c->engine, c->memory.context, problem) ? task : NULL;
}

void el_request_start(el_server *server, const el_endpoint *endpoint, el_task *task,
                      el_answer *answer)
{
    set_answer(server, endpoint, task, answer);
    el_tasks_hand_over(&server->compute.tasks, task);
}

static bool take(el_conn *conn, const el_endpoint *endpoint, el_problem *problem)
{
    el_task *task = el_request_task(conn->server, problem);
    if (!task) return false;
    el_request_start(conn->server, endpoint, task, &conn->answer);
    el_conn_reply_answer(conn);
    return true;
}

/* ---- the request --------------------------------------------------------------------------- */

static bool serve(el_conn *conn, const el_endpoint *endpoint, el_problem *problem)
{
    el_ask *ask = &conn->server->ask;
    if (!el_ask_read(ask, endpoint->form, conn->body, conn->body_len, problem)) return false;
    if (endpoint->check && !endpoint->check(conn->server, ask, problem)) return false;
    if (!endpoint->reply || (endpoint->whole && !el_ask_is_empty(ask)))
        return take(conn, endpoint, problem);
    endpoint->reply(conn);
    return true;
}

void el_request_serve(el_conn *conn, const el_endpoint *endpoint)
{
    el_problem problem;
    const bool is_served = serve(conn, endpoint, &problem);
    el_ask_release(&conn->server->ask);
    el_json_room_empty();
    if (!is_served) el_conn_reply_problem(conn, &problem);
}
