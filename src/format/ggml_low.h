/*
 * ggml_low.h: ggml's types of one and two bits and of three levels with one fp16 scale for a block:
 * TQ1_0 and TQ2_0 (256 weights), Q1_0, Q2_0 and, of another project than ggml, PQ2_0 and PTQ1_0.
 */
#ifndef EL_FORMAT_GGML_LOW_H
#define EL_FORMAT_GGML_LOW_H

#include <stddef.h>
#include <stdint.h>

#define EL_GGML_LOW_MOST 256 /* weights of a block */

/* The codes of a block, each the level of a weight plus 1: 0 to 2, of two bits also 3. Q1_0 has
 * only 0 and 1, which stand for -1 and 1. */
void el_ggml_codes_tq1_0(const uint8_t *block, int8_t *codes);
void el_ggml_codes_tq2_0(const uint8_t *block, int8_t *codes);
void el_ggml_codes_q1_0(const uint8_t *block, int8_t *codes);
void el_ggml_codes_q2_0(const uint8_t *block, int8_t *codes);
void el_ggml_codes_pq2_0(const uint8_t *block, int8_t *codes);
void el_ggml_codes_ptq1_0(const uint8_t *block, int8_t *codes);

/* As el_ggml_type's dequantize. */
void el_ggml_dequantize_tq1_0(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_tq2_0(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_q1_0(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_q2_0(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_pq2_0(const uint8_t *data, size_t blocks, float *out);
void el_ggml_dequantize_ptq1_0(const uint8_t *data, size_t blocks, float *out);

#endif
