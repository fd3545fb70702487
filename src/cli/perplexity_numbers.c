#include "cli/perplexity_numbers.h"

#include <math.h>

/* A softmax: p(i) = exp(logits[i] - largest - log_sum). */
typedef struct softmax {
    uint32_t best;
    double largest, log_sum;
} softmax;

static uint32_t best_of(const float *logits, uint32_t vocab)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < vocab; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

static softmax softmax_of(const float *logits, uint32_t vocab)
{
    softmax s = {.best = best_of(logits, vocab)};
    double sum = 0;
    s.largest = logits[s.best];
    for (uint32_t i = 0; i < vocab; i++)
        sum += exp(logits[i] - s.largest);
    // cppcheck-suppress invalidFunctionArg ; the sum holds exp(0)
    s.log_sum = log(sum);
    return s;
}

static double nll_of(const softmax *s, float logit)
{
    return s->log_sum - (logit - s->largest);
}

double el_cli_nll(const float *logits, uint32_t vocab, uint32_t token)
{
    softmax s = softmax_of(logits, vocab);
    return nll_of(&s, logits[token]);
}

/* ---- codes -------------------------------------------------------------------------------- */

static double step_of(const el_cli_coded *head)
{
    return ((double)head->high - head->low) / EL_CLI_CODE_MAX;
}

void el_cli_code(const float *logits, uint32_t vocab, el_cli_coded *head, uint16_t *codes)
{
    uint32_t best = best_of(logits, vocab);
    *head = (el_cli_coded){.low = logits[0], .high = logits[best], .best = best};
    for (uint32_t i = 1; i < vocab; i++) {
        if (logits[i] < head->low) head->low = logits[i];
    }
    double span = (double)head->high - head->low, scale = span > 0 ? EL_CLI_CODE_MAX / span : 0;
    for (uint32_t i = 0; i < vocab; i++)
        codes[i] = (uint16_t)(((double)logits[i] - head->low) * scale + 0.5);
}

double el_cli_decode(const el_cli_coded *head, uint16_t code)
{
    return head->low + code * step_of(head);
}

/* ---- divergence --------------------------------------------------------------------------- */

enum { LOW_BITS = 8, LOW_CODES = 1 << LOW_BITS, HIGH_CODES = (EL_CLI_CODE_MAX + 1) >> LOW_BITS };

/* exp(-d * step) for every d up to EL_CLI_CODE_MAX as a product of two, a few ulp off: a position
 * takes 512 exponentials, not one a token. */
typedef struct powers {
    double high[HIGH_CODES], low[LOW_CODES];
} powers;

static void fill_powers(powers *p, double step)
{
    for (int i = 0; i < LOW_CODES; i++)
        p->low[i] = exp(-step * i);
    for (int i = 0; i < HIGH_CODES; i++)
        p->high[i] = exp(-step * LOW_CODES * i);
}

/*
 * With a and b the logits less the largest of each, A and B the sums of their exponentials:
 *   KL = sum of p * (log p - log q) = (sum of exp(a) * (a - b)) / A - log A + log B
 */
static double divergence(const el_cli_coded *head, const uint16_t *codes, const float *logits,
                         uint32_t vocab, const softmax *model)
{
    powers p;
    double step = step_of(head), sum = 0, weighted = 0;
    fill_powers(&p, step);
    for (uint32_t i = 0; i < vocab; i++) {
        unsigned below = EL_CLI_CODE_MAX - codes[i];
        double weight = p.high[below >> LOW_BITS] * p.low[below % LOW_CODES];
        sum += weight;
        weighted += weight * (model->largest - logits[i] - below * step);
    }
    // cppcheck-suppress invalidFunctionArg ; the best token has weight 1
    return weighted / sum - log(sum) + model->log_sum;
}

el_cli_comparison el_cli_compare(const el_cli_coded *head, const uint16_t *codes,
                                 const float *logits, uint32_t vocab, uint32_t token)
{
    softmax model = softmax_of(logits, vocab);
    return (el_cli_comparison){
        .nll = nll_of(&model, logits[token]),
        .divergence = divergence(head, codes, logits, vocab, &model),
        .agrees = model.best == head->best,
    };
}
