/*
 * dry.c: "don't repeat yourself" (p-e-w 2024, as in llama.cpp). If the tokens before an earlier
 * occurrence of token t are the tokens that stand at the end now, n of them, then t would make
 * the repetition longer, and pays multiplier * base^(n - allowed). All n come from one run of the
 * Z algorithm (Gusfield 1997) over the window from its end backwards: linear in the window.
 *
 * Breakers are looked for in the text of the tokens: a repetition does not reach back over the
 * token in which a breaker ends, and a token that holds a whole breaker pays nothing.
 */
#include <math.h> /* INFINITY */
#include <string.h>

#include "base/detmath.h"
#include "sample/steps.h"

#define LOG_FLOAT_MAX 88.7228391 /* powers are held below the largest float */

typedef struct window {
    const uint32_t *tokens; /* (n) */
    uint32_t n;
} window;

/* ---- breakers ------------------------------------------------------------------------------ */

static const uint8_t *text_of(const el_token_texts *t, uint32_t token, uint32_t *len)
{
    *len = token < t->count ? t->starts[token + 1] - t->starts[token] : 0;
    return *len > 0 ? t->bytes + t->starts[token] : NULL;
}

/* Does the text that goes up to byte `end` of token `at` end with the breaker? */
static bool ends_with(const el_token_texts *t, window w, uint32_t at, uint32_t end,
                      const char *breaker)
{
    uint32_t len;
    const uint8_t *text = text_of(t, w.tokens[at], &len);
    for (size_t left = strlen(breaker); left > 0; left--) {
        while (end == 0) {
            if (at == 0) return false;
            text = text_of(t, w.tokens[--at], &end);
        }
        if (text[--end] != (uint8_t)breaker[left - 1]) return false;
    }
    return true;
}

static bool breaker_ends_in(const el_sampler *s, window w, uint32_t at)
{
    uint32_t len;
    text_of(&s->texts, w.tokens[at], &len);
    for (uint32_t b = 0; b < s->options.n_dry_breakers; b++)
        for (uint32_t end = 1; end <= len; end++)
            if (ends_with(&s->texts, w, at, end, s->options.dry_breakers[b])) return true;
    return false;
}

static bool holds_breaker(const el_sampler *s, uint32_t token)
{
    return breaker_ends_in(s, (window){&token, 1}, 0);
}

/* Number of tokens after the last breaker. */
static uint32_t since_breaker(const el_sampler *s, window w)
{
    uint32_t n = 0;
    while (n < w.n && !breaker_ends_in(s, w, w.n - 1 - n))
        n++;
    return n;
}

/* ---- repetitions --------------------------------------------------------------------------- */

static uint32_t from_end(window w, uint32_t i)
{
    return w.tokens[w.n - 1 - i];
}

/* repeats[k], k = 1 .. n-1: how many tokens before the last k are those at the end, in order. */
static void find_repeats(window w, uint32_t *repeats)
{
    uint32_t start = 0, end = 0; /* the match that reaches farthest: start .. end-1 */
    for (uint32_t k = 1; k < w.n; k++) {
        uint32_t n = k < end ? repeats[k - start] : 0;
        if (k < end && n > end - k) n = end - k;
        while (k + n < w.n && from_end(w, n) == from_end(w, k + n))
            n++;
        repeats[k] = n;
        if (k + n > end) start = k, end = k + n;
    }
}

static double penalty(const edgellm_sampler_options *o, uint32_t repeat)
{
    const double log_base = el_log((double)o->dry_base);
    double exponent = repeat - o->dry_allowed_length;
    if (o->dry_base > 1.000001f) {
        double most = (double)(uint32_t)(LOG_FLOAT_MAX / log_base);
        if (exponent > most) exponent = most;
    }
    return (double)o->dry_multiplier * el_exp(exponent * log_base);
}

/* Each token that would go on with a repetition pays for the longest. longest[] is by token and
 * holds the length + 1; only entries of tokens in the window are used. */
static void apply(el_sampler *s, window w, uint32_t limit, uint32_t *longest)
{
    const uint32_t allowed = s->options.dry_allowed_length;
    for (uint32_t k = 1; k < w.n; k++)
        longest[from_end(w, k - 1)] = 0;
    for (uint32_t k = 1; k < w.n; k++) {
        uint32_t n = s->repeats[k] < limit ? s->repeats[k] : limit;
        uint32_t *most = &longest[from_end(w, k - 1)];
        if (n >= allowed && n + 1 > *most) *most = n + 1;
    }
    for (uint32_t k = 1; k < w.n; k++) {
        uint32_t token = from_end(w, k - 1), most = longest[token];
        longest[token] = 0;
        float *logit = &s->candidates.logit[token];
        if (most == 0 || *logit == -INFINITY || holds_breaker(s, token)) continue;
        *logit = el_finite_logit((double)*logit - penalty(&s->options, most - 1));
    }
}

void el_dry(el_sampler *s, const uint32_t *tokens, uint32_t n)
{
    const edgellm_sampler_options *o = &s->options;
    if (o->dry_multiplier == 0 || o->dry_penalty_last == 0) return;
    const uint32_t last = o->dry_penalty_last < 0 ? n : (uint32_t)o->dry_penalty_last;
    n = el_look_back(&tokens, n, last < s->context ? last : s->context);
    if (n <= o->dry_allowed_length) return;
    const window w = {tokens, n};
    const uint32_t limit = since_breaker(s, w);
    if (limit < o->dry_allowed_length) return;
    find_repeats(w, s->repeats);
    apply(s, w, limit, s->candidates.id);
}
