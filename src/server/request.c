#include "server/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "server/choices.h"
#include "server/json_room.h"
#include "server/prepare.h"
#include "server/server_state.h"
#include "server/stream.h"

/* ---- the task ------------------------------------------------------------------------------ */

/* What only the model and the server's options say of a request. */
static bool check(const el_server *server, const el_ask *ask, el_problem *problem)
{
    const uint32_t vocab = server->now->info.vocab,
                   places = server->options->sessions + server->options->queue;
    if (ask->n > places)
        return el_problem_set(problem, EL_PROBLEM_REQUEST, el_ask_is_embed(ask) ? "input" : "n",
                              "this is %u requests, and there are %u places for them here "
                              "(--sessions, --queue)",
                              ask->n, places);
    if (ask->dimensions > 0 && ask->dimensions != server->now->info.dim)
        return el_problem_set(problem, EL_PROBLEM_REQUEST, "dimensions",
                              "embeddings of this model have %u dimensions, not %u",
                              server->now->info.dim, ask->dimensions);
    if (ask->top_logprobs > server->options->top_logprobs)
        return el_problem_set(problem, EL_PROBLEM_REQUEST,
                              ask->form == EL_ASK_COMPLETION ? "logprobs" : "top_logprobs",
                              "%u probable tokens beside each are wanted, and there is room for %u "
                              "here (--top-logprobs)",
                              ask->top_logprobs, server->options->top_logprobs);
    for (uint32_t i = 0; i < ask->sampler.n_logit_bias; i++)
        if (ask->biases[i].token >= vocab)
            return el_problem_set(problem, EL_PROBLEM_REQUEST, "logit_bias",
                                  "'logit_bias' has a token %u; this model's are 0 to %u",
                                  ask->biases[i].token, vocab - 1);
    return true;
}

/* The first of those that are free, if there are as many as the request needs. */
static bool find_task(el_server *server, el_task **task, el_problem *problem)
{
    el_tasks *tasks = &server->now->tasks;
    el_tasks_sweep(tasks);
    while (el_tasks_n_free(tasks) < server->ask.n && el_streams_make_room(server, tasks)) {
    }
    *task = el_tasks_n_free(tasks) >= server->ask.n ? el_tasks_find(tasks) : NULL;
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
    answer->engine = server->now->engine;
    answer->tasks = &server->now->tasks;
    answer->task = task;
    answer->model = server->model;
    answer->fingerprint = server->now->fingerprint;
    answer->created = time(NULL);
    answer->stops = ask->stops;
    el_prepare_calls(ask, answer->engine, &answer->call_form, &answer->only_first_calls);
    answer->include_usage = ask->include_usage;
    answer->tells_cached = true;
    answer->ignore_eos = ask->ignore_eos;
    answer->deadline_ms = ask->deadline_ms;
    answer->tells = answer->wire->details && (ask->logprobs || el_ask_is_embed(ask));
    answer->logprobs = (el_logprobs){.before = el_logprobs_chars(ask->prompt, ask->prompt_len)};
    answer->is_base64 = ask->base64;
    answer->n_numbers = 0;
    snprintf(answer->id, sizeof answer->id, "%s-%08" PRIx64 "%08" PRIx64, endpoint->id,
             (uint64_t)server->started, ++server->n_answers);
    el_answer_open(answer);
}

el_task *el_request_task(el_server *server, el_problem *problem)
{
    const el_ask *ask = &server->ask;
    el_task *task;
    if (!check(server, ask, problem) || !find_task(server, &task, problem)) return NULL;
    const el_generation *now = server->now;
    const el_prepare_room space = {now->memory.context, now->tasks.answer};
    return el_prepare_task(task, ask, now->engine, &space, problem) ? task : NULL;
}

void el_request_start(el_server *server, const el_endpoint *endpoint, el_task *task,
                      el_answer *answer)
{
    set_answer(server, endpoint, task, answer);
    el_tasks_hand_over(&server->now->tasks, task);
}

static bool take(el_conn *conn, const el_endpoint *endpoint, el_problem *problem)
{
    el_task *task = el_request_task(conn->server, problem), *others[EL_ASK_INPUTS];
    if (!task || !el_choices_make(conn->server, task, others, problem)) return false;
    el_request_start(conn->server, endpoint, task, &conn->answer);
    el_choices_start(conn->server, endpoint, others, &conn->answer);
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
