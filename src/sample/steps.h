/*
 * steps.h: the steps of the chain, called by sampler.c in its order. First those that change
 * logits, which still lie by token id in candidates.logit; then, after the gathering, those that
 * drop candidates. A step whose option is off does nothing.
 */
#ifndef EL_SAMPLE_STEPS_H
#define EL_SAMPLE_STEPS_H

#include "sample/sampler.h"

/* A changed logit; finite, whatever the options make of it. */
float el_finite_logit(double logit);

/* The last `last` of n tokens, or fewer; returns how many. */
uint32_t el_look_back(const uint32_t **tokens, uint32_t n, uint32_t last);

void el_bias_logits(el_sampler *s);
void el_penalize(el_sampler *s, const uint32_t *tokens, uint32_t n);
void el_dry(el_sampler *s, const uint32_t *tokens, uint32_t n);

void el_cut_typical(el_candidates *c, float typical_p);
void el_cut_top_p(el_candidates *c, float top_p);
void el_cut_min_p(el_candidates *c, float min_p);
void el_cut_xtc(el_candidates *c, float probability, float threshold, uint64_t *random);

/* Mirostat 1: how many of the best to draw from, by the largest logits among the candidates
 * (n > 0), which are left in disorder. */
uint32_t el_mirostat_count(el_sampler *s);
/* Mirostat 2: drops the candidates of more than mu bits, but not the best. */
void el_mirostat_cut(el_sampler *s);
/* Both: moves mu after a draw; p: probability of the token drawn, as its natural logarithm. */
void el_mirostat_learn(el_sampler *s, double log_p);

#endif
