#include "server/ask_bias.h"

#include <stdlib.h>
#include <string.h>

#define WRONG(...) el_problem_set(problem, EL_PROBLEM_REQUEST, __VA_ARGS__)

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

bool el_ask_read_bias(el_ask *ask, json_t *value, el_problem *problem)
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
