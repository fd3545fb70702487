/*
 * ggml_iq.h: ggml's types of 256 weights in a block whose codes are places in lists of whole
 * vectors, of 4 or 8 weights. As el_ggml_type's dequantize.
 */
#ifndef EL_FORMAT_GGML_IQ_H
#define EL_FORMAT_GGML_IQ_H

#include <stddef.h>
#include <stdint.h>

void el_ggml_dequantize_iq2_xxs(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_iq2_xs(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_iq2_s(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_iq3_xxs(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_iq3_s(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_iq1_s(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_iq1_m(const uint8_t *data, size_t blocks, float *out);

#endif
