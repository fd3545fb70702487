#include "server/ask_lists.h"

#include <stdlib.h>
#include <string.h>

#define WRONG(...) el_problem_set(problem, EL_PROBLEM_REQUEST, __VA_ARGS__)

/* ---- biases -------------------------------------------------------------------------------- */

/* A token's number, as the name of a member. */
static bool token_of(const char *name, uint32_t *token)
{
    char *end;
    if (name[0] < '0' || name[0] > '9' || strlen(name) > 10) return false;
    const unsigned long long number = strtoull(name, &end, 10);
    *token = (uint32_t)number;
    return *end == '\0' && number <= UINT32_MAX;
}

static bool add_bias(el_ask *ask, const char *name, const json_t *value, el_problem *problem)
{
    edgellm_logit_bias *bias = &ask->biases[ask->sampler.n_logit_bias++];
    const double number = json_number_value(value);
    bias->bias = (float)number;
    if (token_of(name, &bias->token) && json_is_number(value) && number >= -100 && number <= 100)
        return true;
    return WRONG("logit_bias",
                 "'logit_bias' has for '%.40s' what is no number from -100 to 100, or "
                 "that is no token: {\"TOKEN\": NUMBER, ...}",
                 name);
}

bool el_ask_read_logit_bias(el_ask *ask, json_t *value, el_problem *problem)
{
    const char *name;
    json_t *one;
    if (!json_is_object(value) || json_object_size(value) > EL_ASK_BIASES)
        return WRONG("logit_bias", "'logit_bias' must be an object with at most %d tokens",
                     EL_ASK_BIASES);
    ask->sampler.logit_bias = ask->biases;
    json_object_foreach(value, name, one)
    {
        if (!add_bias(ask, name, one, problem)) return false;
    }
    return true;
}

/* ---- adapters ------------------------------------------------------------------------------ */

static bool is_id(const json_t *id)
{
    return json_is_integer(id) && json_integer_value(id) >= 0 &&
           json_integer_value(id) < EL_ASK_ADAPTERS;
}

/* *given: a bit for each that was named. */
static bool add_adapter(el_ask *ask, const json_t *one, uint32_t *given, el_problem *problem)
{
    const json_t *id = json_object_get(one, "id"), *scale = json_object_get(one, "scale");
    const double number = json_number_value(scale);
    if (!is_id(id) || !json_is_number(scale) || !(number >= -100 && number <= 100))
        return WRONG("lora",
                     "each of 'lora' must have an id from 0 to %d and a scale from -100 to "
                     "100: [{\"id\": 0, \"scale\": 0.5}, ...]",
                     EL_ASK_ADAPTERS - 1);
    const uint32_t at = (uint32_t)json_integer_value(id);
    if (*given >> at & 1) return WRONG("lora", "'lora' names adapter %u twice", at);
    *given |= 1u << at;
    ask->lora[at] = (float)number;
    if (at >= ask->lora_ids) ask->lora_ids = at + 1;
    return true;
}

bool el_ask_read_lora(el_ask *ask, json_t *value, el_problem *problem)
{
    uint32_t given = 0;
    if (!json_is_array(value)) return WRONG("lora", "'lora' must be a list of adapters");
    ask->has_lora = true;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!add_adapter(ask, json_array_get(value, i), &given, problem)) return false;
    return true;
}
