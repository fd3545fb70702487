#include "sample/logprob.h"

#include "base/detmath.h"

el_softmax el_softmax_of(const float *logits, uint32_t vocab)
{
    float best = logits[0];
    double sum = 0;
    for (uint32_t i = 1; i < vocab; i++)
        if (logits[i] > best) best = logits[i];
    for (uint32_t i = 0; i < vocab; i++)
        sum += (double)el_expf(logits[i] - best); /* each 1 at most, the best's is 1 */
    return (el_softmax){best, el_log(sum)};
}

float el_logprob(el_softmax softmax, float logit)
{
    return (float)((double)(logit - softmax.best) - softmax.log_sum);
}

/* Among the n in order, of which the last is lost if there are k already. */
static void insert(edgellm_logprob *top, uint32_t last, uint32_t token, float logit)
{
    uint32_t at = last;
    for (; at > 0 && logit > top[at - 1].logprob; at--)
        top[at] = top[at - 1];
    top[at] = (edgellm_logprob){token, logit};
}

/* They are logits until all are found. */
uint32_t el_logprob_top(el_softmax softmax, const float *logits, uint32_t vocab, uint32_t k,
                        edgellm_logprob *top)
{
    uint32_t n = 0;
    if (k == 0) return 0;
    for (uint32_t i = 0; i < vocab; i++) {
        if (n == k && !(logits[i] > top[k - 1].logprob)) continue;
        n += n < k;
        insert(top, n - 1, i, logits[i]);
    }
    for (uint32_t i = 0; i < n; i++)
        top[i].logprob = el_logprob(softmax, top[i].logprob);
    return n;
}
