#include "train/layer_shape.h"

#include "base/detmath.h"
#include "model/positions.h"

/* What the engine's positions ask of a model. */
static el_model model_of(const el_source *s)
{
    const float *all = s->factors[EL_FACTORS_ALL];
    return (el_model){.config = s->config,
                      .rope_factors = all ? all : s->factors[EL_FACTORS_SHORT],
                      .rope_long = s->factors[EL_FACTORS_LONG]};
}

/* As the engine fills them (model/forward.c). */
static void fill_angles(const el_model *m, uint32_t positions, bool local, float *cosine,
                        float *sine)
{
    const uint32_t half = m->config.rotary_dim / 2;
    const double gain = el_positions_gain(m, local);
    for (uint32_t i = 0; i < half; i++) {
        const double frequency = el_positions_frequency(m, positions, i, local);
        for (uint32_t p = 0; p < positions; p++) {
            double s, c;
            el_sincos(p * frequency, &s, &c);
            cosine[(size_t)p * half + i] = (float)(c * gain);
            sine[(size_t)p * half + i] = (float)(s * gain);
        }
    }
}

static el_rotary rotary_of(const el_source *s, uint32_t positions, bool local, el_arena *arena)
{
    const el_model model = model_of(s);
    const size_t row = s->config.rotary_dim / 2 * sizeof(float);
    float *cosine = el_arena_take(arena, positions, row);
    float *sine = el_arena_take(arena, positions, row);
    if (cosine) fill_angles(&model, positions, local, cosine, sine);
    return (el_rotary){cosine, sine, s->config.rotary_dim};
}

el_layer_shape el_layer_shape_of(const el_source *s, uint32_t positions, el_arena *arena)
{
    const el_config *c = &s->config;
    el_layer_shape shape = {.dim = c->dim,
                            .ffn_dim = c->ffn_dim,
                            .heads = c->heads,
                            .kv_heads = c->kv_heads,
                            .head_dim = c->head_dim,
                            .eps = c->norm_eps,
                            .head_norms = el_source_has_fixed(s, EL_FIXED_NQ),
                            .post_norms = el_source_has_fixed(s, EL_FIXED_PO),
                            .sub_norms = el_source_has_fixed(s, EL_FIXED_SO),
                            .gate = s->gate,
                            .attention_scale = c->attention_scale,
                            .attention_cap = c->attention_cap,
                            .window = c->window};
    shape.rotary = shape.local_rotary = rotary_of(s, positions, false, arena);
    if (c->local_rope_base != 0) shape.local_rotary = rotary_of(s, positions, true, arena);
    return shape;
}
