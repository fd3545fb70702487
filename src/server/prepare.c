#include "server/prepare.h"

#include <sys/random.h>

#include "base/clock.h"
#include "server/grammars.h"

/* ---- tokens -------------------------------------------------------------------------------- */

static edgellm_status encode(const edgellm_engine *engine, const el_ask *ask, uint32_t *tokens,
                             size_t room, size_t *count, edgellm_error *err)
{
    if (ask->n_messages > 0)
        return edgellm_chat_prompt(engine, ask->messages, ask->n_messages, EDGELLM_CHAT_OPEN_ANSWER,
                                   tokens, room, count, err);
    return edgellm_tokenize(engine, ask->prompt, ask->prompt_len,
                            EDGELLM_TOKENIZE_SPECIAL | EDGELLM_TOKENIZE_BOS, tokens, room, count,
                            err);
}

static bool lay_out(el_task *task, const el_ask *ask, const edgellm_engine *engine,
                    uint32_t context, el_problem *problem)
{
    const char *param = ask->prompt ? "prompt" : "messages";
    edgellm_error err;
    size_t count;
    const edgellm_status status = encode(engine, ask, task->tokens, context, &count, &err);
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

/* ---- the rest ------------------------------------------------------------------------------ */

static uint64_t seed_by_chance(void)
{
    uint32_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = (uint32_t)el_clock_now();
    return seed;
}

static void set_task(el_task *task, const el_ask *ask, uint32_t context)
{
    const uint32_t room = context - task->request.count + 1;
    const uint32_t wanted = ask->max_tokens;
    task->asked_ns = el_clock_now();
    task->sampler = ask->sampler;
    if (!ask->has_seed) task->sampler.seed = seed_by_chance();
    task->may_shorten = wanted == 0;
    task->request.max_tokens = wanted > 0 && wanted < room ? wanted : room;
    task->request.stop_at_end = !ask->ignore_eos;
    task->request.sampler = &task->sampler;
    task->request.grammar = task->grammar;
    task->request.logprobs = ask->logprobs;
    if (ask->deadline_ms > 0)
        task->request.deadline_ns = task->asked_ns + ask->deadline_ms * (uint64_t)1000000;
}

bool el_prepare_task(el_task *task, const el_ask *ask, const edgellm_engine *engine,
                     uint32_t context, el_problem *problem)
{
    if (!lay_out(task, ask, engine, context, problem)) return false;
    if (!el_grammars_make(engine, ask, &task->grammar, problem)) return false;
    set_task(task, ask, context);
    return true;
}
