/* options.c: the defaults, the ranges of include/edgellm.h, and a sampler's own copy. */
#include <math.h> /* INFINITY */
#include <string.h>

#include "sample/sampler.h"

enum { BREAKER_ROOM = EDGELLM_DRY_BREAKER_BYTES + 1 };

static const char *const default_breakers[] = {"\n", ":", "\"", "*"};

edgellm_sampler_options edgellm_sampler_defaults(void)
{
    return (edgellm_sampler_options){
        .temperature = 0.8f,
        .top_k = 40,
        .top_p = 0.95f,
        .min_p = 0.05f,
        .typical_p = 1.0f,
        .repeat_penalty = 1.1f,
        .repeat_last = 64,
        .dry_base = 1.75f,
        .dry_allowed_length = 2,
        .dry_penalty_last = -1,
        .dry_breakers = default_breakers,
        .n_dry_breakers = sizeof default_breakers / sizeof default_breakers[0],
        .xtc_threshold = 0.1f,
        .mirostat_tau = 5.0f,
        .mirostat_eta = 0.1f,
    };
}

void el_sampler_layout(el_sampler *sampler, uint32_t vocab, uint32_t context, el_token_texts texts,
                       el_arena *arena)
{
    *sampler = (el_sampler){.vocab = vocab, .context = context, .texts = texts};
    el_candidates_layout(&sampler->candidates, vocab, arena);
    sampler->repeats = el_arena_take(arena, context, sizeof *sampler->repeats);
    sampler->biases = el_arena_take(arena, EDGELLM_LOGIT_BIAS_MAX, sizeof *sampler->biases);
    sampler->breakers = el_arena_take(arena, EDGELLM_DRY_BREAKERS_MAX, sizeof *sampler->breakers);
    sampler->breaker_text = el_arena_take(arena, EDGELLM_DRY_BREAKERS_MAX, BREAKER_ROOM);
    const edgellm_sampler_options defaults = edgellm_sampler_defaults();
    if (sampler->biases) el_sampler_set(sampler, &defaults, NULL);
}

/* ---- ranges -------------------------------------------------------------------------------- */

#define AT(name) offsetof(edgellm_sampler_options, name)

static const struct real_range {
    size_t offset;
    float min, max;
    bool above; /* min itself is out */
    const char *name;
} reals[] = {
    {AT(temperature), 0, 100, false, "temperature"},
    {AT(top_p), 0, 1, true, "top-p"},
    {AT(min_p), 0, 1, false, "min-p"},
    {AT(typical_p), 0, 1, true, "typical-p"},
    {AT(repeat_penalty), 0, 100, true, "repeat penalty"},
    {AT(presence_penalty), -100, 100, false, "presence penalty"},
    {AT(frequency_penalty), -100, 100, false, "frequency penalty"},
    {AT(dry_multiplier), 0, 100, false, "DRY multiplier"},
    {AT(dry_base), 1, 100, false, "DRY base"},
    {AT(xtc_probability), 0, 1, false, "XTC probability"},
    {AT(xtc_threshold), 0, 1, false, "XTC threshold"},
    {AT(mirostat_tau), 0, 100, false, "mirostat tau"},
    {AT(mirostat_eta), 0, 1, false, "mirostat eta"},
};

static const struct whole_range {
    size_t offset;
    uint32_t max;
    const char *name;
} wholes[] = {
    {AT(repeat_last), EL_LOOK_BACK_MAX, "repeat-last"},
    {AT(dry_allowed_length), EL_LOOK_BACK_MAX, "DRY allowed length"},
    {AT(n_dry_breakers), EDGELLM_DRY_BREAKERS_MAX, "number of DRY breakers"},
    {AT(mirostat), 2, "mirostat"},
    {AT(n_logit_bias), EDGELLM_LOGIT_BIAS_MAX, "number of logit biases"},
};

#undef AT

enum { REALS = sizeof reals / sizeof reals[0], WHOLES = sizeof wholes / sizeof wholes[0] };

