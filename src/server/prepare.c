#include "server/prepare.h"

#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "server/grammars.h"
#include "server/tool_layout.h"

/* ---- tokens -------------------------------------------------------------------------------- */

/* What is embedded is text all through. */
static edgellm_status encode_input(const edgellm_engine *engine, const json_t *text,
                                   uint32_t *tokens, size_t room, size_t *count, edgellm_error *err)
{
    return edgellm_tokenize(engine, json_string_value(text), json_string_length(text),
                            EDGELLM_TOKENIZE_BOS, tokens, room, count, err);
}

static edgellm_status encode(const edgellm_engine *engine, const el_ask *ask,
                             const edgellm_message *messages, size_t n, uint32_t *tokens,
                             size_t room, size_t *count, edgellm_error *err)
{
    if (n > 0)
        return edgellm_chat_prompt(engine, messages, n, EDGELLM_CHAT_OPEN_ANSWER, tokens, room,
                                   count, err);
    return edgellm_tokenize(engine, ask->prompt, ask->prompt_len,
                            EDGELLM_TOKENIZE_SPECIAL | EDGELLM_TOKENIZE_BOS, tokens, room, count,
                            err);
}

static const char *param_of(const el_ask *ask)
{
    if (el_ask_is_embed(ask)) return "input";
    return ask->prompt ? "prompt" : "messages";
}

/* What came of them: `count` tokens in the task, or what is wrong. */
static bool take_tokens(el_task *task, const el_ask *ask, size_t count, uint32_t context,
                        const edgellm_error *err, el_problem *problem)
{
    const char *param = param_of(ask);
    if (err->status != EDGELLM_OK)
        return el_problem_set(
            problem, err->status == EDGELLM_ERR_MEMORY ? EL_PROBLEM_INTERNAL : EL_PROBLEM_REQUEST,
            param, "%s", err->message);
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

bool el_prepare_input(el_task *task, const el_ask *ask, uint32_t input,
                      const edgellm_engine *engine, uint32_t context, el_problem *problem)
{
    edgellm_error err = {EDGELLM_OK, ""};
    size_t count = 0;
    (void)encode_input(engine, el_ask_input(ask, input), task->tokens, context, &count, &err);
    return take_tokens(task, ask, count, context, &err, problem);
}

static bool lay_out(el_task *task, const el_ask *ask, const edgellm_message *messages, size_t n,
                    const edgellm_engine *engine, uint32_t context, el_problem *problem)
{
    edgellm_error err = {EDGELLM_OK, ""};
    size_t count = 0;
    (void)encode(engine, ask, messages, n, task->tokens, context, &count, &err);
    return take_tokens(task, ask, count, context, &err, problem);
}

/* Messages that have to do with tools are laid out first. */
static bool lay_out_all(el_task *task, const el_ask *ask, const el_call_form *form,
                        const edgellm_engine *engine, uint32_t context, el_problem *problem)
{
    el_tool_layout layout;
    if (el_ask_is_embed(ask)) return el_prepare_input(task, ask, 0, engine, context, problem);
    if (!el_tool_layout_is_needed(ask))
        return lay_out(task, ask, ask->messages, ask->n_messages, engine, context, problem);
    const bool is_right =
        el_tool_layout_make(&layout, ask, form, problem) &&
        lay_out(task, ask, layout.messages, layout.n_messages, engine, context, problem);
    el_tool_layout_release(&layout);
    return is_right;
}

/* ---- the rest ------------------------------------------------------------------------------ */

static uint64_t seed_by_chance(void)
{
    uint32_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = (uint32_t)el_clock_now();
    return seed;
}

/* An answer that keeps to something ends within the context. */
static void set_shift(el_task *task, const el_ask *ask, uint32_t context)
{
    const uint32_t count = task->request.count, keep = ask->n_keep < count ? ask->n_keep : count;
    task->request.shift = ask->shift && !task->grammar && context > 1;
    task->request.shift_keep = keep < context / 2 ? keep : context / 2;
}

_Static_assert(sizeof((el_task *)0)->adapters == sizeof((el_ask *)0)->lora, "one of each");

static void set_task(el_task *task, const el_ask *ask, uint32_t vocab, const el_prepare_room *space)
{
    set_shift(task, ask, space->context);
    const uint32_t left = space->context - task->request.count + 1;
    const uint32_t room = task->request.shift ? space->answer : left;
    const bool embeds = el_ask_is_embed(ask);
    const uint32_t wanted = embeds ? 1 : ask->max_tokens;
    task->asked_ns = el_clock_now();
    task->sampler = ask->sampler;
    memcpy(task->biases, ask->biases, ask->sampler.n_logit_bias * sizeof *task->biases);
    task->sampler.logit_bias = task->biases;
    if (!ask->has_seed) task->sampler.seed = seed_by_chance();
    task->may_shorten = wanted == 0;
    task->request.max_tokens = wanted > 0 && wanted < room ? wanted : room;
    task->request.stop_at_end = !ask->ignore_eos;
    task->request.sampler = &task->sampler;
    memcpy(task->adapters, ask->lora, sizeof task->adapters);
    task->request.adapters = ask->has_lora ? task->adapters : NULL;
    task->request.grammar = task->grammar;
    task->request.embedding = embeds;
    task->request.priority = ask->priority;
    task->request.hash = ask->logits_hash;
    task->request.logprobs = ask->logprobs;
    task->request.top_logprobs = ask->top_logprobs < vocab ? ask->top_logprobs : vocab;
    if (ask->deadline_ms > 0)
        task->request.deadline_ns = task->asked_ns + ask->deadline_ms * (uint64_t)1000000;
}

static const el_call_form *form_of(const edgellm_engine *engine)
{
    edgellm_model_info info;
    edgellm_engine_info(engine, &info);
    return el_call_form_find(info.chat_form);
}

bool el_prepare_grammar(el_task *task, const el_ask *ask, const edgellm_engine *engine,
                        el_problem *problem)
{
    return el_grammars_make(engine, ask, form_of(engine), &task->grammar, problem);
}

static bool check_lora(const el_ask *ask, uint32_t n, el_problem *problem)
{
    if (ask->lora_ids <= n) return true;
    if (n == 0)
        return el_problem_set(problem, EL_PROBLEM_REQUEST, "lora",
                              "there are no adapters here (--lora)");
    return el_problem_set(problem, EL_PROBLEM_REQUEST, "lora",
                          "'lora' has an adapter %u; those here are 0 to %u", ask->lora_ids - 1,
                          n - 1);
}

bool el_prepare_task(el_task *task, const el_ask *ask, const edgellm_engine *engine,
                     const el_prepare_room *space, el_problem *problem)
{
    const el_call_form *form = form_of(engine);
    edgellm_model_info info;
    edgellm_engine_info(engine, &info);
    if (!check_lora(ask, info.adapters, problem)) return false;
    if (!lay_out_all(task, ask, form, engine, space->context, problem)) return false;
    if (!el_prepare_grammar(task, ask, engine, problem)) return false;
    set_task(task, ask, info.vocab, space);
    return true;
}

void el_prepare_calls(const el_ask *ask, const edgellm_engine *engine, const el_call_form **form,
                      bool *only_first)
{
    *form = el_ask_may_call(ask) ? form_of(engine) : NULL;
    *only_first = *form && (!(*form)->follows_text || ask->keeps != EL_KEEPS_NOTHING ||
                            ask->tool_choice != EL_TOOLS_AUTO);
}
