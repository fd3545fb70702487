/*
 * size.h: the bytes of a TM2 file before there is one, exactly as the writer will lay it out: the
 * same steps (begin, put each tensor, finish), the same constants (format/tm2_layout.h) and the
 * same layout of matrices. Only additions, no memory.
 */
#ifndef EL_QUANT_SIZE_H
#define EL_QUANT_SIZE_H

#include "format/vocab.h"
#include "kernel/matrix.h"

/* How a matrix lies in the file. Codec F32 is a vector's, whose kind of scales and group are 0. */
typedef struct el_size_form {
    el_codec codec;
    el_scale_kind kind;
    uint32_t group; /* 0 (row), 32, 64, 128 */
} el_size_form;

typedef struct el_size {
    uint64_t bytes; /* where the writer would stand */
    uint32_t tensors;
} el_size;

/* Bytes of the section that holds the tokens and merges. */
uint64_t el_size_vocab(const el_vocab *vocab);

/* Everything before the weights. template_bytes: with its NUL. */
void el_size_begin(el_size *size, uint64_t vocab_bytes, uint64_t template_bytes);

/* Bytes of a tensor's data; 0 if a number is out of range (see el_matrix_measure()). */
uint64_t el_size_tensor(uint32_t rows, uint32_t cols, const el_size_form *form);

/* Adds one. Returns 0, or -1 if a number is out of range or there are more bytes than 2^62. */
int el_size_put(el_size *size, uint32_t rows, uint32_t cols, const el_size_form *form);

/* Bytes of the whole file. manifest_bytes: with its NUL. */
uint64_t el_size_finish(const el_size *size, uint64_t manifest_bytes);

#endif
