/*
 * ggml_k.h: ggml's types of 256 weights in a block, with scales of 4 to 8 bits for each 16 or 32 of
 * them, and those whose codes are places in a list of values. As el_ggml_type's dequantize.
 */
#ifndef EL_FORMAT_GGML_K_H
#define EL_FORMAT_GGML_K_H

#include <stddef.h>
#include <stdint.h>

void el_ggml_dequantize_q2_k(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_q3_k(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_q4_k(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_q5_k(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_q6_k(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_iq4_nl(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_iq4_xs(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_mxfp4(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_nvfp4(const uint8_t *data, size_t blocks, float *out);

#endif