/* The comparisons are written so that NaN fails them. */
static edgellm_status check_numbers(const edgellm_sampler_options *o, edgellm_error *err)
{
    for (const struct real_range *r = reals; r < reals + REALS; r++) {
        const float value = *(const float *)(const void *)((const char *)o + r->offset);
        if (value >= r->min && value <= r->max && !(r->above && value == r->min)) continue;
        return el_fail(err, EDGELLM_ERR_USAGE, "%s must be %s%g %s %g", r->name,
                       r->above ? "above " : "", (double)r->min, r->above ? "and at most" : "to",
                       (double)r->max);
    }
    for (const struct whole_range *r = wholes; r < wholes + WHOLES; r++)
        if (*(const uint32_t *)((const char *)o + r->offset) > r->max)
            return el_fail(err, EDGELLM_ERR_USAGE, "%s must be 0 to %u", r->name, r->max);
    if (o->dry_penalty_last < -1 || o->dry_penalty_last > (int32_t)EL_LOOK_BACK_MAX)
        return el_fail(err, EDGELLM_ERR_USAGE, "DRY penalty-last must be -1 to %u",
                       EL_LOOK_BACK_MAX);
    return EDGELLM_OK;
}

static edgellm_status check_breakers(const edgellm_sampler_options *o, edgellm_error *err)
{
    if (o->n_dry_breakers > 0 && !o->dry_breakers)
        return el_fail(err, EDGELLM_ERR_USAGE, "the DRY breakers are missing");
    for (uint32_t i = 0; i < o->n_dry_breakers; i++) {
        size_t len = o->dry_breakers[i] ? strnlen(o->dry_breakers[i], BREAKER_ROOM) : 0;
        if (len == 0 || len > EDGELLM_DRY_BREAKER_BYTES)
            return el_fail(err, EDGELLM_ERR_USAGE, "DRY breaker %u must have 1 to %d bytes", i + 1,
                           EDGELLM_DRY_BREAKER_BYTES);
    }
    return EDGELLM_OK;
}

/* Is the token of bias `index` banned by an earlier one too? */
static bool banned_before(const edgellm_logit_bias *biases, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++)
        if (biases[i].token == biases[index].token && biases[i].bias == -INFINITY) return true;
    return false;
}

static edgellm_status check_biases(const el_sampler *s, const edgellm_sampler_options *o,
                                   edgellm_error *err)
{
    uint32_t banned = 0;
    if (o->n_logit_bias > 0 && !o->logit_bias)
        return el_fail(err, EDGELLM_ERR_USAGE, "the logit biases are missing");
    for (uint32_t i = 0; i < o->n_logit_bias; i++) {
        const edgellm_logit_bias *b = &o->logit_bias[i];
        if (b->token >= s->vocab)
            return el_fail(err, EDGELLM_ERR_USAGE, "logit bias of token %u: ids are 0 to %u",
                           b->token, s->vocab - 1);
        if (!(b->bias < INFINITY))
            return el_fail(err, EDGELLM_ERR_USAGE,
                           "logit bias of token %u must be a finite number or -infinity", b->token);
        if (b->bias == -INFINITY) banned += !banned_before(o->logit_bias, i);
    }
    if (banned == s->vocab)
        return el_fail(err, EDGELLM_ERR_USAGE, "the logit biases ban every token");
    return EDGELLM_OK;
}

/* ---- setting ------------------------------------------------------------------------------- */

edgellm_status el_sampler_set(el_sampler *sampler, const edgellm_sampler_options *options,
                              edgellm_error *err)
{
    EL_TRY(check_numbers(options, err));
    EL_TRY(check_breakers(options, err));
    EL_TRY(check_biases(sampler, options, err));
    /* The options may be this sampler's own: each entry is copied onto itself then. */
    for (uint32_t i = 0; i < options->n_logit_bias; i++)
        sampler->biases[i] = options->logit_bias[i];
    for (uint32_t i = 0; i < options->n_dry_breakers; i++) {
        char *text = sampler->breaker_text + (size_t)i * BREAKER_ROOM;
        memmove(text, options->dry_breakers[i], strlen(options->dry_breakers[i]) + 1);
        sampler->breakers[i] = text;
    }
    sampler->options = *options;
    sampler->options.logit_bias = sampler->biases;
    sampler->options.dry_breakers = sampler->breakers;
    sampler->random = options->seed;
    sampler->mu = 2.0f * options->mirostat_tau;
    return EDGELLM_OK;
}
