/*
 * perplexity_numbers.h: what a distribution over tokens says about a token and about another
 * distribution. All sums in double, over the whole vocabulary, in ascending order.
 *
 * Reference logits are kept as 16-bit codes, linear between the lowest and the highest logit of
 * their position: off by at most (high - low) / 131070, some 2e-4 for logits that span 30, and as
 * often up as down. A distribution is some 1e-8 nats from its own codes; a mean divergence over
 * thousands of positions moves by about 1e-7.
 */
#ifndef EL_CLI_PERPLEXITY_NUMBERS_H
#define EL_CLI_PERPLEXITY_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

/* -log of the probability that the logits (vocab) give to `token`. */
double el_cli_nll(const float *logits, uint32_t vocab, uint32_t token);

/* What belongs to the codes of one position. */
typedef struct el_cli_coded {
    float low, high; /* the logits of codes 0 and 65535 */
    uint32_t best;   /* the most likely token, before rounding; the first of equals */
    uint32_t zero;
} el_cli_coded;

#define EL_CLI_CODE_MAX 65535

/* logits (vocab), finite, to codes (vocab). */
void el_cli_code(const float *logits, uint32_t vocab, el_cli_coded *head, uint16_t *codes);

/* The logit that a code stands for. */
double el_cli_decode(const el_cli_coded *head, uint16_t code);

typedef struct el_cli_comparison {
    double nll;        /* of the model, as el_cli_nll() */
    double divergence; /* Kullback-Leibler, KL(reference || model), in nats */
    bool agrees;       /* on the most likely token */
} el_cli_comparison;

/* A reference, coded, and a model's logits (vocab) before `token`. */
el_cli_comparison el_cli_compare(const el_cli_coded *head, const uint16_t *codes,
                                 const float *logits, uint32_t vocab, uint32_t token);

#endif
