#include "sample/sampler.h"

#include <string.h>

#include "base/detmath.h"

edgellm_sampler_options edgellm_sampler_defaults(void)
{
    return (edgellm_sampler_options){.temperature = 0.8f,
                                     .top_k = 40,
                                     .top_p = 0.95f,
                                     .min_p = 0.05f,
                                     .repeat_penalty = 1.1f,
                                     .repeat_last = 64,
                                     .seed = 0};
}

void el_sampler_layout(el_sampler *sampler, uint32_t vocab, el_arena *arena)
{
    float *work = el_arena_take(arena, vocab, sizeof(float));
    el_candidate *candidates = el_arena_take(arena, vocab, sizeof(el_candidate));
    *sampler = (el_sampler){.options = edgellm_sampler_defaults(),
                            .vocab = vocab,
                            .work = work,
                            .candidates = candidates};
}

/* The comparisons are written so that NaN fails them. */
static edgellm_status check_options(const edgellm_sampler_options *o, edgellm_error *err)
{
    if (!(o->temperature >= 0.0f && o->temperature <= 100.0f))
        return el_fail(err, EDGELLM_ERR_USAGE, "temperature must be 0 to 100");
    if (!(o->top_p > 0.0f && o->top_p <= 1.0f))
        return el_fail(err, EDGELLM_ERR_USAGE, "top-p must be above 0 and at most 1");
    if (!(o->min_p >= 0.0f && o->min_p <= 1.0f))
        return el_fail(err, EDGELLM_ERR_USAGE, "min-p must be 0 to 1");
    if (!(o->repeat_penalty > 0.0f && o->repeat_penalty <= 100.0f))
        return el_fail(err, EDGELLM_ERR_USAGE, "repeat penalty must be above 0 and at most 100");
    if (o->repeat_last > EL_REPEAT_LAST_MAX)
        return el_fail(err, EDGELLM_ERR_USAGE, "repeat-last must be 0 to %d", EL_REPEAT_LAST_MAX);
    return EDGELLM_OK;
}

edgellm_status el_sampler_set(el_sampler *sampler, const edgellm_sampler_options *options,
                              edgellm_error *err)
{
    EL_TRY(check_options(options, err));
    sampler->options = *options;
    sampler->random = options->seed;
    return EDGELLM_OK;
}

/* SplitMix64 (Steele, Lea, Flood 2014): 64-bit integer arithmetic only. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in [0, 1), exact multiples of 2^-24. */
static float next_uniform(uint64_t *state)
{
    return (float)(next_random(state) >> 40) * 0x1p-24f;
}

static bool appears_before(const uint32_t *tokens, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++)
        if (tokens[i] == tokens[index]) return true;
    return false;
}

/* Positive logits are divided, negative ones multiplied; each token once (Keskar et al. 2019). */
static void penalize_repeats(const el_sampler *s, const uint32_t *tokens, uint32_t n_tokens)
{
    const float penalty = s->options.repeat_penalty;
    uint32_t n = n_tokens < s->options.repeat_last ? n_tokens : s->options.repeat_last;
    const uint32_t *window = tokens + (n_tokens - n);
    for (uint32_t i = 0; i < n; i++) {
        if (appears_before(window, i)) continue;
        float *logit = &s->work[window[i]];
        *logit = *logit > 0.0f ? *logit / penalty : *logit * penalty;
    }
}

/* The total order: is a a better candidate than b? */
static bool better(el_candidate a, el_candidate b)
{
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

/* Restores a heap whose root is its worst candidate, from node `i` down. */
static void sift_down(el_candidate *heap, uint32_t n, uint32_t i)
{
    el_candidate moved = heap[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= n) break;
        if (child + 1 < n && better(heap[child], heap[child + 1])) child++;
        if (!better(moved, heap[child])) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moved;
}

/* Leaves the k best of the vocabulary in candidates, the best first. */
static void select_top(const el_sampler *s, uint32_t k)
{
    el_candidate *heap = s->candidates;
    for (uint32_t id = 0; id < k; id++)
        heap[id] = (el_candidate){s->work[id], id};
    for (uint32_t i = k / 2; i-- > 0;)
        sift_down(heap, k, i);
    for (uint32_t id = k; id < s->vocab; id++) {
        if (!(s->work[id] > heap[0].logit)) continue; /* an equal logit has the larger id: worse */
        heap[0] = (el_candidate){s->work[id], id};
        sift_down(heap, k, 0);
    }
    for (uint32_t n = k; n-- > 1;) {
        el_candidate worst = heap[0];
        heap[0] = heap[n];
        heap[n] = worst;
        sift_down(heap, n, 0);
    }
}

/* How many of the n best candidates hold a probability of top_p together; at least 1. */
static uint32_t cut_top_p(const el_sampler *s, uint32_t n)
{
    const float largest = s->candidates[0].logit;
    float sum = 0.0f, head = 0.0f;
    if (s->options.top_p >= 1.0f) return n;
    for (uint32_t i = 0; i < n; i++)
        sum += el_expf(s->candidates[i].logit - largest);
    for (uint32_t i = 0; i < n; i++) {
        head += el_expf(s->candidates[i].logit - largest);
        if (head >= s->options.top_p * sum) return i + 1;
    }
    return n;
}

/* How many of the n best candidates are at least min_p times as probable as the first. */
static uint32_t cut_min_p(const el_sampler *s, uint32_t n)
{
    const float largest = s->candidates[0].logit;
    uint32_t kept = 1;
    while (kept < n && el_expf(s->candidates[kept].logit - largest) >= s->options.min_p)
        kept++;
    return kept;
}

/* Draws one of the n best candidates at the temperature. */
static uint32_t draw(el_sampler *s, uint32_t n)
{
    const float largest = s->candidates[0].logit, temperature = s->options.temperature;
    float sum = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        s->work[i] = el_expf((s->candidates[i].logit - largest) / temperature);
        sum += s->work[i];
    }
    float target = next_uniform(&s->random) * sum, head = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        head += s->work[i];
        if (head > target) return s->candidates[i].id;
    }
    return s->candidates[n - 1].id;
}

uint32_t el_sampler_sample(el_sampler *sampler, const float *logits, const uint32_t *tokens,
                           uint32_t n_tokens)
{
    const edgellm_sampler_options *o = &sampler->options;
    memcpy(sampler->work, logits, sampler->vocab * sizeof(float));
    if (o->repeat_penalty != 1.0f) penalize_repeats(sampler, tokens, n_tokens);
    uint32_t n = o->top_k > 0 && o->top_k < sampler->vocab ? o->top_k : sampler->vocab;
    if (o->temperature == 0.0f) n = 1;
    select_top(sampler, n);
    if (n == 1) return sampler->candidates[0].id;
    n = cut_top_p(sampler, n);
    n = cut_min_p(sampler, n);
    return draw(sampler, n);
}
