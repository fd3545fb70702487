/*
 * fit.h: the scale and offset of one group of weights. A codec is seen here as codes low..high with
 *
 *     w = scale * (code - zero) + offset
 *
 * where scale is the full one (symmetric codecs halve it and double the level: the same number;
 * that of one bit is not halved, so it is 2 * scale there). Every sum has one fixed order and every
 * step is a plain IEEE operation, so that codes are the same on every machine. Weights must be
 * finite.
 */
#ifndef EL_QUANT_FIT_H
#define EL_QUANT_FIT_H

#include <stdbool.h>

#include "kernel/matrix.h"

typedef struct el_fit {
    float scale;  /* >= 0 */
    float offset; /* 0 for codecs without one */
    float error;  /* sum of squared differences; infinity if that overflows */
} el_fit;

/*
 * The fit of least squared error among shrunken ranges, improved by least squares. With `half`
 * scale and offset are fp16 values and the error is what they give. With one bit that is the sign,
 * and the mean of |w| as scale (Rastegari et al., XNOR-Net, 2016: the best there is); with three
 * levels a search over the threshold below which weights become 0, and for each the mean of the
 * others (Li and Liu, Ternary weight networks, 2016, who take 0.7 times the mean of |w| for all).
 */
el_fit el_fit_search(const float *x, uint32_t n, el_codec codec, bool half);

/* The error of a given scale and offset. */
float el_fit_error(const float *x, uint32_t n, el_codec codec, float scale, float offset);

/* The offset that suits a given scale best, for the codes that this scale and `offset` give. */
float el_fit_offset(const float *x, uint32_t n, el_codec codec, float scale, float offset);

/* The offset that keeps the middle of the range where it was when the scale changes. */
float el_fit_recentre(const el_fit *fit, el_codec codec, float scale);

/* The nearest codes. */
void el_fit_codes(const float *x, uint32_t n, el_codec codec, float scale, float offset,
                  int8_t *codes);

/* The nearest fp16 number that is finite. */
uint16_t el_fit_half(float value);

/* The smallest fp16 number that is at least `value` (>= 0), or the largest finite one. */
uint16_t el_fit_half_above(float value);

#endif
