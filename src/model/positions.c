#include "model/positions.h"

#include "base/detmath.h"

#define TWO_PI 6.283185307179586

bool el_positions_long(const el_model *m, uint32_t context)
{
    return m->rope_long && context > m->config.rope_context;
}

double el_positions_gain(const el_model *m, bool local)
{
    return local || m->config.rope_gain == 0 ? 1.0 : (double)m->config.rope_gain;
}

/* ---- YaRN (Peng et al. 2023) ----------------------------------------------------------------- */

/* The pair that turns so often in the context of the training. */
static double pair_of_turns(const el_config *c, float turns)
{
    const double longest = (double)c->rope_context / ((double)turns * TWO_PI);
    return c->rotary_dim * el_log(longest) / (2 * el_log((double)c->rope_base));
}

/* Up to this pair positions are not divided. */
static double first_divided(const el_config *c)
{
    const double at = pair_of_turns(c, c->yarn_fast), last = c->rotary_dim - 1;
    if (!(at > 0)) return 0;
    return at < last ? (double)(uint32_t)at : last;
}

/* From this pair on they are wholly. */
static double last_divided(const el_config *c)
{
    const double at = pair_of_turns(c, c->yarn_slow), last = c->rotary_dim - 1;
    if (!(at > 0)) return 0;
    if (at >= last) return last;
    const double below = (double)(uint32_t)at;
    return at > below ? below + 1 : below;
}

/* How much of a pair's turning is divided, 0 to 1. */
static double share_divided(const el_config *c, uint32_t i)
{
    const double low = first_divided(c), high = last_divided(c);
    const double width = high > low ? high - low : 0.001, share = (i - low) / width;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

/* ---- together -------------------------------------------------------------------------------- */

double el_positions_frequency(const el_model *m, uint32_t context, uint32_t i, bool local)
{
    const el_config *c = &m->config;
    const double base = (double)(local ? c->local_rope_base : c->rope_base);
    const float *factors = el_positions_long(m, context) ? m->rope_long : m->rope_factors;
    double frequency = el_exp(-2.0 * i / c->rotary_dim * el_log(base));
    if (local) return frequency;
    if (factors) frequency /= (double)factors[i];
    if (c->rope_factor == 0) return frequency;
    if (c->yarn_fast == 0) return frequency / (double)c->rope_factor;
    const double share = share_divided(c, i);
    return frequency * (1 - share) + frequency / (double)c->rope_factor * share;
}
