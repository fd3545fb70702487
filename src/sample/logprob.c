#include "sample/logprob.h"

#include "base/detmath.h"

float el_logprob(const float *logits, uint32_t vocab, uint32_t token)
{
    float best = logits[0];
    double sum = 0;
    for (uint32_t i = 1; i < vocab; i++)
        if (logits[i] > best) best = logits[i];
    for (uint32_t i = 0; i < vocab; i++)
        sum += (double)el_expf(logits[i] - best); /* each 1 at most, the best's is 1 */
    return (float)((double)(logits[token] - best) - el_log(sum));
}
