#include "server/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"
#include "server/choices.h"
#include "server/grammars.h"
#include "server/json_room.h"
#include "server/server_state.h"
#include "server/stream.h"

/* ---- tokens -------------------------------------------------------------------------------- */

/* What is embedded is text all through. */
static edgellm_status encode_input(const el_server *server, const json_t *input, el_task *task,
                                   size_t *count, edgellm_error *err)
{
    return edgellm_tokenize(server->compute.engine, json_string_value(input),
                            json_string_length(input), EDGELLM_TOKENIZE_BOS, task->tokens,
                            server->compute.memory.context, count, err);
}

static edgellm_status encode(const el_server *server, uint32_t input, el_task *task, size_t *count,
                             edgellm_error *err)
{
    const edgellm_engine *engine = server->compute.engine;
    const size_t room = server->compute.memory.context;
    const el_ask *ask = &server->ask;
    if (el_ask_is_embed(ask))
        return encode_input(server, el_ask_input(ask, input), task, count, err);
    if (ask->n_messages > 0)
        return edgellm_chat_prompt(engine, ask->messages, ask->n_messages, EDGELLM_CHAT_OPEN_ANSWER,
                                   task->tokens, room, count, err);
    return edgellm_tokenize(engine, ask->prompt, ask->prompt_len,
                            EDGELLM_TOKENIZE_SPECIAL | EDGELLM_TOKENIZE_BOS, task->tokens, room,
                            count, err);
}

static const char *param_of(const el_ask *ask)
{
    if (el_ask_is_embed(ask)) return "input";
    return ask->prompt ? "prompt" : "messages";
}

bool el_request_lay_out(const el_server *server, uint32_t input, el_task *task, el_problem *problem)
{
    const char *param = param_of(&server->ask);
    const uint32_t context = server->compute.memory.context;
    edgellm_error err;
    size_t count;
    const edgellm_status status = encode(server, input, task, &count, &err);
    if (status != EDGELLM_OK)
        return el_problem_set(
            problem, status == EDGELLM_ERR_MEMORY ? EL_PROBLEM_INTERNAL : EL_PROBLEM_REQUEST, param,
            "%s", err.message);
    if (count == 0)
        return el_problem_set(problem, EL_PROBLEM_REQUEST, param, "the prompt has no tokens");
    if (count > context)
        return el_problem_set(problem, EL_PROBLEM_CONTEXT, param,
                              "the prompt has %zu tokens, the context of a session %u", count,
                              context);
    task->request.tokens = task->tokens;
    task->request.count = (uint32_t)count;
    return true;
}

/* ---- the task ------------------------------------------------------------------------------ */

/* What only the model and the server's options say of a request. */
static bool check(const el_server *server, const el_ask *ask, el_problem *problem)
{
    const uint32_t vocab = server->compute.info.vocab,
                   places = server->options->sessions + server->options->queue;
    if (ask->n > places)
        return el_problem_set(problem, EL_PROBLEM_REQUEST, el_ask_is_embed(ask) ? "input" : "n",
                              "this is %u requests, and there are %u places for them here "
                              "(--sessions, --queue)",
                              ask->n, places);
    if (ask->dimensions > 0 && ask->dimensions != server->compute.info.dim)
        return el_problem_set(problem, EL_PROBLEM_REQUEST, "dimensions",
                              "embeddings of this model have %u dimensions, not %u",
                              server->compute.info.dim, ask->dimensions);
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

static uint64_t seed_by_chance(void)
{
    uint32_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = (uint32_t)el_clock_now();
    return seed;
}

static void set_task(const el_server *server, const el_ask *ask, el_task *task)
{
    const uint32_t room = server->compute.memory.context - task->request.count + 1;
    const bool embeds = el_ask_is_embed(ask);
    const uint32_t wanted = embeds ? 1 : ask->max_tokens, vocab = server->compute.info.vocab;
    task->asked_ns = el_clock_now();
    task->sampler = ask->sampler;
    memcpy(task->biases, ask->biases, ask->sampler.n_logit_bias * sizeof *task->biases);
    task->sampler.logit_bias = task->biases;
    if (!ask->has_seed) task->sampler.seed = seed_by_chance();
    task->may_shorten = wanted == 0;
    task->request.max_tokens = wanted > 0 && wanted < room ? wanted : room;
    task->request.stop_at_end = !ask->ignore_eos;
    task->request.sampler = &task->sampler;
    task->request.grammar = task->grammar;
    task->request.embedding = embeds;
    task->request.hash = ask->logits_hash;
    task->request.logprobs = ask->logprobs;
    task->request.top_logprobs = ask->top_logprobs < vocab ? ask->top_logprobs : vocab;
    if (ask->deadline_ms > 0)
        task->request.deadline_ns = task->asked_ns + ask->deadline_ms * (uint64_t)1000000;
}

/* The first of those that are free, if there are as many as the request needs. */
static bool find_task(el_server *server, el_task **task, el_problem *problem)
{
    el_tasks *tasks = &server->compute.tasks;
    el_tasks_sweep(tasks);
    while (el_tasks_n_free(tasks) < server->ask.n && el_streams_make_room(server)) {
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
    if (!el_request_lay_out(server, 0, task, problem)) return NULL; /* the task is still free */
    if (!el_grammars_make(server->compute.engine, ask, &task->grammar, problem)) return NULL;
    set_task(server, ask, task);
    return task;
}

void el_request_start(el_server *server, const el_endpoint *endpoint, el_task *task,
                      el_answer *answer)
{
    set_answer(server, endpoint, task, answer);
    el_tasks_hand_over(&server->compute.tasks, task);
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
