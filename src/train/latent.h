/*
 * latent.h: a matrix on its way to codes. Each weight has a latent u in units of its code, and each
 * group a scale (and an offset) in the steps that the file stores:
 *
 *     w = s * (clamp(round(u), low, high) - zero) + m
 *     s = ref[row] * 2^(-k / 32), k = round(steps)        m = oref[row] * round(shifts)
 *
 * so that what is trained and what is packed are the same numbers. Rows do not depend on each
 * other. A rotated latent holds rotated rows; what it gives and takes as weights is turned back.
 *
 * Chained codes (kernel/matrix.h): u is in units of a level, and the codes of a tile are chosen
 * together, those whose levels are nearest to u (chain.h). So rows are stepped and rounded by
 * whole tiles: they begin at a multiple of 16.
 */
#ifndef EL_TRAIN_LATENT_H
#define EL_TRAIN_LATENT_H

#include "base/arena.h"
#include "kernel/matrix.h"

typedef struct el_latent {
    uint32_t rows, cols, group, groups; /* group: weights that share a scale, at least 32 */
    el_codec codec;                     /* S2, S3, S4, O2, O3, O4, I8, O8, C2, C3 */
    bool rotated;                       /* rows are stored rotated: hadamard.h. Set by the owner */
    bool kept; /* rounding corrects nothing (gptq.h), and training leaves it. Set by the owner */
    float low, high, zero;
    float floor, unit; /* u = floor + unit * number, from low - 0.5 to high + 0.5 */
    float pace;        /* how many units are as much as one of a plain code of as many bits */
    uint16_t *u;       /* (rows, cols) */
    float *steps;      /* (rows, groups): 0 .. 254 */
    float *shifts;     /* (rows, groups): -127 .. 127; NULL without offset */
    float *ref;        /* (rows) fp16 numbers */
    float *oref;       /* (rows) fp16 numbers; NULL without offset */
    uint8_t *codes;    /* (rows, cols), what el_latent_settle() chose; NULL of plain codes */
} el_latent;

/* Takes the memory. group: 32, 64, 128, or 0 for the whole row. */
el_latent el_latent_layout(el_arena *arena, uint32_t rows, uint32_t cols, el_codec codec,
                           uint32_t group);

/* The weights of some rows, (count, cols). */
void el_latent_weights(const el_latent *l, uint32_t first, uint32_t count, float *w);

/* Columns of a group: returns how many, *begin is the first. */
static inline uint32_t el_latent_span(const el_latent *l, uint32_t group, uint32_t *begin)
{
    *begin = group * l->group;
    return l->cols - *begin < l->group ? l->cols - *begin : l->group;
}

/* Scale and offset as they are stored. */
float el_latent_scale(const el_latent *l, uint32_t row, uint32_t group);
float el_latent_offset(const el_latent *l, uint32_t row, uint32_t group);

/*
 * References of a row wide enough for the weights w (cols) and for what training may do to them.
 * To be called before groups of the row are fitted.
 */
void el_latent_references(const el_latent *l, uint32_t row, const float *w);

/*
 * Fits the scale (and offset) of one group to its weights x (n): of some ranges, shrunk and
 * shifted, the one with the least sum of importance[i] * error^2. Sets u too.
 */
void el_latent_fit(const el_latent *l, uint32_t row, uint32_t group, const float *x,
                   const float *importance);

/* u of one weight for the group's scale and offset, and the weight that it gives (not of chained
 * codes). */
uint16_t el_latent_place(const el_latent *l, uint32_t row, uint32_t group, float w);
float el_latent_value(const el_latent *l, uint32_t row, uint32_t group, uint16_t u);

/* A stored weight of chained codes, once its tile is settled. */
float el_latent_chained(const el_latent *l, uint32_t row, uint32_t group, uint32_t col);

/* Chooses chained codes of rows first .. first + count - 1 in columns begin .. end - 1; of plain
 * codes there is nothing to choose. first: of a tile. The last tile is settled whole. */
void el_latent_settle(const el_latent *l, uint32_t first, uint32_t count, uint32_t begin,
                      uint32_t end);

/* A latent as a float, in codes, and back: to the nearest number. */
static inline float el_latent_float(const el_latent *l, uint16_t u)
{
    return l->floor + l->unit * (float)u;
}

static inline uint16_t el_latent_number(const el_latent *l, float u)
{
    float number = (u - l->floor) / l->unit;
    number = number > 0.0f ? number : 0.0f;
    return (uint16_t)(int)((number < 65535.0f ? number : 65535.0f) + 0.5f);
}

/* The code of a latent that is plain. */
int el_latent_code(const el_latent *l, uint16_t u);

/* Packs all rows as a tensor of el_matrix_measure(rows, cols, codec, EL_SCALE_BYTE, ...) bytes,
 * zeroed by the caller. */
void el_latent_pack(const el_latent *l, uint8_t *data);

/* ---- training --------------------------------------------------------------------------- */

/* Adam (Kingma & Ba 2015) of a latent; same shapes as u, steps and shifts. Moments of latents are
 * bfloat16: half the memory. */
typedef struct el_latent_moments {
    uint16_t *m, *v;
    float *steps_m, *steps_v;
    float *shifts_m, *shifts_v;
} el_latent_moments;

/* A kept latent has none. */
el_latent_moments el_latent_moments_layout(el_arena *arena, const el_latent *l);

typedef struct el_latent_rates {
    float u;            /* step of a latent, in plain codes */
    float scale;        /* of a scale, relative */
    float bias1, bias2; /* 1 / (1 - beta^t) */
} el_latent_rates;

/* The part of its first size that a rate has at a step (0 .. steps-1): rising for eight steps, then
 * falling along a cosine to a twentieth. */
float el_latent_fade(uint32_t step, uint32_t steps);
el_latent_rates el_latent_rates_at(float u, float scale, float fade, uint32_t step);

/*
 * One step of rows first .. first + count - 1 against the gradient of the weights, g (count, cols),
 * which is used up.
 * Rounding is passed straight through (Bengio et al. 2013); scales and offsets have their exact
 * derivatives for the codes as they are (Esser et al. 2020). A kept latent stays as it is.
 */
void el_latent_step(const el_latent *l, const el_latent_moments *a, const el_latent_rates *rates,
                    uint32_t first, uint32_t count, float *g);

#endif
