#include "server/choices.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/prepare.h"
#include "server/server_state.h"

uint64_t el_choices_bytes(uint32_t n)
{
    return n * sizeof(el_answer);
}

edgellm_status el_choices_open(el_server *server, edgellm_error *err)
{
    const uint32_t n = el_server_tasks(server->options);
    server->choices = calloc(n, sizeof *server->choices);
    if (server->choices) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for %u answers", n);
}

void el_choices_close(el_server *server)
{
    free(server->choices);
    server->choices = NULL;
}

/* All but what belongs to the task itself. */
static void copy(el_task *task, const el_task *first, uint32_t index)
{
    memcpy(task->tokens, first->tokens, first->request.count * sizeof *task->tokens);
    memcpy(task->biases, first->biases, sizeof task->biases);
    memcpy(task->adapters, first->adapters, sizeof task->adapters);
    task->request = first->request;
    task->request.adapters = first->request.adapters ? task->adapters : NULL;
    task->request.tokens = task->tokens;
    task->request.sampler = &task->sampler;
    task->sampler = first->sampler;
    task->sampler.logit_bias = task->biases;
    task->sampler.seed += index;
    task->may_shorten = first->may_shorten;
    task->asked_ns = first->asked_ns;
}

static bool prepare(el_server *server, el_task *task, const el_task *first, uint32_t index,
                    el_problem *problem)
{
    const el_ask *ask = &server->ask;
    const el_generation *now = server->now;
    copy(task, first, index);
    if (el_ask_is_embed(ask) &&
        !el_prepare_input(task, ask, index, now->engine, now->memory.context, problem))
        return false;
    if (!el_prepare_grammar(task, ask, now->engine, problem)) return false;
    task->request.grammar = task->grammar;
    return true;
}

static void undo(el_task *const *tasks, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        edgellm_grammar_destroy(tasks[i]->grammar);
        tasks[i]->grammar = NULL;
    }
}

bool el_choices_make(el_server *server, el_task *first, el_task **others, el_problem *problem)
{
    const el_task *last = first;
    for (uint32_t i = 0; i + 1 < server->ask.n; i++) {
        el_task *task = el_tasks_find_next(&server->now->tasks, last); /* there are as many */
        others[i] = task;
        if (!prepare(server, task, first, i + 1, problem)) {
            undo(others, i + 1);
            undo(&first, 1);
            return false;
        }
        last = task;
    }
    return true;
}

void el_choices_start(el_server *server, const el_endpoint *endpoint, el_task *const *others,
                      el_answer *first)
{
    el_answer *last = first;
    for (uint32_t i = 0; i + 1 < server->ask.n; i++) {
        el_answer *answer =
            &server->choices[el_server_place(server, &server->now->tasks, others[i])];
        el_request_start(server, endpoint, others[i], answer);
        memcpy(answer->id, first->id, sizeof answer->id);
        answer->created = first->created;
        el_answer_add(last, answer);
        last = answer;
    }
}
